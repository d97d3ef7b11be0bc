package service

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/token"
)

// AuthSettings are the lifetimes and bounds that an operator may choose.
type AuthSettings struct {
	RefreshTTL    time.Duration // a session unused for so long ends
	SessionTTL    time.Duration // a session ends so long after the login in any case
	InvitationTTL time.Duration
	MinPassword   int // characters
	// RequireFactor lists the roles that need a second factor before anything else is open to them.
	RequireFactor []domain.Role
}

// Auth is about who somebody is: login, sessions, invitations and passwords.
type Auth struct {
	store    *repository.Store
	tokens   *token.Issuer
	vault    *token.Vault
	hasher   *password.Hasher
	settings AuthSettings
	clock    clock
	callers  *callers
}

// NewAuth makes the use cases of /auth.
func NewAuth(store *repository.Store, tokens *token.Issuer, vault *token.Vault, hasher *password.Hasher, settings AuthSettings, now func() time.Time) *Auth {
	s := &Auth{store: store, tokens: tokens, vault: vault, hasher: hasher, settings: settings, clock: now, callers: newCallers(now)}
	store.OnCallers(s.callers.forget)
	return s
}

// Tokens is what a login gives: a signed access token, and a refresh token that is good for the next pair.
type Tokens struct {
	Access  string
	Refresh string
}

// Authenticate finds out who calls from an access token or an API key, with the role that the database holds at this moment. It returns
// KindUnauthenticated if it is not valid, its session has ended or its user is gone.
func (s *Auth) Authenticate(ctx context.Context, access, address string) (domain.Actor, error) {
	actor, _, err := s.ask(ctx, access)
	actor.Address = address
	return actor, err
}

// Recognize is [Auth.Authenticate] for a call that changes nothing: it may go by what the database said up to [rememberFor] ago, unless
// that was changed meanwhile; see [Auth.RememberCallers].
func (s *Auth) Recognize(ctx context.Context, access, address string) (domain.Actor, error) {
	d := digestOf(access)
	actor, epoch, known := s.callers.recall(d)
	if !known {
		var until time.Time
		var err error
		if actor, until, err = s.ask(ctx, access); err != nil {
			return domain.Actor{}, err
		}
		s.callers.remember(d, actor, until, epoch)
	}
	actor.Address = address
	return actor, nil
}

// ask asks the database who calls, and says when that ends at the latest.
func (s *Auth) ask(ctx context.Context, access string) (domain.Actor, time.Time, error) {
	find := s.bySession
	if strings.HasPrefix(access, domain.KeyPrefix) {
		find = s.byKey
	}
	actor, until, err := find(ctx, access)
	if err != nil {
		return domain.Actor{}, time.Time{}, err
	}
	actor.Barred = s.requiresFactor(actor.Role) && !actor.HasFactor
	return actor, until, nil
}

// OnBehalf has everything under the context be done for the actor. If it may lag, it may be told what was true a few seconds ago, where there are
// replicas of the database, but never from before the actor's own last change.
func (s *Auth) OnBehalf(ctx context.Context, actor domain.Actor, mayLag bool) context.Context {
	return s.store.OnBehalf(ctx, actor.ID, mayLag)
}

