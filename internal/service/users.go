package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Users is about the staff.
type Users struct {
	store         *repository.Store
	invitationTTL time.Duration
	clock         clock
}

// NewUsers makes the use cases of /users.
func NewUsers(store *repository.Store, invitationTTL time.Duration, now func() time.Time) *Users {
	return &Users{store: store, invitationTTL: invitationTTL, clock: now}
}

// List gives one page of the actor's inferiors and peers, and how many of them there are.
func (s *Users) List(ctx context.Context, actor domain.Actor, f domain.UserFilter, faults domain.Faults) ([]domain.User, domain.Extent, error) {
	if err := actor.Require(domain.ReadUsers); err != nil {
		return nil, domain.Extent{}, err
	}
	if err := faults.Err(); err != nil {
		return nil, domain.Extent{}, err
	}
	return s.store.Users.List(ctx, f, actor.Role.UpTo())
}

// ByID gives an inferior or a peer. It returns KindNotFound on `id`, and KindForbidden for a superior.
func (s *Users) ByID(ctx context.Context, actor domain.Actor, id uuid.UUID) (domain.User, error) {
	if err := actor.Require(domain.ReadUsers); err != nil {
		return domain.User{}, err
	}
	user, err := s.store.Users.ByID(ctx, id)
	if err != nil {
		return domain.User{}, err
	}
	return user, actor.MaySee(user)
}

// Me gives the actor's own user.
func (s *Users) Me(ctx context.Context, actor domain.Actor) (domain.User, error) {
	if err := actor.Require(domain.SeeOneself); err != nil {
		return domain.User{}, err
	}
	return s.store.Users.ByID(ctx, actor.ID)
}

// Invitation gives a draft's last invitation to those who may invite, and nil for an active user and to anybody else.
func (s *Users) Invitation(ctx context.Context, actor domain.Actor, user domain.User) (*domain.Invitation, error) {
	if user.Status != domain.UserDraft || !actor.May(domain.InviteUsers) {
		return nil, nil
	}
	invitation, err := s.store.Tokens.LastInvitation(ctx, user.ID)
	if isKind(err, domain.KindNotFound) {
		return nil, nil
	}
	return &invitation, err
}

// Update changes what is known of a strict inferior. A changed email ends their sessions, voids their resets and is told to the old
// address; a draft is invited anew at the new one. It returns KindNotFound on `id`, KindForbidden for a peer, a superior or a
// role above the actor's own, KindInvalid for faults and KindConflict on `email`.
func (s *Users) Update(ctx context.Context, actor domain.Actor, id uuid.UUID, in Invitee, faults domain.Faults) error {
	if err := actor.Require(domain.ManageUsers); err != nil {
		return err
	}
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		user, err := s.lockInferior(ctx, tx, actor, id)
		if err != nil {
			return faults.Beside(err)
		}
		if err := faults.Err(); err != nil {
			return err
		}
		if err := actor.MayGrant(in.Role); err != nil {
			return err
		}
		before := user
		user.Describe(in.Email, in.FirstName, in.LastName, in.Role, now)
		if err := tx.Users.SaveDescription(ctx, user); err != nil {
			return err
		}
		details := domain.AuditDetails{"role": []domain.Role{before.Role, user.Role}}
		if user.EmailKey != before.EmailKey {
			details["email"] = []string{before.Email, user.Email}
		}
		note(tx, actor, domain.AuditUserUpdated, "user", id.String(), details, now)
		if user.EmailKey == before.EmailKey {
			return nil
		}
		return s.moveAccount(ctx, tx, actor, before, user, now)
	})
}

func (s *Users) lockInferior(ctx context.Context, tx *repository.Store, actor domain.Actor, id uuid.UUID) (domain.User, error) {
	user, err := tx.Users.Lock(ctx, id)
	if err != nil {
		return domain.User{}, err
	}
	return user, actor.MayManage(user)
}

// moveAccount does what a changed email asks for.
func (s *Users) moveAccount(ctx context.Context, tx *repository.Store, actor domain.Actor, before, after domain.User, now time.Time) error {
	if err := endSessions(ctx, tx, after.ID, uuid.Nil, now); err != nil {
		return err
	}
	if err := tx.Tokens.Revoke(ctx, after.ID, now, domain.TokenPasswordReset); err != nil {
		return err
	}
	told, err := domain.NewEvent(domain.EventEmailChanged, after.ID, now, domain.EmailChanged{Email: before.Email, FirstName: before.FirstName, LastName: before.LastName})
	if err != nil {
		return err
	}
	if err := tx.Outbox.Add(ctx, told); err != nil {
		return err
	}
	if after.Status == domain.UserActive {
		return nil
	}
	return invite(ctx, tx, after, actor.ID, s.invitationTTL, now) // whoever reads the old mailbox must not open the account
}

// Delete removes a strict inferior, their sessions and their invitations. It returns KindNotFound on `id` and KindForbidden.
func (s *Users) Delete(ctx context.Context, actor domain.Actor, id uuid.UUID) error {
	if err := actor.Require(domain.ManageUsers); err != nil {
		return err
	}
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		user, err := s.lockInferior(ctx, tx, actor, id)
		if err != nil {
			return err
		}
		return remove(ctx, tx, actor, user, s.clock.now())
	})
}

func remove(ctx context.Context, tx *repository.Store, actor domain.Actor, user domain.User, now time.Time) error {
	note(tx, actor, domain.AuditUserDeleted, "user", user.ID.String(), domain.AuditDetails{"email": user.Email, "role": user.Role}, now)
	if err := tx.Users.Delete(ctx, user.ID, now); err != nil {
		return err
	}
	if err := endSessions(ctx, tx, user.ID, uuid.Nil, now); err != nil {
		return err
	}
	if err := tx.Factors.Remove(ctx, user.ID); err != nil {
		return err
	}
	return tx.Tokens.Revoke(ctx, user.ID, now, domain.TokenInvitation, domain.TokenPasswordReset)
}
