package repository

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Caller is who calls, as the database said when it was asked.
type Caller struct {
	domain.Actor
	Until  time.Time  // when the session or the API key ends, if nothing ends it before
	UsedAt *time.Time // when the API key was last used, to the minute; nil for never, and for a session
}

// OnCallers registers what is called when the database's word on who calls may have changed: after each transaction of this store that ended
// a session, changed a user or a second factor, or revoked an API key, be it kept or not (of a commit whose answer was lost nobody knows), and while
// [Store.WatchCallers] runs, after those of every other process. It must not block. To be called before the store is used.
func (s *Store) OnCallers(changed func()) { s.onCallers = append(s.onCallers, changed) }

func (s *Store) callersChanged() {
	for _, changed := range s.onCallers {
		changed()
	}
}

// callersChangedBy tells of a statement that may have changed who may call: one that changed rows, or of which that is not known.
func (t table) callersChangedBy(done *gorm.DB) {
	if done.Error != nil || done.RowsAffected > 0 {
		t.callersChanged()
	}
}

// WatchCallers hears of the changes that other processes make, and calls what was registered for them, until ctx ends. told is called with true when it
// has begun to hear them, and with false, and why, when it cannot any more; it goes on trying. On SQLite there is one server, which
// knows of its own changes.
func (s *Store) WatchCallers(ctx context.Context, told func(hears bool, err error)) {
	if s.listen == nil {
		told(true, nil)
		<-ctx.Done()
		return
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
	for {
		err := s.listen(ctx, callersChannel, func() {
			pause.Reset()
			told(true, nil)
		}, s.callersChanged)
		told(false, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause.NextBackOff()):
		}
	}
}
