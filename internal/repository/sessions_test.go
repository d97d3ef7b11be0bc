package repository_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// session opens a session of one hour, two in all, whose first refresh token has the hash.
func (b *base) session(u domain.User, hash string) domain.Session {
	b.t.Helper()
	s := domain.NewSession(u.ID, time.Hour, 2*time.Hour, now)
	b.ok(b.Sessions.Create(b.ctx, s, domain.RefreshToken{Hash: hash, SessionID: s.ID, CreatedAt: now}))
	return s
}

func TestSessions_Actor(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		for name, c := range map[string]struct {
			change func(u domain.User, s domain.Session) error
			at     time.Duration // after the login
			want   domain.Role   // empty: refused
		}{
			"live":             {nil, time.Minute, domain.RoleUser},
			"just before idle": {nil, time.Hour - time.Millisecond, domain.RoleUser},
			"idle":             {nil, time.Hour, ""},
			"touched": {func(_ domain.User, s domain.Session) error {
				s.Touch(time.Hour, now.Add(time.Hour))
				return b.Sessions.Touch(b.ctx, s)
			}, 90 * time.Minute, domain.RoleUser},
			"touched, at its end": {func(_ domain.User, s domain.Session) error {
				s.Touch(9*time.Hour, now.Add(time.Hour))
				return b.Sessions.Touch(b.ctx, s)
			}, 2 * time.Hour, ""},
			"ended":            {func(_ domain.User, s domain.Session) error { return b.Sessions.End(b.ctx, s.ID, now) }, time.Minute, ""},
			"all ended":        {func(u domain.User, _ domain.Session) error { return b.Sessions.EndAll(b.ctx, u.ID, uuid.Nil, now) }, time.Minute, ""},
			"all others ended": {func(u domain.User, s domain.Session) error { return b.Sessions.EndAll(b.ctx, u.ID, s.ID, now) }, time.Minute, domain.RoleUser},
			"another's ended": {func(domain.User, domain.Session) error {
				return b.Sessions.EndAll(b.ctx, domain.NewID(), uuid.Nil, now)
			}, time.Minute, domain.RoleUser},
			"user deleted": {func(u domain.User, _ domain.Session) error { return b.Users.Delete(b.ctx, u.ID, now) }, time.Minute, ""},
			"user promoted": {func(u domain.User, _ domain.Session) error {
				u.Role = domain.RoleAdmin
				return b.Users.SaveDescription(b.ctx, u)
			}, time.Minute, domain.RoleAdmin},
			"user a draft": {func(u domain.User, _ domain.Session) error {
				return b.exec("UPDATE users SET status = 'Draft' WHERE id = ?", u.ID.String())
			}, time.Minute, ""},
		} {
			t.Run(name, func(t *testing.T) {
				u := b.user("u"+domain.NewID().String(), domain.RoleUser)
				s := b.session(u, domain.NewID().String())
				if c.change != nil {
					require.NoError(t, c.change(u, s))
				}
				caller, err := b.Sessions.Actor(b.ctx, s.ID, u.ID, now.Add(c.at))
				if c.want == "" {
					b.refuses(err, domain.KindNotFound, "authorization")
					return
				}
				require.NoError(t, err)
				require.Equal(t, domain.Actor{ID: u.ID, Role: c.want, SessionID: s.ID}, caller.Actor)
			})
		}
		u, other := b.user("jane", domain.RoleUser), b.user("john", domain.RoleAdmin)
		s := b.session(u, "hash")
		for _, pair := range [][2]uuid.UUID{{s.ID, other.ID}, {domain.NewID(), u.ID}, {uuid.Nil, uuid.Nil}} {
			_, err := b.Sessions.Actor(b.ctx, pair[0], pair[1], now)
			b.refuses(err, domain.KindNotFound, "authorization")
		}
	})
}

