package service_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
	"inventoryhub/internal/storetest"
)

// remember has reads remember who calls until the test ends, and gives what is told of it.
func (w *world) remember() <-chan bool {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(w.ctx))
	told, ended := make(chan bool, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		w.auth.RememberCallers(ctx, func(hears bool, _ error) { told <- hears })
	}()
	w.t.Cleanup(func() {
		stop()
		<-ended
	})
	require.True(w.t, <-told)
	return told
}

// recognized gives the role with which somebody's read is answered, and nothing if it is refused.
func (w *world) recognized(access string) domain.Role {
	w.t.Helper()
	who, err := w.auth.Recognize(w.ctx, access, address)
	if err != nil {
		w.refuses(err, domain.KindUnauthenticated, "authorization")
		return ""
	}
	require.Equal(w.t, address, who.Address)
	return who.Role
}

// behind runs statements that no server is told of.
func (w *world) behind(statements ...string) {
	w.t.Helper()
	if !w.store.Embedded() {
		for _, table := range []string{"users", "sessions", "second_factors", "api_keys"} {
			w.exec("ALTER TABLE " + table + " DISABLE TRIGGER " + table + "_tell_callers")
		}
	}
	w.exec(statements...)
}

// key makes an API key for somebody.
func (w *world) key(of actor) (domain.APIKey, string) {
	w.t.Helper()
	made, text, err := w.auth.CreateKey(w.ctx, of.Actor, service.NewKey{Name: "till", Scope: domain.ScopeRead, Days: 1}, goodPassword, nil)
	w.ok(err)
	return made, text
}

func demote(u domain.User) string {
	return fmt.Sprintf("UPDATE users SET role = 'ReadonlyUser' WHERE id = '%s'", u.ID)
}

// TestRecognize_forASecond shows what is remembered at all: what nobody is told of is seen by reads a second later, and by changes at once.
func TestRecognize_forASecond(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remember()
		user := w.as(domain.RoleManager)
		_, key := w.key(user)
		for _, access := range []string{user.access, key} {
			require.Equal(t, domain.RoleManager, w.recognized(access))
		}
		w.advance(600 * time.Millisecond)
		w.behind(demote(user.user))
		w.advance(399 * time.Millisecond)
		for _, access := range []string{user.access, key} {
			require.Equal(t, domain.RoleManager, w.recognized(access), "remembered")
			who, err := w.auth.Authenticate(w.ctx, access, address)
			w.ok(err)
			require.Equal(t, domain.RoleReadonlyUser, who.Role, "whoever changes something is asked for")
			require.Equal(t, domain.RoleManager, w.recognized(access), "which is nobody else's word")
		}
		w.advance(time.Millisecond)
		for _, access := range []string{user.access, key} {
			require.Equal(t, domain.RoleReadonlyUser, w.recognized(access))
		}
	})
}

// TestRecognize_notUnlessChangesAreHeard: without the watch nobody is remembered.
func TestRecognize_notUnlessChangesAreHeard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		user := w.as(domain.RoleManager)
		require.Equal(t, domain.RoleManager, w.recognized(user.access))
		w.behind(demote(user.user))
		require.Equal(t, domain.RoleReadonlyUser, w.recognized(user.access))
	})
}

// TestRecognize_noLonger: tokens, sessions and keys end when they end, remembered or not.
func TestRecognize_noLonger(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remember()
		for name, c := range map[string]struct {
			lasts time.Duration
			of    func(a actor) string
		}{
			"token": {15 * time.Minute, func(a actor) string { return a.access }},
			"session": {10 * time.Minute, func(a actor) string {
				w.ok(w.store.Sessions.Touch(w.ctx, domain.Session{ID: a.SessionID, IdleUntil: w.now().Add(10 * time.Minute)}))
				return a.access
			}},
			"key": {24 * time.Hour, func(a actor) string {
				_, key := w.key(a)
				return key
			}},
		} {
			t.Run(name, func(t *testing.T) {
				w := w.within(t)
				user := w.as(domain.RoleUser)
				w.advance(time.Second - time.Duration(w.now().Nanosecond())) // a token's end is known to the second
				user = w.session(user.user)
				access := c.of(user)
				w.advance(c.lasts - 200*time.Millisecond)
				if name == "token" {
					require.Equal(t, domain.RoleUser, w.recognized(access))
					w.behind(demote(user.user))
					w.advance(199 * time.Millisecond)
					require.Equal(t, domain.RoleUser, w.recognized(access), "remembered")
					w.advance(time.Millisecond)
					require.Equal(t, domain.RoleReadonlyUser, w.recognized(access), "looked at again; the clocks may differ by half a minute")
					return
				}
				require.Equal(t, domain.RoleUser, w.recognized(access))
				w.advance(199 * time.Millisecond)
				require.Equal(t, domain.RoleUser, w.recognized(access))
				w.advance(time.Millisecond)
				require.Empty(t, w.recognized(access))
			})
		}
	})
}