func (s *Auth) bySession(ctx context.Context, access string) (domain.Actor, time.Time, error) {
	claims, err := s.tokens.Verify(access)
	if err != nil {
		return domain.Actor{}, time.Time{}, err
	}
	caller, err := s.store.Sessions.Actor(ctx, claims.SessionID, claims.UserID, s.clock.now())
	if isKind(err, domain.KindNotFound) {
		return domain.Actor{}, time.Time{}, domain.Unauthenticated("authorization", "The session has ended")
	}
	return caller.Actor, earlier(caller.Until, claims.ExpiresAt), err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Login opens a session for an active user. For an unknown email, a wrong password, a draft and a deleted user it returns the same
// KindUnauthenticated on `credentials` after the same work. A user with a second factor needs a code of it too: without a right one it returns
// KindUnauthenticated on `code`. It returns KindThrottled after too many wrong passwords or codes.
func (s *Auth) Login(ctx context.Context, caller domain.Actor, email, pass, code string, faults domain.Faults) (Tokens, error) {
	if err := faults.Err(); err != nil {
		return Tokens{}, err
	}
	if err := s.countTry(ctx, caller, email); err != nil {
		return Tokens{}, err
	}
	user, err := s.store.Users.ByEmail(ctx, email)
	if err != nil && !isKind(err, domain.KindNotFound) {
		return Tokens{}, err
	}
	right := false
	if err == nil && user.Status == domain.UserActive {
		right, err = s.hasher.Verify(ctx, pass, *user.PasswordHash)
	} else {
		err = s.hasher.VerifyNothing(ctx, pass)
	}
	if err != nil {
		return Tokens{}, err
	}
	if !right {
		refused := domain.Unauthenticated("credentials", "The email or the password is wrong")
		return Tokens{}, s.refuse(ctx, caller, domain.AuditLoginFailed, "account", domain.Fold(email), refused)
	}
	var opened session
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		if err := s.prove(ctx, tx, user.ID, code, now); err != nil {
			return err
		}
		if err := tx.Logins.Succeeded(ctx, domain.Fold(email), caller.Address, now); err != nil {
			return err
		}
		caller.ID = user.ID
		note(tx, caller, domain.AuditLoggedIn, "user", user.ID.String(), nil, now)
		opened, err = s.open(ctx, tx, user.ID)
		return err
	})
	if isKind(err, domain.KindUnauthenticated) {
		return Tokens{}, s.refuse(ctx, caller, domain.AuditLoginFailed, "account", domain.Fold(email), err)
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.pair(opened)
}

// refuse notes a refusal, which is the answer all the same.
func (s *Auth) refuse(ctx context.Context, caller domain.Actor, action domain.AuditAction, kind, target string, refused error) error {
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		note(tx, caller, action, kind, target, nil, s.clock.now())
		return nil
	})
	if err != nil {
		return err
	}
	return refused
}

// countTry counts a try as failed until it proves right, so that many at once gain nothing. It returns KindThrottled if the address,
// or the account as a whole, has to wait.
func (s *Auth) countTry(ctx context.Context, caller domain.Actor, email string) error {
	account, now := domain.Fold(email), s.clock.now()
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		if err := tx.Logins.Hold(ctx, account); err != nil {
			return err
		}
		own, others, err := tx.Logins.Failures(ctx, account, caller.Address, now)
		if err != nil {
			return err
		}
		if wait := own.LoginWait(others, now); wait > 0 {
			return domain.Throttled(wait)
		}
		return tx.Logins.Failed(ctx, account, caller.Address, now)
	})
}

// session is a live session with the one refresh token that carries it on, in clear.
type session struct {
	id, user uuid.UUID
	refresh  string
}

// open begins a session.
func (s *Auth) open(ctx context.Context, tx *repository.Store, user uuid.UUID) (session, error) {
	now := s.clock.now()
	row := domain.NewSession(user, s.settings.RefreshTTL, s.settings.SessionTTL, now)
	opened := session{id: row.ID, user: user, refresh: token.NewSecret()}
	if err := tx.Sessions.EndOldest(ctx, user, domain.MaxSessions-1, now); err != nil {
		return session{}, err
	}
	return opened, tx.Sessions.Create(ctx, row, domain.RefreshToken{Hash: token.Hash(opened.refresh), SessionID: row.ID, CreatedAt: now})
}

func (s *Auth) pair(of session) (Tokens, error) {
	access, err := s.tokens.Issue(token.Claims{UserID: of.user, SessionID: of.id})
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, Refresh: of.refresh}, nil
}