func TestSessions_refreshTokens(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		s := b.session(u, "first")
		found, err := b.Sessions.ByRefresh(b.ctx, "first")
		b.ok(err)
		require.Equal(t, s, found)
		_, err = b.Sessions.ByRefresh(b.ctx, "unknown")
		b.refuses(err, domain.KindNotFound, "refreshToken")

		spent, err := b.Sessions.Spend(b.ctx, "unknown", now)
		b.ok(err)
		require.False(t, spent)
		wins := 0
		for _, spent := range together(20, func(int) bool {
			spent, err := b.Sessions.Spend(b.ctx, "first", now)
			return spent && err == nil
		}) {
			if spent {
				wins++
			}
		}
		require.Equal(t, 1, wins, "a token is spent once")

		b.ok(b.Sessions.AddRefresh(b.ctx, domain.RefreshToken{Hash: "second", SessionID: s.ID, CreatedAt: now}))
		for _, hash := range []string{"first", "second"} {
			found, err = b.Sessions.ByRefresh(b.ctx, hash)
			b.ok(err)
			require.Equal(t, s, found, "a spent token still tells its session")
		}
		spent, err = b.Sessions.Spend(b.ctx, "second", now)
		b.ok(err)
		require.True(t, spent)
	})
}

func TestSessions_ByRefresh_holdsTheSession(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		b.session(b.user("jane", domain.RoleUser), "hash")
		hold := func(tx *repository.Store) error {
			_, err := tx.Sessions.ByRefresh(b.ctx, "hash")
			return err
		}
		b.blocks(hold, hold)
	})
}

func TestSessions_Purge(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		keep := func(hash string, idle, ttl time.Duration, ended *time.Time) {
			s := domain.NewSession(u.ID, idle, ttl, now)
			s.EndedAt = ended
			b.ok(b.Sessions.Create(b.ctx, s, domain.RefreshToken{Hash: hash, SessionID: s.ID, CreatedAt: now}))
		}
		keep("live", 2*time.Hour, 3*time.Hour, nil)
		keep("expired", time.Minute, time.Minute, nil)
		keep("idle", time.Minute, 3*time.Hour, nil)
		keep("ended", 2*time.Hour, 3*time.Hour, new(now.Add(time.Minute)))
		keep("ended just now", 2*time.Hour, 3*time.Hour, new(now.Add(time.Hour)))
		b.ok(b.Sessions.Purge(b.ctx, now.Add(time.Hour)))
		require.Equal(t, []string{"ended just now", "live"}, b.strings("SELECT hash FROM refresh_tokens ORDER BY hash"), "the tokens went with their sessions")
		require.Equal(t, 2, b.count("sessions"))
	})
}

// token makes a one-time token that expires in an hour.
func (b *base) token(kind domain.TokenKind, u domain.User, created time.Time) domain.OneTimeToken {
	b.t.Helper()
	id := domain.NewID()
	token := domain.OneTimeToken{ID: id, Kind: kind, UserID: u.ID, TokenHash: "hash of " + id.String(), EventID: domain.NewID(), CreatedBy: &u.ID, CreatedAt: created, ExpiresAt: created.Add(time.Hour)}
	b.ok(b.Tokens.Create(b.ctx, token))
	return token
}

func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u, other := b.user("jane", domain.RoleUser), b.user("john", domain.RoleUser)
		invitation, reset := b.token(domain.TokenInvitation, u, now), b.token(domain.TokenPasswordReset, u, now)
		others := b.token(domain.TokenPasswordReset, other, now)

		found, err := b.Tokens.ByHash(b.ctx, domain.TokenInvitation, invitation.TokenHash)
		b.ok(err)
		require.Equal(t, invitation, found)
		for kind, hash := range map[domain.TokenKind]string{domain.TokenInvitation: reset.TokenHash, domain.TokenPasswordReset: "unknown"} {
			_, err = b.Tokens.ByHash(b.ctx, kind, hash)
			b.refuses(err, domain.KindNotFound, "token")
		}

		b.ok(b.Tokens.Revoke(b.ctx, u.ID, now, domain.TokenPasswordReset))
		found, err = b.Tokens.ByHash(b.ctx, domain.TokenPasswordReset, reset.TokenHash)
		b.ok(err)
		reset.RevokedAt = &now
		require.Equal(t, reset, found, "found, although it opens nothing any more")
		for _, c := range []struct {
			token domain.OneTimeToken
			live  bool
		}{{invitation, true}, {reset, false}, {others, true}} {
			live, err := b.Tokens.LiveForEvent(b.ctx, c.token.EventID, now)
			b.ok(err)
			require.Equal(t, c.live, live)
			used, err := b.Tokens.Use(b.ctx, c.token.ID, now)
			b.ok(err)
			require.Equal(t, c.live, used)
			used, err = b.Tokens.Use(b.ctx, c.token.ID, now)
			b.ok(err)
			require.False(t, used, "not twice")
			live, err = b.Tokens.LiveForEvent(b.ctx, c.token.EventID, now)
			b.ok(err)
			require.False(t, live)
		}
		live, err := b.Tokens.LiveForEvent(b.ctx, domain.NewID(), now)
		b.ok(err)
		require.False(t, live, "an event that no token belongs to")

		b.ok(b.Tokens.Revoke(b.ctx, u.ID, now.Add(time.Minute), domain.TokenInvitation, domain.TokenPasswordReset))
		found, err = b.Tokens.ByHash(b.ctx, domain.TokenInvitation, invitation.TokenHash)
		b.ok(err)
		invitation.UsedAt = &now
		require.Equal(t, invitation, found, "what was used is not revoked")
	})
}

