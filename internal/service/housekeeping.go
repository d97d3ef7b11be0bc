package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// How long what is over is kept, so that a late look at it still finds something.
const (
	keepSessions   = 30 * 24 * time.Hour
	keepTokens     = 30 * 24 * time.Hour
	keepOutbox     = 7 * 24 * time.Hour
	keepDeliveries = 90 * 24 * time.Hour
)

// Housekeeping removes what no longer counts, so that no table grows for ever.
type Housekeeping struct {
	store    *repository.Store
	pictures *Pictures
	clock    clock
}

// NewHousekeeping makes the use case that a timer calls.
func NewHousekeeping(store *repository.Store, pictures *Pictures, now func() time.Time) *Housekeeping {
	return &Housekeeping{store: store, pictures: pictures, clock: now}
}

// Run removes old sessions, tokens, API keys, login failures, announced events, records of mails and pictures without an owner. One that
// fails does not keep the others from being done. A panic is an error too: it runs beside the requests, where nothing else would catch it.
func (s *Housekeeping) Run(ctx context.Context) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	now := s.clock.now()
	_, sweep := s.pictures.Sweep(ctx)
	return errors.Join(
		s.store.Sessions.Purge(ctx, now.Add(-keepSessions)),
		s.store.Tokens.Purge(ctx, now.Add(-keepTokens)),
		s.store.Logins.Purge(ctx, now),
		s.store.Keys.Purge(ctx, now.Add(-keepTokens)),
		s.store.Outbox.Purge(ctx, now.Add(-keepOutbox)),
		s.store.Attempts.Purge(ctx, now.Add(-domain.AttemptTTL)),
		s.store.Deliveries.Purge(ctx, now.Add(-keepDeliveries)),
		sweep,
	)
}