// Refresh exchanges an access token, which may have expired, and the refresh token of the same session for a new pair. It returns
// KindUnauthenticated on `authorization` or `refreshToken`. A refresh token that is shown a second time ends its session. When
// anything fails, the token is not spent.
func (s *Auth) Refresh(ctx context.Context, caller domain.Actor, access, refresh string, faults domain.Faults) (Tokens, error) {
	claims, err := s.tokens.VerifyExpired(access)
	if err != nil {
		return Tokens{}, s.refuse(ctx, caller, domain.AuditTokenRefused, "token", "Refresh", err)
	}
	if err := faults.Err(); err != nil {
		return Tokens{}, err
	}
	hash, refused := token.Hash(refresh), domain.Unauthenticated("refreshToken", "The refresh token is not valid")
	next, reused := session{id: claims.SessionID, user: claims.UserID}, false
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		row, err := tx.Sessions.ByRefresh(ctx, hash)
		if isKind(err, domain.KindNotFound) {
			return refused
		}
		if err != nil {
			return err
		}
		if row.ID != claims.SessionID || row.UserID != claims.UserID {
			return domain.Unauthenticated("authorization", "The access token and the refresh token do not belong together")
		}
		if _, err := tx.Sessions.Actor(ctx, row.ID, row.UserID, now); err != nil {
			if isKind(err, domain.KindNotFound) {
				return refused
			}
			return err
		}
		spent, err := tx.Sessions.Spend(ctx, hash, now)
		if err != nil {
			return err
		}
		caller.ID = row.UserID
		if reused = !spent; reused {
			note(tx, caller, domain.AuditTokenReused, "user", row.UserID.String(), nil, now)
			return tx.Sessions.End(ctx, row.ID, now) // kept, although the caller is refused
		}
		row.Touch(s.settings.RefreshTTL, now)
		if err := tx.Sessions.Touch(ctx, row); err != nil {
			return err
		}
		note(tx, caller, domain.AuditRefreshed, "user", row.UserID.String(), nil, now)
		next.refresh = token.NewSecret()
		return tx.Sessions.AddRefresh(ctx, domain.RefreshToken{Hash: token.Hash(next.refresh), SessionID: row.ID, CreatedAt: now})
	})
	if isKind(err, domain.KindUnauthenticated) { // by nobody in particular: the user of the claims has proved nothing, and may be gone
		return Tokens{}, s.refuse(ctx, caller, domain.AuditTokenRefused, "user", claims.UserID.String(), err)
	}
	if err != nil {
		return Tokens{}, err
	}
	if reused {
		return Tokens{}, refused
	}
	return s.pair(next)
}

// Logout ends the actor's session.
func (s *Auth) Logout(ctx context.Context, actor domain.Actor) error {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return err
	}
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		note(tx, actor, domain.AuditLoggedOut, "user", actor.ID.String(), nil, now)
		return tx.Sessions.End(ctx, actor.SessionID, now)
	})
}

// ChangePassword sets the actor's password, ends their other sessions and voids their resets. It returns KindInvalid on `currentPassword`
// and `newPassword`, and KindThrottled after too many wrong ones.
func (s *Auth) ChangePassword(ctx context.Context, actor domain.Actor, current, next string, faults domain.Faults) error {
	if err := actor.Require(domain.OwnAccount); err != nil {
		return err
	}
	user, err := s.askAgain(ctx, actor, current, &faults)
	if err != nil {
		return err
	}
	s.checkPassword(&faults, "newPassword", next, user.OwnWords()...)
	if err := faults.Err(); err != nil {
		return err
	}
	return s.setPassword(ctx, user.ID, actor.SessionID, next, func(tx *repository.Store, now time.Time) error {
		note(tx, actor, domain.AuditPasswordChanged, "user", user.ID.String(), nil, now)
		return nil
	})
}

// askAgain has the actor show their password before a change of the account. A wrong one becomes a fault on `currentPassword`, and counts as one at the
// login does.
func (s *Auth) askAgain(ctx context.Context, actor domain.Actor, current string, faults *domain.Faults) (domain.User, error) {
	user, right, err := s.askPassword(ctx, actor, current, faults)
	if err == nil && right {
		err = s.store.Logins.Succeeded(ctx, user.EmailKey, actor.Address, s.clock.now())
	}
	return user, err
}

