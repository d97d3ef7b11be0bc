package service

import (
	"context"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Attempts makes requests safe to repeat: under the same Idempotency-Key the same caller gets the first answer again.
type Attempts struct {
	store *repository.Store
	clock clock
}

// NewAttempts makes the use cases of Idempotency-Key.
func NewAttempts(store *repository.Store, now func() time.Time) *Attempts {
	return &Attempts{store: store, clock: now}
}

// Begin takes a key. What it gives has a Status if the answer is known, and a ResultID if the request was carried out but its answer was lost;
// otherwise the caller is to carry the request out. It returns KindReused on `request` if the key stands for another request, and
// KindConflict on `request` while another one is at work on it.
func (s *Attempts) Begin(ctx context.Context, actor domain.Actor, key, fingerprint string) (domain.Attempt, error) {
	var attempt domain.Attempt
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		held, mine, err := tx.Attempts.Claim(ctx, domain.NewAttempt(actor.ID, key, fingerprint, now), now)
		attempt = held
		switch {
		case err != nil:
			return err
		case held.Fingerprint != fingerprint:
			return domain.Reused("request", "The Idempotency-Key was used for another request")
		case !mine && held.Status == nil:
			return repository.AttemptRunning()
		}
		return nil
	})
	return attempt, err
}

// Finish keeps the answer of an attempt.
func (s *Attempts) Finish(ctx context.Context, a domain.Attempt, status int, headers, body string) error {
	a.Status, a.Headers, a.Body = &status, headers, body
	return s.store.Attempts.Answered(context.WithoutCancel(ctx), a)
}

// Abandon frees the key of an attempt that failed by a fault of ours.
func (s *Attempts) Abandon(ctx context.Context, a domain.Attempt) error {
	return s.store.Attempts.Abandon(context.WithoutCancel(ctx), a, s.clock.now())
}
