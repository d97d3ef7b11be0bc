package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/token"
)

// NewKey is what an API key is asked for with.
type NewKey struct {
	Name  string
	Scope domain.KeyScope
	Days  int64 // until it expires
}

// byKey finds out who calls with an API key.
func (s *Auth) byKey(ctx context.Context, key string) (domain.Actor, time.Time, error) {
	now := s.clock.now()
	caller, err := s.store.Keys.Actor(ctx, token.Hash(key), now)
	if isKind(err, domain.KindNotFound) {
		return domain.Actor{}, time.Time{}, domain.Unauthenticated("authorization", "The API key is not valid")
	}
	if err != nil {
		return domain.Actor{}, time.Time{}, err
	}
	if caller.UsedAt == nil || now.Sub(*caller.UsedAt) >= domain.KeyUseInterval {
		// The next call tries again; a database that takes no writes may still be read.
		if err := s.store.Keys.Used(ctx, caller.KeyID, now); err != nil {
			return caller.Actor, now, nil //nolint:nilerr // see above
		}
		caller.UsedAt = &now
	}
	return caller.Actor, earlier(caller.Until, caller.UsedAt.Add(domain.KeyUseInterval)), nil // so that no use is left out
}

// Keys lists the actor's API keys, the newest first.
func (s *Auth) Keys(ctx context.Context, actor domain.Actor) ([]domain.APIKey, error) {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return nil, err
	}
	return s.store.Keys.OfUser(ctx, actor.ID, s.clock.now())
}

// CreateKey makes an API key, and gives the text to call with, which is shown only now. It returns KindInvalid for faults and on `currentPassword`,
// KindConflict on `request` beyond [domain.MaxKeys], and KindThrottled after too many wrong passwords.
func (s *Auth) CreateKey(ctx context.Context, actor domain.Actor, in NewKey, current string, faults domain.Faults) (domain.APIKey, string, error) {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return domain.APIKey{}, "", err
	}
	user, err := s.askAgain(ctx, actor, current, &faults)
	if err != nil {
		return domain.APIKey{}, "", err
	}
	if err := faults.Err(); err != nil {
		return domain.APIKey{}, "", err
	}
	var made domain.APIKey
	text := token.NewKey()
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		if _, err := tx.Users.Lock(ctx, user.ID); err != nil {
			return err
		}
		made = domain.NewAPIKey(user.ID, in.Name, token.Hash(text), in.Scope, in.Days, now)
		note(tx, actor, domain.AuditKeyCreated, "key", made.ID.String(), domain.AuditDetails{"name": made.Name, "scope": made.Scope}, now)
		return tx.Keys.Create(ctx, made)
	})
	return made, text, err
}

// RevokeKey ends an API key of the actor. It returns KindNotFound on `id`.
func (s *Auth) RevokeKey(ctx context.Context, actor domain.Actor, id uuid.UUID) error {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return err
	}
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		note(tx, actor, domain.AuditKeyRevoked, "key", id.String(), nil, now)
		return tx.Keys.Revoke(ctx, actor.ID, id, now)
	})
}