func TestTokens_expire(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		token := b.token(domain.TokenInvitation, b.user("jane", domain.RoleUser), now)
		for after, want := range map[time.Duration]bool{time.Hour: false, time.Hour + 1: false, time.Hour - time.Millisecond: true} {
			live, err := b.Tokens.LiveForEvent(b.ctx, token.EventID, now.Add(after))
			b.ok(err)
			require.Equal(t, want, live, after)
		}
		used, err := b.Tokens.Use(b.ctx, token.ID, token.ExpiresAt)
		b.ok(err)
		require.False(t, used)
	})
}

func TestTokens_ofTwentyUsersOneWins(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		token := b.token(domain.TokenInvitation, b.user("jane", domain.RoleUser), now)
		wins := 0
		for _, used := range together(20, func(int) bool {
			used, err := b.Tokens.Use(b.ctx, token.ID, now)
			return used && err == nil
		}) {
			if used {
				wins++
			}
		}
		require.Equal(t, 1, wins)
	})
}

func TestTokens_CountSince(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		for _, minutes := range []time.Duration{0, 10, 20} {
			b.token(domain.TokenPasswordReset, u, now.Add(minutes*time.Minute))
		}
		b.token(domain.TokenInvitation, u, now)
		b.token(domain.TokenPasswordReset, b.user("john", domain.RoleUser), now)
		for minutes, want := range map[time.Duration]int64{-1: 3, 0: 2, 10: 1, 15: 1, 20: 0} {
			n, err := b.Tokens.CountSince(b.ctx, u.ID, domain.TokenPasswordReset, now.Add(minutes*time.Minute))
			b.ok(err)
			require.Equal(t, want, n, "since minute %d", minutes)
		}
	})
}

func TestTokens_LastInvitation(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		b.token(domain.TokenPasswordReset, u, now.Add(time.Hour))
		_, err := b.Tokens.LastInvitation(b.ctx, u.ID)
		b.refuses(err, domain.KindNotFound, "id")

		b.token(domain.TokenInvitation, u, now)
		last := b.token(domain.TokenInvitation, u, now.Add(time.Minute))
		b.token(domain.TokenInvitation, b.user("john", domain.RoleUser), now.Add(time.Hour))
		invitation, err := b.Tokens.LastInvitation(b.ctx, u.ID)
		b.ok(err)
		require.Equal(t, domain.Invitation{State: domain.InvitationQueued, ExpiresAt: last.ExpiresAt}, invitation)

		d, _, err := b.Deliveries.Claim(b.ctx, domain.Event{ID: last.EventID, Subject: u.ID, Type: domain.EventUserInvited}, now, time.Minute)
		b.ok(err)
		d.State, d.Attempts, d.SentAt = domain.DeliverySent, 2, &now
		b.ok(b.Deliveries.Save(b.ctx, d, d.UpdatedAt))
		invitation, err = b.Tokens.LastInvitation(b.ctx, u.ID)
		b.ok(err)
		require.Equal(t, domain.Invitation{State: domain.InvitationSent, Attempts: 2, SentAt: &now, ExpiresAt: last.ExpiresAt}, invitation)
	})
}

func TestTokens_Purge(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		b.token(domain.TokenInvitation, u, now)
		kept := b.token(domain.TokenInvitation, u, now.Add(time.Hour))
		b.ok(b.Tokens.Purge(b.ctx, kept.ExpiresAt))
		require.Equal(t, []string{kept.TokenHash}, b.strings("SELECT token_hash FROM one_time_tokens"))
	})
}