// askPassword is askAgain, but leaves the try counted as a wrong one.
func (s *Auth) askPassword(ctx context.Context, actor domain.Actor, current string, faults *domain.Faults) (domain.User, bool, error) {
	user, err := s.store.Users.ByID(ctx, actor.ID)
	if err != nil || faults.Has("currentPassword") {
		return user, false, err
	}
	if err := s.countTry(ctx, actor, user.Email); err != nil {
		return user, false, err
	}
	right, err := s.hasher.Verify(ctx, current, *user.PasswordHash)
	if err == nil && !right {
		faults.Add("currentPassword", "The current password is wrong")
		err = s.refuse(ctx, actor, domain.AuditPasswordRefused, "user", user.ID.String(), nil)
	}
	return user, right, err
}

// checkPassword notes what is wrong with a new password, unless it is noted already that there is none.
func (s *Auth) checkPassword(faults *domain.Faults, field, pass string, own ...string) {
	if faults.Has(field) {
		return
	}
	for _, fault := range domain.PasswordFaults(pass, s.settings.MinPassword, own...) {
		faults.Add(field, "%s", fault)
	}
}

// setPassword ends all sessions but the one to keep. before runs first in the same transaction.
func (s *Auth) setPassword(ctx context.Context, user, keep uuid.UUID, pass string, before func(*repository.Store, time.Time) error) error {
	hash, err := s.hasher.Hash(ctx, pass)
	if err != nil {
		return err
	}
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		if err := before(tx, now); err != nil {
			return err
		}
		return savePassword(ctx, tx, user, keep, hash, now)
	})
}

// savePassword is what a new password brings with it, whoever sets it.
func savePassword(ctx context.Context, tx *repository.Store, user, keep uuid.UUID, hash string, now time.Time) error {
	if err := tx.Users.SavePassword(ctx, user, hash, now); err != nil {
		return err
	}
	if err := endSessions(ctx, tx, user, keep, now); err != nil {
		return err
	}
	return tx.Tokens.Revoke(ctx, user, now, domain.TokenPasswordReset)
}

// endSessions ends all sessions of a user but the one to keep. Without one to keep, whoever was in is to be out, and so are the API keys.
func endSessions(ctx context.Context, tx *repository.Store, user, keep uuid.UUID, now time.Time) error {
	if keep == uuid.Nil {
		if err := tx.Keys.RevokeAll(ctx, user, now); err != nil {
			return err
		}
	}
	return tx.Sessions.EndAll(ctx, user, keep, now)
}

// forgotTime is how long Forgot takes for everyone. The work of a known email takes a hundredth of it.
const forgotTime = 250 * time.Millisecond

// Forgot mails a reset token to an active user, at most three an hour, and nothing to anybody else. The answer tells nothing, not even
// by its time.
func (s *Auth) Forgot(ctx context.Context, caller domain.Actor, email string, faults domain.Faults) error {
	if err := faults.Err(); err != nil {
		return err
	}
	enough := time.NewTimer(forgotTime)
	defer enough.Stop()
	err := s.sendReset(ctx, caller, email)
	select {
	case <-enough.C:
	case <-ctx.Done():
	}
	return err
}

func (s *Auth) sendReset(ctx context.Context, caller domain.Actor, email string) error {
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		note(tx, caller, domain.AuditResetRequested, "account", domain.Fold(email), nil, now)
		user, err := tx.Users.LockByEmail(ctx, email)
		if isKind(err, domain.KindNotFound) {
			return nil
		}
		if err != nil || user.Status != domain.UserActive {
			return err
		}
		recent, err := tx.Tokens.CountSince(ctx, user.ID, domain.TokenPasswordReset, now.Add(-time.Hour))
		if err != nil || recent >= domain.MaxResetsPerHour {
			return err
		}
		return issue(ctx, tx, domain.OneTimeToken{Kind: domain.TokenPasswordReset, UserID: user.ID, CreatedAt: now, ExpiresAt: now.Add(domain.PasswordResetTTL)},
			func(secret string, t domain.OneTimeToken) (domain.Event, error) {
				return domain.NewEvent(domain.EventPasswordReset, user.ID, now, domain.PasswordReset{
					Email: user.Email, FirstName: user.FirstName, LastName: user.LastName, Token: secret, ExpiresAt: t.ExpiresAt,
				})
			})
	})
}

