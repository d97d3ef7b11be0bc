package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/token"
)

func (s *Auth) requiresFactor(role domain.Role) bool {
	return slices.Contains(s.settings.RequireFactor, role)
}

// Factor tells the actor of their second factor.
func (s *Auth) Factor(ctx context.Context, actor domain.Actor) (domain.FactorState, error) {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return domain.FactorState{}, err
	}
	left, err := s.store.Factors.CodesLeft(ctx, actor.ID)
	return domain.FactorState{Enabled: actor.HasFactor, Required: s.requiresFactor(actor.Role), RecoveryCodes: left}, err
}

// BeginFactor makes the secret of an authenticator app, and the address that apps read from a QR code. Both are shown only now, and count after
// [Auth.ConfirmFactor]; until then a later call replaces them. It returns KindInvalid on `currentPassword`, KindConflict on `request` if there is a second
// factor already, and KindThrottled after too many wrong passwords.
func (s *Auth) BeginFactor(ctx context.Context, actor domain.Actor, current string, faults domain.Faults) (secret, uri string, err error) {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return "", "", err
	}
	user, err := s.askAgain(ctx, actor, current, &faults)
	if err != nil {
		return "", "", err
	}
	if err := faults.Err(); err != nil {
		return "", "", err
	}
	secret, uri, err = token.NewFactor(user.Email)
	if err != nil {
		return "", "", err
	}
	sealed := s.vault.Seal(secret, user.ID.String())
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		note(tx, actor, domain.AuditFactorBegun, "user", user.ID.String(), nil, now)
		return tx.Factors.Begin(ctx, domain.SecondFactor{UserID: user.ID, Secret: sealed, CreatedAt: now})
	})
	return secret, uri, err
}

// ConfirmFactor puts the second factor in force by a code of the app, ends the actor's other sessions and gives the recovery codes, which are shown
// only now. It returns KindInvalid on `code`, KindConflict on `request` if none was begun or one is in force, and KindThrottled after too many wrong codes.
func (s *Auth) ConfirmFactor(ctx context.Context, actor domain.Actor, code string, faults domain.Faults) ([]string, error) {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return nil, err
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	user, err := s.store.Users.ByID(ctx, actor.ID)
	if err != nil {
		return nil, err
	}
	f, err := s.store.Factors.ByUser(ctx, user.ID)
	if isKind(err, domain.KindNotFound) {
		return nil, domain.Conflict("request", "No second factor was begun")
	}
	if err != nil {
		return nil, err
	}
	if f.ConfirmedAt != nil {
		return nil, repository.FactorExists()
	}
	if err := s.countTry(ctx, actor, user.Email); err != nil {
		return nil, err
	}
	step, right, err := s.factorStep(f, code, s.clock.now())
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, s.refuseCode(ctx, actor)
	}
	var codes []string
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		confirmed, err := tx.Factors.Confirm(ctx, f, step, now)
		if err != nil {
			return err
		}
		if !confirmed {
			return repository.FactorExists() // of two at the same moment one wins
		}
		if err := tx.Logins.Succeeded(ctx, user.EmailKey, actor.Address, now); err != nil {
			return err
		}
		note(tx, actor, domain.AuditFactorEnabled, "user", user.ID.String(), nil, now)
		if codes, err = replaceCodes(ctx, tx, user.ID, now); err != nil {
			return err
		}
		return endSessions(ctx, tx, user.ID, actor.SessionID, now)
	})
	return codes, err
}

// RenewRecoveryCodes voids the actor's recovery codes and gives new ones, which are shown only now. It returns KindInvalid on `currentPassword` and
// `code`, KindConflict on `request` without a second factor, and KindThrottled after too many wrong ones.
func (s *Auth) RenewRecoveryCodes(ctx context.Context, actor domain.Actor, current, code string, faults domain.Faults) ([]string, error) {
	var codes []string
	err := s.changeFactor(ctx, actor, current, code, faults, func(tx *repository.Store, now time.Time) (err error) {
		note(tx, actor, domain.AuditCodesMade, "user", actor.ID.String(), nil, now)
		codes, err = replaceCodes(ctx, tx, actor.ID, now)
		return err
	})
	return codes, err
}

