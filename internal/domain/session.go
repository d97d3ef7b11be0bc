package domain

import (
	"time"

	"github.com/google/uuid"
)

// Session is one login. It ends at logout, when it is unused until IdleUntil, at ExpiresAt in any case, and when
// a refresh token of it is shown twice (RFC 9700 section 4.14.2).
type Session struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	CreatedAt time.Time
	IdleUntil time.Time
	ExpiresAt time.Time
	EndedAt   *time.Time
}

// MaxSessions is how many a user can have at a time; a login beyond it ends the oldest one. It is high enough for a shop's tills and scripts.
const MaxSessions = 100

// NewSession starts a session that lives for at most ttl and idle.
func NewSession(user uuid.UUID, idle, ttl time.Duration, now time.Time) Session {
	s := Session{ID: NewID(), UserID: user, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	s.Touch(idle, now)
	return s
}

// Touch puts the idle end off, never beyond the absolute one.
func (s *Session) Touch(idle time.Duration, now time.Time) {
	s.IdleUntil = now.Add(idle)
	if s.IdleUntil.After(s.ExpiresAt) {
		s.IdleUntil = s.ExpiresAt
	}
}

// Live says whether the session can still be used.
func (s Session) Live(now time.Time) bool { return s.EndedAt == nil && now.Before(s.IdleUntil) }

// RefreshToken is one link of a session's chain. Only its hash is kept; it is spent once.
type RefreshToken struct {
	Hash      string `gorm:"primaryKey"`
	SessionID uuid.UUID
	CreatedAt time.Time
	SpentAt   *time.Time
}

// TokenKind says what a one-time token opens.
type TokenKind string

// The kinds of one-time tokens.
const (
	TokenInvitation    TokenKind = "Invitation"
	TokenPasswordReset TokenKind = "PasswordReset"
)

// PasswordResetTTL is how long a reset token lives.
const PasswordResetTTL = 30 * time.Minute

// MaxResetsPerHour bounds the mails that a stranger can send to one user by asking for resets.
const MaxResetsPerHour = 3

// MaxInvitationsPerDay bounds the mails that whoever may invite can send to one address.
const MaxInvitationsPerDay = 20

// OneTimeToken is an invitation or a password reset. Only its hash is kept. It counts as long as it is neither used,
// revoked (a newer one, a deleted user, a changed email) nor expired.
type OneTimeToken struct {
	ID        uuid.UUID
	Kind      TokenKind
	UserID    uuid.UUID
	TokenHash string
	EventID   uuid.UUID  // the event that mails it
	CreatedBy *uuid.UUID // the inviter; nil for a reset
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    *time.Time
	RevokedAt *time.Time
}

// Live says whether the token still opens something.
func (t OneTimeToken) Live(now time.Time) bool {
	return t.UsedAt == nil && t.RevokedAt == nil && now.Before(t.ExpiresAt)
}

// LoginFailures counts wrong passwords for one account from one address. The account is known by the folded email
// that was tried, whether or not it exists.
type LoginFailures struct {
	Account      string `gorm:"primaryKey"`
	Address      string `gorm:"primaryKey"`
	Failures     int    // since the last success from this address, or since Window began
	LastFailedAt time.Time
	KnownUntil   *time.Time // set by a success: until then the address is known as the owner's
}

// Bounds of wrong passwords. An address has freeFailures tries, then waits 1 s, doubling to maxLoginWait. All
// unknown addresses together have maxAccountFailures an hour (NIST SP 800-63B section 5.2.2 allows 100 in a row); the owner's
// known address is not held up by theirs, so that a stranger cannot lock the owner out.
const (
	freeFailures       = 10
	maxLoginWait       = 5 * time.Minute
	maxAccountFailures = 100
	// FailureWindow is how long a failure counts.
	FailureWindow = time.Hour
	// KnownAddressTTL is how long an address counts as the owner's after a login.
	KnownAddressTTL = 30 * 24 * time.Hour
)

// LoginWait says how long the next try from the address has to wait; others is the number of failures from
// all other addresses within the window.
func (f LoginFailures) LoginWait(others int, now time.Time) time.Duration {
	known := f.KnownUntil != nil && now.Before(*f.KnownUntil)
	failures := f.Failures
	if now.Sub(f.LastFailedAt) >= FailureWindow {
		failures = 0
	}
	if !known && failures+others >= maxAccountFailures {
		return maxLoginWait
	}
	if failures < freeFailures {
		return 0
	}
	wait := maxLoginWait
	if doublings := failures - freeFailures; doublings < 9 { // 2^9 s is beyond five minutes
		wait = min(time.Second<<doublings, maxLoginWait)
	}
	return f.LastFailedAt.Add(wait).Sub(now)
}