// TestRecognize_keysUse: every use of a key is noted to the minute, remembered or not.
func TestRecognize_keysUse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remember()
		user := w.as(domain.RoleUser)
		made, key := w.key(user)
		used := func() time.Time {
			keys, err := w.auth.Keys(w.ctx, user.Actor)
			w.ok(err)
			require.Equal(t, made.ID, keys[0].ID)
			return *keys[0].LastUsedAt
		}
		first := w.now()
		require.Equal(t, domain.RoleUser, w.recognized(key))
		require.Equal(t, first, used())
		w.advance(domain.KeyUseInterval - 500*time.Millisecond)
		require.Equal(t, domain.RoleUser, w.recognized(key))
		require.Equal(t, first, used())
		w.advance(500 * time.Millisecond)
		require.Equal(t, domain.RoleUser, w.recognized(key))
		require.Equal(t, w.now(), used())
	})
}

// changesOfCallers are all that changes who may call, or as what. Each is for the manager with the session or key that was recognized before, and gives
// the role that is left; none if the caller is out.
var changesOfCallers = map[string]struct {
	key    bool // it is a key that calls
	change func(w *world, a actor, key uuid.UUID) error
	left   domain.Role
}{
	"demoted": {false, func(w *world, a actor, _ uuid.UUID) error {
		return w.users.Update(w.ctx, w.as(domain.RoleAdmin).Actor, a.ID, like(a.user, a.user.Email, domain.RoleReadonlyUser), nil)
	}, domain.RoleReadonlyUser},
	"owner demoted": {true, func(w *world, a actor, _ uuid.UUID) error {
		return w.users.Update(w.ctx, w.as(domain.RoleAdmin).Actor, a.ID, like(a.user, a.user.Email, domain.RoleReadonlyUser), nil)
	}, domain.RoleReadonlyUser},
	"deleted": {false, func(w *world, a actor, _ uuid.UUID) error {
		return w.users.Delete(w.ctx, w.as(domain.RoleAdmin).Actor, a.ID)
	}, ""},
	"owner deleted": {true, func(w *world, a actor, _ uuid.UUID) error {
		return w.users.Delete(w.ctx, w.as(domain.RoleAdmin).Actor, a.ID)
	}, ""},
	"deleted by the operator": {false, func(w *world, a actor, _ uuid.UUID) error {
		return w.operator.Remove(w.ctx, a.user.Email)
	}, ""},
	"another email": {false, func(w *world, a actor, _ uuid.UUID) error {
		return w.users.Update(w.ctx, w.as(domain.RoleAdmin).Actor, a.ID, like(a.user, "other_"+serial()+"@example.com", a.Role), nil)
	}, ""},
	"logged out": {false, func(w *world, a actor, _ uuid.UUID) error { return w.auth.Logout(w.ctx, a.Actor) }, ""},
	"password changed elsewhere": {false, func(w *world, a actor, _ uuid.UUID) error {
		return w.auth.ChangePassword(w.ctx, w.session(a.user).Actor, goodPassword, "another good one", nil)
	}, ""},
	"password changed here": {false, func(w *world, a actor, _ uuid.UUID) error {
		return w.auth.ChangePassword(w.ctx, a.Actor, goodPassword, "another good one", nil)
	}, domain.RoleManager},
	"password reset by the operator": {true, func(w *world, a actor, _ uuid.UUID) error {
		_, err := w.operator.ResetPassword(w.ctx, a.user.Email, "")
		return err
	}, ""},
	"refresh token shown twice": {false, func(w *world, a actor, _ uuid.UUID) error {
		_, err := w.auth.Refresh(w.ctx, domain.Stranger(address), a.access, a.refresh, nil)
		w.ok(err)
		_, err = w.auth.Refresh(w.ctx, domain.Stranger(address), a.access, a.refresh, nil)
		w.refuses(err, domain.KindUnauthenticated, "refreshToken")
		return nil
	}, ""},
	"second factor set up elsewhere": {false, func(w *world, a actor, _ uuid.UUID) error {
		other := w.session(a.user).Actor
		secret, _, err := w.auth.BeginFactor(w.ctx, other, goodPassword, nil)
		w.ok(err)
		code, err := totp.GenerateCode(secret, w.now())
		w.ok(err)
		_, err = w.auth.ConfirmFactor(w.ctx, other, code, nil)
		return err
	}, ""},
	"key revoked": {true, func(w *world, a actor, key uuid.UUID) error { return w.auth.RevokeKey(w.ctx, a.Actor, key) }, ""},
	"session the oldest of too many": {false, func(w *world, a actor, _ uuid.UUID) error {
		for range domain.MaxSessions {
			w.advance(time.Microsecond)
			w.session(a.user)
		}
		_, err := w.auth.Login(w.ctx, domain.Stranger(address), a.user.Email, goodPassword, "", nil)
		return err
	}, ""},
}