// DisableFactor takes the actor's second factor away. It returns KindForbidden if their role requires one, and else what [Auth.RenewRecoveryCodes] returns.
func (s *Auth) DisableFactor(ctx context.Context, actor domain.Actor, current, code string, faults domain.Faults) error {
	if s.requiresFactor(actor.Role) {
		return domain.Forbidden("authorization", "The role '%s' requires a second factor", actor.Role)
	}
	return s.changeFactor(ctx, actor, current, code, faults, func(tx *repository.Store, now time.Time) error {
		note(tx, actor, domain.AuditFactorDisabled, "user", actor.ID.String(), nil, now)
		return tx.Factors.Remove(ctx, actor.ID)
	})
}

// changeFactor does something to a second factor that is in force, after the actor has shown the password and a code.
func (s *Auth) changeFactor(ctx context.Context, actor domain.Actor, current, code string, faults domain.Faults, change func(*repository.Store, time.Time) error) error {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return err
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if !actor.HasFactor {
		return domain.Conflict("request", "There is no second factor")
	}
	user, _, err := s.askPassword(ctx, actor, current, &faults)
	if err != nil {
		return err
	}
	if err := faults.Err(); err != nil {
		return err
	}
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		if err := s.prove(ctx, tx, user.ID, code, now); err != nil {
			return err
		}
		if err := tx.Logins.Succeeded(ctx, user.EmailKey, actor.Address, now); err != nil {
			return err
		}
		return change(tx, now)
	})
	if isKind(err, domain.KindUnauthenticated) {
		return s.refuseCode(ctx, actor)
	}
	return err
}

// refuseCode notes a wrong code in a session; at the login it is a refused login.
func (s *Auth) refuseCode(ctx context.Context, actor domain.Actor) error {
	return s.refuse(ctx, actor, domain.AuditCodeRefused, "user", actor.ID.String(), domain.Invalid("code", "The code is wrong"))
}

func replaceCodes(ctx context.Context, tx *repository.Store, user uuid.UUID, now time.Time) ([]string, error) {
	codes, hashes := make([]string, domain.RecoveryCodes), make([]string, domain.RecoveryCodes)
	for i := range codes {
		codes[i] = token.NewRecoveryCode()
		hashes[i] = token.HashRecoveryCode(codes[i])
	}
	return codes, tx.Factors.ReplaceCodes(ctx, user, hashes, now)
}

// prove uses a code up, of the app or for recovery, if the user has a second factor. It returns KindUnauthenticated on `code` for any other.
func (s *Auth) prove(ctx context.Context, tx *repository.Store, user uuid.UUID, code string, now time.Time) error {
	f, err := tx.Factors.ByUser(ctx, user)
	if isKind(err, domain.KindNotFound) || err == nil && f.ConfirmedAt == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if code == "" {
		return domain.Unauthenticated("code", "A code of your authenticator app is required")
	}
	taken := false
	if len(code) <= len("123 456") {
		step, right, failed := s.factorStep(f, code, now)
		if err = failed; right {
			taken, err = tx.Factors.Take(ctx, f, step)
		}
	} else {
		taken, err = tx.Factors.UseCode(ctx, user, token.HashRecoveryCode(code), now)
	}
	if err == nil && !taken {
		return domain.Unauthenticated("code", "The code is wrong")
	}
	return err
}

func (s *Auth) factorStep(f domain.SecondFactor, code string, now time.Time) (int64, bool, error) {
	secret, err := s.vault.Open(f.Secret, f.UserID.String())
	if err != nil {
		return 0, false, domain.Unavailable(fmt.Errorf("the second factor of the user %s cannot be read; was JWT_SECRET changed? %w", f.UserID, err))
	}
	return token.FactorStep(secret, strings.ReplaceAll(code, " ", ""), now)
}
