package service_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/password"
	"inventoryhub/internal/service"
)

func TestOperator_FirstAdmin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		type result struct {
			made      bool
			generated string
			err       error
		}
		var winner result
		for _, r := range together(5, func(int) result {
			made, generated, err := w.operator.FirstAdmin(w.ctx, "admin@example.com", "")
			return result{made, generated, err}
		}) {
			w.ok(r.err)
			if r.made {
				require.Zero(t, winner, "one of five makes it")
				winner = r
			} else {
				require.Empty(t, r.generated)
			}
		}
		require.Len(t, winner.generated, 22)
		require.Equal(t, 1, w.count("users"))
		pair, err := w.auth.Login(w.ctx, domain.Stranger(address), "admin@example.com", winner.generated, "", nil)
		w.ok(err)
		admin, err := w.auth.Authenticate(w.ctx, pair.Access, address)
		w.ok(err)
		require.Equal(t, domain.RoleAdmin, admin.Role)

		made, generated, err := w.operator.FirstAdmin(w.ctx, "other@example.com", "whatever it is")
		w.ok(err)
		require.False(t, made, "there is one already")
		require.Empty(t, generated)
		require.Equal(t, 1, w.count("users"))
	})
}

// TestOperator_generated: a password that is made up keeps the rule for those that are chosen.
func TestOperator_generated(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		seen := map[string]bool{}
		for _, minLength := range []int{8, 22, 23, 64} {
			operator := service.NewOperator(w.store, password.NewHasher(), minLength, w.now)
			email := fmt.Sprintf("admin%d@example.com", minLength)
			generated, err := operator.CreateAdmin(w.ctx, email, "")
			w.ok(err)
			require.Len(t, generated, max(22, minLength))
			require.Empty(t, domain.PasswordFaults(generated, minLength, email))
			require.False(t, seen[generated[:22]])
			seen[generated[:22]] = true
		}
	})
}

func TestOperator_FirstAdmin_withItsPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		before := w.dump()
		_, _, err := w.operator.FirstAdmin(w.ctx, "admin@example.com", "short")
		w.refuses(err, domain.KindInvalid, "password")
		_, _, err = w.operator.FirstAdmin(w.ctx, "not an email", goodPassword)
		w.refuses(err, domain.KindInvalid, "email")
		require.Equal(t, before, w.dump())

		w.user(domain.RoleManager) // who is not an Admin
		w.draft(domain.RoleAdmin)  // who is none yet: this makes one, however
		made, generated, err := w.operator.FirstAdmin(w.ctx, "admin@example.com", goodPassword)
		w.ok(err)
		require.False(t, made)
		require.Empty(t, generated)
	})
}

// TestOperator_FirstAdmin_whoseEmailIsTaken is told, since nobody could administer.
func TestOperator_FirstAdmin_whoseEmailIsTaken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		taken := w.user(domain.RoleManager)
		made, _, err := w.operator.FirstAdmin(w.ctx, taken.Email, goodPassword)
		w.refuses(err, domain.KindConflict, "email")
		require.False(t, made)
		made, generated, err := w.operator.FirstAdmin(w.ctx, "admin@example.com", goodPassword)
		w.ok(err)
		require.True(t, made)
		require.Empty(t, generated, "it was given")
		w.login(domain.User{Email: "admin@example.com"})
	})
}

func TestOperator_CreateAdmin_usernames(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range []struct{ email, want string }{
			{"tolya@example.com", "tolya"},
			{"TOLYA@example.org", "admin-????????"}, // the name is taken, without regard to case
			{"tolya@example.net", "admin-????????"},
			{"admin@example.com", "admin"},
			{"a+b@example.com", "admin-????????"}, // no username, and "admin" is taken
			{"ab@example.com", "admin-????????"},  // too short
			{strings.Repeat("x", 33) + "@example.com", "admin-????????"},
		} {
			_, err := w.operator.CreateAdmin(w.ctx, c.email, goodPassword)
			w.ok(err)
			u, err := w.store.Users.ByEmail(w.ctx, c.email)
			w.ok(err)
			require.True(t, domain.IsUsername(*u.Username), *u.Username)
			require.Equal(t, strings.TrimRight(c.want, "?"), (*u.Username)[:len(strings.TrimRight(c.want, "?"))])
			require.Len(t, *u.Username, len(c.want))
			require.Equal(t, domain.User{
				ID: u.ID, Email: c.email, EmailKey: domain.Fold(c.email), Username: u.Username, UsernameKey: u.UsernameKey, FirstName: "Admin", FirstNameKey: "admin",
				LastName: "Admin", LastNameKey: "admin", Role: domain.RoleAdmin, Status: domain.UserActive, PasswordHash: u.PasswordHash, CreatedAt: w.now(), UpdatedAt: w.now(),
			}, u)
		}
		before := w.dump()
		for _, email := range []string{"tolya@example.com", "Tolya@Example.com"} {
			_, err := w.operator.CreateAdmin(w.ctx, email, goodPassword)
			w.refuses(err, domain.KindConflict, "email")
		}
		_, err := w.operator.CreateAdmin(w.ctx, "new-admin@example.com", "new-admin@example.com")
		w.refuses(err, domain.KindInvalid, "password")
		require.Equal(t, before, w.dump())
	})
}