// issue replaces a user's token of the kind by a new one and announces it by the event that announce makes.
func issue(ctx context.Context, tx *repository.Store, t domain.OneTimeToken, announce func(secret string, t domain.OneTimeToken) (domain.Event, error)) error {
	if err := tx.Tokens.Revoke(ctx, t.UserID, t.CreatedAt, t.Kind); err != nil {
		return err
	}
	secret := token.NewSecret()
	event, err := announce(secret, t)
	if err != nil {
		return err
	}
	t.ID, t.TokenHash, t.EventID = domain.NewID(), token.Hash(secret), event.ID
	if err := tx.Tokens.Create(ctx, t); err != nil {
		return err
	}
	return tx.Outbox.Add(ctx, event)
}

// Reset sets the password of whom a reset token was mailed to, and ends all their sessions. It returns KindInvalid on `token` and `password`.
func (s *Auth) Reset(ctx context.Context, caller domain.Actor, secret, pass string, faults domain.Faults) error {
	found, user, err := s.owner(ctx, domain.TokenPasswordReset, secret, domain.UserActive)
	if err != nil {
		return err
	}
	const invalid = "The reset token is not valid"
	unknown := found == nil && !faults.Has("token")
	if unknown {
		faults.Add("token", invalid)
	}
	s.checkPassword(&faults, "password", pass, user.OwnWords()...)
	if err := faults.Err(); err != nil {
		if unknown {
			return s.refuseToken(ctx, caller, domain.TokenPasswordReset, err)
		}
		return err
	}
	err = s.setPassword(ctx, user.ID, uuid.Nil, pass, func(tx *repository.Store, now time.Time) error {
		if err := use(ctx, tx, *found, now, invalid); err != nil {
			return err
		}
		caller.ID = user.ID
		note(tx, caller, domain.AuditPasswordReset, "user", user.ID.String(), nil, now)
		return nil
	})
	if isKind(err, domain.KindInvalid) { // someone else has used it up meanwhile
		return s.refuseToken(ctx, caller, domain.TokenPasswordReset, err)
	}
	return err
}

// refuseToken notes that somebody has shown a one-time token that opens nothing.
func (s *Auth) refuseToken(ctx context.Context, caller domain.Actor, kind domain.TokenKind, refused error) error {
	return s.refuse(ctx, caller, domain.AuditTokenRefused, "token", string(kind), refused)
}

// owner finds a live token and its user, who must have the status. It gives no token if there is none such.
func (s *Auth) owner(ctx context.Context, kind domain.TokenKind, secret string, status domain.UserStatus) (*domain.OneTimeToken, domain.User, error) {
	t, err := s.store.Tokens.ByHash(ctx, kind, token.Hash(secret))
	if err == nil {
		var user domain.User
		user, err = s.store.Users.ByID(ctx, t.UserID)
		if err == nil && t.Live(s.clock.now()) && user.Status == status {
			return &t, user, nil
		}
	}
	if err != nil && !isKind(err, domain.KindNotFound) {
		return nil, domain.User{}, err
	}
	return nil, domain.User{}, nil
}

// use uses a token up; of two at the same moment one gets a KindInvalid on `token`.
func use(ctx context.Context, tx *repository.Store, t domain.OneTimeToken, now time.Time, invalid string) error {
	used, err := tx.Tokens.Use(ctx, t.ID, now)
	if err == nil && !used {
		return domain.Invalid("token", "%s", invalid)
	}
	return err
}
