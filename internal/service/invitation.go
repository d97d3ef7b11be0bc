package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Invitee is whom an invitation is for.
type Invitee struct {
	Email     string
	FirstName string
	LastName  string
	Role      domain.Role
}

// Invite makes a draft user and mails them an invitation; both happen or neither. A draft's email invites again: the names and
// the role are updated and the old invitation stops working. It returns KindForbidden if the actor may not invite or not grant
// the role, KindInvalid for faults, KindConflict on `email` for an active user, and KindThrottled for more than [domain.MaxInvitationsPerDay] mails to one draft.
func (s *Auth) Invite(ctx context.Context, actor domain.Actor, in Invitee, attempt *domain.Attempt, faults domain.Faults) error {
	if err := actor.Require(domain.InviteUsers); err != nil {
		return err
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if err := actor.MayGrant(in.Role); err != nil {
		return err
	}
	err := s.inviteOnce(ctx, actor, in, attempt)
	if isKind(err, domain.KindConflict) {
		err = s.inviteOnce(ctx, actor, in, attempt) // someone may have invited the same new email at the same moment; now their draft is found
	}
	return err
}

func (s *Auth) inviteOnce(ctx context.Context, actor domain.Actor, in Invitee, attempt *domain.Attempt) error {
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		user, err := tx.Users.LockByEmail(ctx, in.Email)
		switch {
		case isKind(err, domain.KindNotFound):
			user = domain.NewDraft(in.Email, in.FirstName, in.LastName, in.Role, now)
			err = tx.Users.Create(ctx, user)
		case err == nil && user.Status == domain.UserActive:
			err = repository.EmailTaken(in.Email)
		case err == nil && user.Role.Above(actor.Role):
			err = actor.MaySee(user)
		case err == nil:
			user.Describe(in.Email, in.FirstName, in.LastName, in.Role, now)
			err = tx.Users.SaveDescription(ctx, user)
		}
		if err != nil {
			return err
		}
		note(tx, actor, domain.AuditUserInvited, "user", user.ID.String(), domain.AuditDetails{"email": user.Email, "role": user.Role}, now)
		if err := tx.Attempts.Made(ctx, attempt, user.ID); err != nil {
			return err
		}
		return invite(ctx, tx, user, actor.ID, s.settings.InvitationTTL, now)
	})
}

// invite mails a draft a new invitation, which replaces the one before.
func invite(ctx context.Context, tx *repository.Store, user domain.User, by uuid.UUID, ttl time.Duration, now time.Time) error {
	const day = 24 * time.Hour
	last, many, err := tx.Tokens.Nth(ctx, user.ID, domain.TokenInvitation, domain.MaxInvitationsPerDay)
	if err != nil {
		return err
	}
	if wait := last.Add(day).Sub(now); many && wait > 0 {
		return domain.Throttled(wait)
	}
	inviter, err := tx.Users.Lock(ctx, by)
	if err != nil {
		return err
	}
	t := domain.OneTimeToken{Kind: domain.TokenInvitation, UserID: user.ID, CreatedBy: &by, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	return issue(ctx, tx, t, func(secret string, t domain.OneTimeToken) (domain.Event, error) {
		return domain.NewEvent(domain.EventUserInvited, user.ID, now, domain.UserInvited{
			Email: user.Email, FirstName: user.FirstName, LastName: user.LastName, Role: user.Role,
			InvitedBy: inviter.FullName(), Token: secret, ExpiresAt: t.ExpiresAt,
		})
	})
}

// Register makes the draft whom an invitation was mailed to an active user and logs them in. It returns KindInvalid on `token`, `username`
// and `password`, and KindConflict on `username` if someone has it. The invitation is used up only if all goes well.
func (s *Auth) Register(ctx context.Context, caller domain.Actor, secret, username, pass string, faults domain.Faults) (Tokens, error) {
	const invalid = "The invitation token is not valid"
	found, user, err := s.owner(ctx, domain.TokenInvitation, secret, domain.UserDraft)
	if err != nil {
		return Tokens{}, err
	}
	unknown := found == nil && !faults.Has("token")
	if unknown {
		faults.Add("token", invalid)
	}
	s.checkPassword(&faults, "password", pass, username, user.Email)
	if err := faults.Err(); err != nil {
		if unknown {
			return Tokens{}, s.refuseToken(ctx, caller, domain.TokenInvitation, err)
		}
		return Tokens{}, err
	}
	taken, err := s.store.Users.UsernameTaken(ctx, username)
	if err != nil {
		return Tokens{}, err
	}
	if taken {
		return Tokens{}, repository.UsernameTaken(username)
	}
	hash, err := s.hasher.Hash(ctx, pass)
	if err != nil {
		return Tokens{}, err
	}
	var opened session
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		if err := use(ctx, tx, *found, now, invalid); err != nil {
			return err
		}
		user.Activate(username, hash, now)
		if err := tx.Users.SaveActivation(ctx, user); err != nil {
			return err
		}
		caller.ID = user.ID
		note(tx, caller, domain.AuditUserRegistered, "user", user.ID.String(), domain.AuditDetails{"username": username}, now)
		opened, err = s.open(ctx, tx, user.ID)
		return err
	})
	if isKind(err, domain.KindInvalid) { // someone else has used it up meanwhile
		return Tokens{}, s.refuseToken(ctx, caller, domain.TokenInvitation, err)
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.pair(opened)
}