func TestLogins(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		const jane, home, away = "jane@example.com", "192.0.2.1", "192.0.2.2"
		failures := func(account, address string, at time.Time) (domain.LoginFailures, int) {
			own, others, err := b.Logins.Failures(b.ctx, account, address, at)
			b.ok(err)
			return own, others
		}
		own, others := failures(jane, home, now)
		require.Equal(t, domain.LoginFailures{Account: jane, Address: home}, own)
		require.Zero(t, others)

		for i := range 3 {
			b.ok(b.Logins.Failed(b.ctx, jane, home, now.Add(time.Duration(i)*time.Minute)))
		}
		b.ok(b.Logins.Failed(b.ctx, jane, away, now.Add(30*time.Minute)))
		b.ok(b.Logins.Failed(b.ctx, "john@example.com", away, now))
		last := now.Add(2 * time.Minute)
		own, others = failures(jane, home, last)
		require.Equal(t, domain.LoginFailures{Account: jane, Address: home, Failures: 3, LastFailedAt: last}, own)
		require.Equal(t, 1, others)
		_, others = failures(jane, away, last)
		require.Equal(t, 3, others)
		_, others = failures(jane, away, last.Add(domain.FailureWindow))
		require.Zero(t, others, "those of others count for an hour")

		b.ok(b.Logins.Succeeded(b.ctx, jane, home, last))
		until := last.Add(domain.KnownAddressTTL)
		own, others = failures(jane, home, last)
		require.Equal(t, domain.LoginFailures{Account: jane, Address: home, LastFailedAt: last, KnownUntil: &until}, own)
		require.Equal(t, 1, others, "a success forgets only what came from its own address")

		b.ok(b.Logins.Failed(b.ctx, jane, home, last.Add(time.Minute)))
		own, _ = failures(jane, home, last)
		require.Equal(t, domain.LoginFailures{Account: jane, Address: home, Failures: 1, LastFailedAt: last.Add(time.Minute), KnownUntil: &until}, own, "known it stays")
		b.ok(b.Logins.Failed(b.ctx, jane, home, last.Add(time.Minute+domain.FailureWindow)))
		own, _ = failures(jane, home, last)
		require.Equal(t, 1, own.Failures, "after the window the count begins anew")

		fresh := "192.0.2.3"
		b.ok(b.Logins.Succeeded(b.ctx, jane, fresh, now))
		own, _ = failures(jane, fresh, now)
		until = now.Add(domain.KnownAddressTTL)
		require.Equal(t, domain.LoginFailures{Account: jane, Address: fresh, LastFailedAt: now, KnownUntil: &until}, own)
	})
}

func TestLogins_countEveryFailureAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		for _, err := range together(30, func(int) error { return b.Logins.Failed(b.ctx, "jane", "192.0.2.1", now) }) {
			b.ok(err)
		}
		own, _, err := b.Logins.Failures(b.ctx, "jane", "192.0.2.1", now)
		b.ok(err)
		require.Equal(t, 30, own.Failures)
	})
}

// TestLogins_Hold: of two tries for an account, known or not, the second one waits. Those for other accounts do not.
func TestLogins_Hold(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		hold := func(account string) func(tx *repository.Store) error {
			return func(tx *repository.Store) error { return tx.Logins.Hold(b.ctx, account) }
		}
		b.blocks(hold("jane"), hold("jane"))
		if b.Embedded() {
			return // one transaction at a time
		}
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(hold("jane")(tx))
			return b.InTx(b.ctx, hold("john"))
		}))
	})
}

func TestLogins_Purge(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		later := now.Add(domain.FailureWindow + time.Millisecond)
		b.ok(b.Logins.Failed(b.ctx, "old", "a", now))
		b.ok(b.Logins.Failed(b.ctx, "young", "a", now.Add(time.Minute)))
		b.ok(b.Logins.Succeeded(b.ctx, "known", "a", now))
		b.ok(b.Logins.Purge(b.ctx, later))
		require.Equal(t, []string{"known", "young"}, b.strings("SELECT account FROM login_failures ORDER BY account"))
		b.ok(b.Logins.Purge(b.ctx, now.Add(domain.KnownAddressTTL+time.Millisecond)))
		require.Zero(t, b.count("login_failures"))
	})
}
