package httpapi

import (
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"inventoryhub/internal/domain"
)

// throttle bounds the requests a minute from one address, or of one user. It counts in this process: n instances allow n times as many, while
// wrong passwords are counted in the database.
type throttle struct {
	perMinute int
	now       func() time.Time

	mu       sync.Mutex
	seen     map[string]*rate.Limiter
	told     map[string]bool // whose throttling was noted since the last sweep
	sweepDue time.Time
}

func newThrottle(perMinute int, now func() time.Time) *throttle {
	return &throttle{perMinute: perMinute, now: now, seen: map[string]*rate.Limiter{}, told: map[string]bool{}}
}

// take says how long the address has to wait for its next try; 0 means that it has just been taken.
func (t *throttle) take(addr string) time.Duration {
	if t.perMinute == 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.sweep(now)
	l, ok := t.seen[addr]
	if !ok {
		l = rate.NewLimiter(rate.Every(time.Minute/time.Duration(t.perMinute)), t.perMinute)
		t.seen[addr] = l
	}
	reserved := l.ReserveN(now, 1)
	wait := reserved.DelayFrom(now)
	if wait > 0 {
		reserved.CancelAt(now)
	}
	return wait
}

// tellOnce says whether the throttling of an address is still to be noted in this minute.
func (t *throttle) tellOnce(addr string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(t.now())
	if t.told[addr] {
		return false
	}
	t.told[addr] = true
	return true
}

// sweep forgets, once a minute, the addresses that have all their tries again.
func (t *throttle) sweep(now time.Time) {
	if now.Before(t.sweepDue) {
		return
	}
	t.sweepDue = now.Add(time.Minute)
	clear(t.told)
	for addr, l := range t.seen {
		if l.TokensAt(now) >= float64(t.perMinute) {
			delete(t.seen, addr)
		}
	}
}

// slowDown refuses the tries of an address beyond its share.
func (a *api) slowDown(c *gin.Context) {
	if wait := a.throttle.take(address(c)); wait > 0 {
		a.writeError(c, domain.Throttled(wait))
	}
}

// slowUserDown refuses the requests of a user beyond their share, so that one runaway program does not take the server from all others.
func (a *api) slowUserDown(c *gin.Context) {
	if a.share.perMinute == 0 {
		return
	}
	if wait := a.share.take(actorOf(c).ID.String()); wait > 0 {
		a.writeError(c, domain.Throttled(wait))
	}
}