func like(u domain.User, email string, role domain.Role) service.Invitee {
	return service.Invitee{Email: email, FirstName: u.FirstName, LastName: u.LastName, Role: role}
}

// caller makes a manager, and what calls in their name.
func (w *world) caller(byKey bool) (a actor, access string, key uuid.UUID) {
	w.t.Helper()
	a = w.as(domain.RoleManager)
	if !byKey {
		return a, a.access, uuid.Nil
	}
	made, text := w.key(a)
	return a, text, made.ID
}

// TestRecognize_changesAtOnce: the instance that makes a change goes by it as soon as the change is answered. The database tells nobody of it here, and the
// clock stands.
func TestRecognize_changesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remember()
		w.behind()
		for name, c := range changesOfCallers {
			t.Run(name, func(t *testing.T) {
				w := w.within(t)
				a, access, key := w.caller(c.key)
				require.Equal(t, domain.RoleManager, w.recognized(access))
				w.ok(c.change(w, a, key))
				require.Equal(t, c.left, w.recognized(access))
			})
		}
	})
}

// TestRecognize_changesElsewhere: another instance on the same Postgres goes by it as soon as it is told; the clock stands.
func TestRecognize_changesElsewhere(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	here, there := newWorld(t, url, url), newWorld(t, url, url)
	there.moving = here.moving
	here.remember()
	there.remember()
	for name, c := range changesOfCallers {
		t.Run(name, func(t *testing.T) {
			here, there := here.within(t), there.within(t)
			a, access, key := here.caller(c.key)
			require.Equal(t, domain.RoleManager, there.recognized(access))
			here.ok(c.change(here, a, key))
			require.Eventually(t, func() bool { return there.recognized(access) == c.left }, 10*time.Second, time.Millisecond)
		})
	}
}

// TestRecognize_deaf: while an instance cannot hear of changes it remembers nobody, though the database answers. It hears again by itself.
func TestRecognize_deaf(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	w := newWorld(t, url, url)
	told := w.remember()
	user := w.as(domain.RoleManager)
	require.Equal(t, domain.RoleManager, w.recognized(user.access))

	database, _, _ := strings.Cut(url[strings.LastIndexByte(url, '/')+1:], "?")
	server, err := sql.Open("pgx", os.Getenv("TEST_DATABASE_URL"))
	w.ok(err)
	t.Cleanup(func() { _ = server.Close() })
	allow := func(connections bool) {
		_, err := server.ExecContext(w.ctx, fmt.Sprintf(`ALTER DATABASE %q WITH ALLOW_CONNECTIONS %t`, database, connections))
		w.ok(err)
	}
	w.behind() // leaves a connection that is open already
	allow(false)
	_, err = server.ExecContext(w.ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'", database)
	w.ok(err)
	require.False(t, <-told)
	require.Equal(t, domain.RoleManager, w.recognized(user.access))
	w.behind(demote(user.user))
	require.Equal(t, domain.RoleReadonlyUser, w.recognized(user.access), "asked for")

	allow(true)
	for hears := range told {
		if hears {
			break
		}
	}
	require.Equal(t, domain.RoleReadonlyUser, w.recognized(user.access))
	w.exec(fmt.Sprintf("UPDATE users SET role = 'Manager' WHERE id = '%s'", user.ID))
	require.Equal(t, domain.RoleReadonlyUser, w.recognized(user.access), "remembered again")
}
