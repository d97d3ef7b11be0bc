package service

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"inventoryhub/internal/domain"
)

const (
	// rememberFor is how long what the database said of a caller is believed again, by reads alone. No other instance may know later than that.
	rememberFor = time.Second
	// maxRemembered bounds how many callers are remembered, by about 3 MiB. Those beyond are asked for each time.
	maxRemembered = 10_000
)

// digest names a token or an API key without telling it.
type digest [sha256.Size]byte

func digestOf(access string) digest {
	var held [1024]byte // our tokens have about 400; so that they are not copied to the heap
	return sha256.Sum256(append(held[:0], access...))
}

// callers remembers who called, for reads alone and for [rememberFor]. Whoever changes anything is asked for in the database each time.
//
// It forgets everybody whenever the database's word on anybody changes: that is rare, and leaves no question of whom a change touched. What was
// asked before it forgot is not remembered after, however late the answer comes. It begins with remembering nobody.
type callers struct {
	now func() time.Time

	mu    sync.Mutex
	hears bool   // of changes; else nobody is remembered
	epoch uint64 // rises when everybody is forgotten
	since time.Time
	known map[digest]acquaintance
}

type acquaintance struct {
	actor domain.Actor
	until time.Time
}

func newCallers(now func() time.Time) *callers {
	return &callers{now: now, known: map[digest]acquaintance{}}
}

// recall gives who a token stood for less than a second ago. Else it gives the epoch in which the database is asked instead, for [callers.remember].
func (c *callers) recall(d digest) (actor domain.Actor, epoch uint64, known bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.since); age < 0 || age >= rememberFor {
		c.forgetAll()
		c.since = now
	}
	found, known := c.known[d]
	if !known || !now.Before(found.until) {
		return domain.Actor{}, c.epoch, false
	}
	return found.actor, c.epoch, true
}

// remember takes note of what the database was asked in the epoch.
func (c *callers) remember(d digest, actor domain.Actor, until time.Time, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hears && c.epoch == epoch && len(c.known) < maxRemembered {
		c.known[d] = acquaintance{actor, until}
	}
}

// forget is for when the database's word has changed.
func (c *callers) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetAll()
}

// hear says whether changes are heard of from now on.
func (c *callers) hear(hears bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hears = hears
	c.forgetAll()
}

func (c *callers) forgetAll() {
	c.epoch++
	clear(c.known)
}

// RememberCallers has reads remember who calls for as long as changes of it are heard of, until ctx ends. told is called when that begins and ends, and why
// it ended.
func (s *Auth) RememberCallers(ctx context.Context, told func(hears bool, err error)) {
	s.store.WatchCallers(ctx, func(hears bool, err error) {
		s.callers.hear(hears)
		told(hears, err)
	})
	s.callers.hear(false)
}
