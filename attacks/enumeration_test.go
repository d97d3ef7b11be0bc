package attacks_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// seen is all of an answer that a stranger can compare.
func (a answer) seen() string {
	header := a.Header.Clone()
	header.Del("X-Request-Id")
	header.Del("Date")
	var b strings.Builder
	_ = header.Write(&b) // never fails
	return http.StatusText(a.Status) + "\n" + b.String() + "\n" + a.Body
}

// attackEnumeration: nobody learns from the outside who has an account.
func attackEnumeration(t *testing.T, s *server) {
	active, gone := s.newUser(t, manager), s.newUser(t, user)
	draft, _ := s.invite(t, user)
	s.admin.delete(t, "/users/"+gone.id).wants(t, http.StatusNoContent)
	login := func(t *testing.T, email, password string) answer {
		t.Helper()
		return s.anonymous().post(t, "/auth/login", j{"email": email, "password": password})
	}
	unknown := login(t, "nobody@example.com", "Not the right 1").refuses(t, http.StatusUnauthorized, "credentials").seen()
	for _, c := range []struct{ name, email, password string }{
		{"wrong password", active.email, "Not the right 1"}, {"email in capitals", strings.ToUpper(active.email), "Not the right 1"}, {"password in capitals", active.email, strings.ToUpper(goodPassword)},
		{"password with a space", active.email, goodPassword + " "}, {"username for the email's name", active.username + "@example.com", goodPassword}, {"draft", draft, goodPassword}, {"deleted, the right password", gone.email, gone.password},
		{"deleted, a wrong one", gone.email, "Not the right 1"}, {"Admin", adminEmail, "Not the right 1"}, {"password with HTML", active.email, "<script>alert(1)</script>"}, {"password of 1000", active.email, strings.Repeat("x", 1000)},
		{"password a wildcard", active.email, "%%%%%%%%"}, {"password with NUL", active.email, goodPassword + "\x00"}, {"other domain", strings.Replace(active.email, "@example", "@evil", 1), goodPassword},
	} {
		t.Run("login/"+c.name, func(t *testing.T) { require.Equal(t, unknown, login(t, c.email, c.password).seen()) })
	}
	forgotten := s.anonymous().post(t, "/auth/forgot", j{"email": "nobody@example.com"}).wants(t, http.StatusAccepted).seen()
	for name, email := range map[string]string{"active": active.email, "active in capitals": strings.ToUpper(active.email), "draft": draft, "deleted": gone.email, "Admin": adminEmail, "again": active.email} {
		t.Run("forgot/"+name, func(t *testing.T) {
			a := s.anonymous().post(t, "/auth/forgot", j{"email": email}).wants(t, http.StatusAccepted)
			require.Empty(t, a.Body)
			require.Equal(t, forgotten, a.seen())
		})
	}
	t.Run("register/a taken username", func(t *testing.T) { // without an invitation nobody learns that it is taken
		with := func(username string) string {
			return s.anonymous().post(t, "/auth/register", j{"token": "guess", "username": username, "password": goodPassword}).refuses(t, http.StatusBadRequest, "token").seen()
		}
		require.Equal(t, with("nobody-has-this"), with(active.username))
	})
	t.Run("register/a token of an account that is made", func(t *testing.T) {
		_, token := s.invite(t, user)
		s.anonymous().post(t, "/auth/register", s.registering(token)).wants(t, http.StatusCreated)
		used := s.anonymous().post(t, "/auth/register", s.registering(token)).refuses(t, http.StatusBadRequest, "token")
		never := s.anonymous().post(t, "/auth/register", s.registering("never")).refuses(t, http.StatusBadRequest, "token")
		require.Equal(t, never.seen(), used.seen())
	})
	t.Run("reset/a token of another kind", func(t *testing.T) {
		_, token := s.invite(t, user)
		reset := func(token string) string {
			return s.anonymous().post(t, "/auth/reset", j{"token": token, "password": goodPassword}).refuses(t, http.StatusBadRequest, "token").seen()
		}
		require.Equal(t, reset("never"), reset(token))
	})
	t.Run("users/deleted and unknown", func(t *testing.T) {
		seen := func(id string) string {
			return strings.ReplaceAll(s.staff[readonlyUser].get(t, "/users/"+id).refuses(t, http.StatusNotFound, "id").seen(), id, "")
		}
		require.Equal(t, seen(uuid.NewString()), seen(gone.id))
	})
	t.Run("users/a deleted one is in no list", func(t *testing.T) {
		for _, search := range []string{gone.email, gone.username, gone.id} {
			require.Zero(t, s.admin.count(t, "/users?search="+search))
		}
	})
	t.Run("anonymous/what is there and what is not look alike", func(t *testing.T) {
		product := s.product(t, 1)
		for _, path := range []string{"/products/", "/users/", "/products/orders/"} {
			one := s.anonymous().get(t, path+uuid.NewString()).refuses(t, http.StatusUnauthorized, "authorization").seen()
			for _, id := range []string{product, active.id, "x", "%00"} {
				require.Equal(t, one, s.anonymous().get(t, path+id).seen())
			}
		}
	})
	t.Run("anonymous/categories look alike", func(t *testing.T) {
		category := s.category(t)
		require.Equal(t, s.anonymous().delete(t, "/products/categories/none").seen(), s.anonymous().delete(t, "/products/categories/"+category).seen())
		require.Equal(t, s.staff[user].delete(t, "/products/categories/none").seen(), s.staff[user].delete(t, "/products/categories/"+category).seen())
	})
	t.Run("invite/drafts and strangers look alike", func(t *testing.T) {
		one := s.staff[manager].post(t, "/auth/invite", invitee(draft, user)).wants(t, http.StatusCreated).seen()
		require.Equal(t, one, s.staff[manager].post(t, "/auth/invite", invitee(s.unique("draft")+"@example.com", user)).seen())
	})
}