func TestOperator_ResetPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		u, bystander := w.user(domain.RoleAdmin), w.as(domain.RoleUser)
		sessions := []actor{w.session(u), w.login(u)}
		w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), u.Email, nil))
		secret := w.lastEvent().Token
		before := w.dump()
		for email, c := range map[string]struct {
			pass  string
			kind  domain.Kind
			field string
		}{
			"nobody@example.com":           {"", domain.KindNotFound, "email"},
			w.draft(domain.RoleUser).Email: {"", domain.KindConflict, "email"},
			u.Email:                        {"password1", domain.KindInvalid, "password"},
		} {
			_, err := w.operator.ResetPassword(w.ctx, email, c.pass)
			w.refuses(err, c.kind, c.field)
		}
		require.Equal(t, before["sessions"], w.dump()["sessions"])

		generated, err := w.operator.ResetPassword(w.ctx, strings.ToUpper(u.Email), "")
		w.ok(err)
		for _, a := range sessions {
			require.False(t, w.live(a))
			_, err := w.auth.Refresh(w.ctx, domain.Stranger(address), a.access, a.refresh, nil)
			w.refuses(err, domain.KindUnauthenticated, "refreshToken")
		}
		require.True(t, w.live(bystander))
		w.refuses(w.auth.Reset(w.ctx, domain.Stranger(address), secret, "an entirely new one", nil), domain.KindInvalid, "token")
		_, err = w.auth.Login(w.ctx, domain.Stranger(address), u.Email, goodPassword, "", nil)
		w.refuses(err, domain.KindUnauthenticated, "credentials")
		_, err = w.auth.Login(w.ctx, domain.Stranger(address), u.Email, generated, "", nil)
		w.ok(err)
		generated, err = w.operator.ResetPassword(w.ctx, u.Email, "an entirely new one")
		w.ok(err)
		require.Empty(t, generated)
		_, err = w.auth.Login(w.ctx, domain.Stranger(address), u.Email, "an entirely new one", "", nil)
		w.ok(err)
	})
}

// TestOperator_Remove takes even the last Admin away. The next start makes another one, under the same email if need be.
func TestOperator_Remove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, _, err := w.operator.FirstAdmin(w.ctx, "admin@example.com", goodPassword)
		w.ok(err)
		admin := w.login(domain.User{Email: "admin@example.com"})
		invited := invitee(domain.RoleUser)
		w.ok(w.auth.Invite(w.ctx, admin.Actor, invited, nil, nil))
		secret := w.lastEvent().Token

		w.ok(w.operator.Remove(w.ctx, "ADMIN@example.com"))
		require.False(t, w.live(admin))
		_, err = w.auth.Login(w.ctx, domain.Stranger(address), "admin@example.com", goodPassword, "", nil)
		w.refuses(err, domain.KindUnauthenticated, "credentials")
		w.refuses(w.operator.Remove(w.ctx, "admin@example.com"), domain.KindNotFound, "email")

		w.ok(w.operator.Remove(w.ctx, invited.Email))
		_, err = w.auth.Register(w.ctx, domain.Stranger(address), secret, "new_comer", goodPassword, nil)
		w.refuses(err, domain.KindInvalid, "token")

		made, _, err := w.operator.FirstAdmin(w.ctx, "admin@example.com", goodPassword)
		w.ok(err)
		require.True(t, made)
		u, err := w.store.Users.ByEmail(w.ctx, "admin@example.com")
		w.ok(err)
		require.Equal(t, "admin", *u.Username, "the name is free again too")
	})
}
