package attacks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// attackSessions: a stolen refresh token is noticed, and a session that was ended is over at once.
func attackSessions(t *testing.T, s *server) {
	owner := s.newUser(t, user)
	again := func(t *testing.T) *client {
		t.Helper()
		return s.login(t, owner.email, owner.password)
	}

	for _, c := range []struct {
		name  string
		spent int // how many refreshes the owner has made when the thief shows the first token
	}{{"after one", 1}, {"after four", 4}} {
		t.Run("replay/"+c.name, func(t *testing.T) {
			bystander := again(t)
			chain := []*client{again(t)}
			for range c.spent {
				chain = append(chain, chain[len(chain)-1].refreshed(t).wants(t, http.StatusOK).holder(t, s))
			}
			chain[len(chain)-1].alive(t)
			chain[0].refreshed(t).refuses(t, http.StatusUnauthorized, "refreshToken")
			for _, member := range chain {
				member.dead(t)
			}
			bystander.alive(t)
		})
	}
	t.Run("replay/with the newest access token", func(t *testing.T) {
		first := again(t)
		second := first.refreshed(t).wants(t, http.StatusOK).holder(t, s)
		second.post(t, "/auth/refresh", j{"refreshToken": first.refresh}).refuses(t, http.StatusUnauthorized, "refreshToken")
		second.dead(t)
	})
	t.Run("replay/without any access token spends nothing", func(t *testing.T) {
		c := again(t)
		c.with("").refreshed(t).refuses(t, http.StatusUnauthorized, "authorization")
		c.with("x.y.z").refreshed(t).refuses(t, http.StatusUnauthorized, "authorization")
		c.refreshed(t).wants(t, http.StatusOK)
	})
	t.Run("race/fifty refreshes of one token", func(t *testing.T) {
		c := again(t)
		answers := race(50, func(int) answer { return c.refreshed(t) })
		counts := tally(answers)
		require.LessOrEqual(t, counts[http.StatusOK], 1, counts)
		require.Equal(t, 50, counts[http.StatusOK]+counts[http.StatusUnauthorized], counts)
		for _, a := range answers {
			if a.Status == http.StatusOK {
				a.holder(t, s).dead(t)
			}
		}
		c.dead(t)
	})
	t.Run("race/refresh and logout", func(t *testing.T) {
		for range 5 {
			c := again(t)
			answers := race(4, func(i int) answer {
				if i == 0 {
					return c.post(t, "/auth/logout", nil)
				}
				return c.refreshed(t)
			})
			for _, a := range answers[1:] {
				if a.Status == http.StatusOK {
					a.holder(t, s).dead(t)
				}
			}
			c.dead(t)
		}
	})
	t.Run("race/refresh and deletion", func(t *testing.T) {
		c := s.newUser(t, user)
		answers := race(6, func(i int) answer {
			if i == 3 {
				return s.admin.delete(t, "/users/"+c.id)
			}
			return c.with(c.access).refreshed(t)
		})
		answers[3].wants(t, http.StatusNoContent)
		for i, a := range answers {
			if i != 3 && a.Status == http.StatusOK {
				a.holder(t, s).dead(t)
			}
		}
		c.dead(t)
	})

	t.Run("mixed/two sessions of one user", func(t *testing.T) {
		a, b := again(t), again(t)
		a.post(t, "/auth/refresh", j{"refreshToken": b.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
		a.refreshed(t).wants(t, http.StatusOK)
		b.refreshed(t).wants(t, http.StatusOK)
	})
	t.Run("mixed/two users", func(t *testing.T) {
		mine, theirs := again(t), s.newUser(t, manager)
		mine.post(t, "/auth/refresh", j{"refreshToken": theirs.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
		theirs.post(t, "/auth/refresh", j{"refreshToken": mine.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
		mine.refreshed(t).wants(t, http.StatusOK)
		theirs.refreshed(t).wants(t, http.StatusOK)
	})
	t.Run("mixed/access token of a session that was ended", func(t *testing.T) {
		ended, live := again(t), again(t)
		ended.post(t, "/auth/logout", nil).wants(t, http.StatusNoContent)
		ended.post(t, "/auth/refresh", j{"refreshToken": live.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
		live.post(t, "/auth/refresh", j{"refreshToken": ended.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
		live.refreshed(t).wants(t, http.StatusOK)
	})

	victim := again(t)
	for _, c := range []struct {
		name, refresh string // JSON
		status        int
	}{
		{"access token", `"` + victim.access + `"`, http.StatusBadRequest}, {"password", `"` + victim.password + `"`, http.StatusUnauthorized}, {"null", "null", http.StatusBadRequest}, {"number", "5", http.StatusBadRequest},
		{"true", "true", http.StatusBadRequest}, {"list", `["` + victim.refresh + `"]`, http.StatusBadRequest}, {"object", `{"$ne":null}`, http.StatusBadRequest}, {"empty", `""`, http.StatusBadRequest},
		{"200 characters", `"` + strings.Repeat("A", 200) + `"`, http.StatusUnauthorized}, {"201 characters", `"` + strings.Repeat("A", 201) + `"`, http.StatusBadRequest},
		{"cut by one", `"` + victim.refresh[:42] + `"`, http.StatusUnauthorized}, {"longer by one", `"` + victim.refresh + `A"`, http.StatusUnauthorized}, {"padded", `"` + victim.refresh + `="`, http.StatusUnauthorized},
		{"space before", `" ` + victim.refresh + `"`, http.StatusUnauthorized}, {"line end after", `"` + victim.refresh + `\n"`, http.StatusUnauthorized}, {"NUL after", `"` + victim.refresh + `\u0000"`, http.StatusUnauthorized},
		{"other case", `"` + strings.ToUpper(victim.refresh) + `"`, http.StatusUnauthorized}, {"SQL", `"' OR '1'='1"`, http.StatusUnauthorized}, {"wildcard", `"%"`, http.StatusUnauthorized},
		{"key in another case", `"x","RefreshToken":"` + victim.refresh + `"`, http.StatusUnauthorized},
	} {
		t.Run("guessed/"+c.name, func(t *testing.T) {
			victim.post(t, "/auth/refresh", `{"refreshToken":`+c.refresh+`}`).refuses(t, c.status, "refreshToken")
			victim.alive(t)
		})
	}
	t.Run("guessed/key twice", func(t *testing.T) {
		victim.post(t, "/auth/refresh", `{"refreshToken":"x","refreshToken":"`+victim.refresh+`"}`).refuses(t, http.StatusBadRequest, "request")
	})
	t.Run("guessed/nothing was spent", func(t *testing.T) { victim.refreshed(t).wants(t, http.StatusOK) })

	t.Run("ended/logout", func(t *testing.T) {
		c, bystander := again(t), again(t)
		next := c.refreshed(t).wants(t, http.StatusOK).holder(t, s)
		c.post(t, "/auth/logout", nil).wants(t, http.StatusNoContent) // with the older access token of the session
		next.dead(t)
		c.post(t, "/auth/logout", nil).refuses(t, http.StatusUnauthorized, "authorization")
		bystander.alive(t)
	})
	t.Run("ended/deletion", func(t *testing.T) {
		c := s.newUser(t, manager)
		second := s.login(t, c.email, c.password)
		s.admin.delete(t, "/users/"+c.id).wants(t, http.StatusNoContent)
		c.dead(t)
		second.dead(t)
		s.anonymous().post(t, "/auth/login", j{"email": c.email, "password": c.password}).refuses(t, http.StatusUnauthorized, "credentials")
	})
	t.Run("ended/deletion, then the same email anew", func(t *testing.T) {
		c := s.newUser(t, user)
		s.admin.delete(t, "/users/"+c.id).wants(t, http.StatusNoContent)
		s.admin.post(t, "/auth/invite", invitee(c.email, user)).wants(t, http.StatusCreated)
		token := s.letter(t, c.email, 2).token(t)
		fresh := s.anonymous().post(t, "/auth/register", j{"token": token, "username": c.username, "password": "Another 1999 one"}).wants(t, http.StatusCreated).holder(t, s)
		fresh.alive(t)
		c.dead(t)
		s.anonymous().post(t, "/auth/login", j{"email": c.email, "password": c.password}).refuses(t, http.StatusUnauthorized, "credentials")
	})
	t.Run("ended/changed email", func(t *testing.T) {
		c := s.newUser(t, user)
		s.admin.put(t, "/users/"+c.id, invitee("moved-"+c.email, user)).wants(t, http.StatusNoContent)
		c.dead(t)
		s.letter(t, c.email, 2) // the old address is told
	})
	t.Run("ended/password change ends the others", func(t *testing.T) {
		c := s.newUser(t, user)
		other := s.login(t, c.email, c.password)
		c.put(t, "/auth/password", j{"currentPassword": c.password, "newPassword": "Quite another 1"}).wants(t, http.StatusNoContent)
		other.dead(t)
		c.refreshed(t).wants(t, http.StatusOK)
		s.anonymous().post(t, "/auth/login", j{"email": c.email, "password": c.password}).refuses(t, http.StatusUnauthorized, "credentials")
		s.login(t, c.email, "Quite another 1")
	})
	for _, c := range []struct{ name, current, next string }{
		{"a wrong current one", "Not the right 1", "Quite another 1"}, {"the current one in another case", strings.ToLower(goodPassword), "Quite another 1"},
		{"the current one and a space", goodPassword + " ", "Quite another 1"}, {"none", "", "Quite another 1"},
	} {
		t.Run("password change/"+c.name, func(t *testing.T) {
			other := again(t)
			owner.put(t, "/auth/password", j{"currentPassword": c.current, "newPassword": c.next}).refuses(t, http.StatusBadRequest, "currentPassword")
			other.alive(t)
			again(t)
		})
	}
	t.Run("password change/of another by id", func(t *testing.T) {
		other := s.newUser(t, readonlyUser)
		owner.put(t, "/auth/password", j{"id": other.id, "userId": other.id, "email": other.email, "currentPassword": other.password + "x", "newPassword": "Quite another 1"}).refuses(t, http.StatusBadRequest, "currentPassword")
		s.login(t, other.email, other.password)
	})
	t.Run("password change/race leaves one password", func(t *testing.T) {
		c := s.newUser(t, user)
		next := func(i int) string { return fmt.Sprintf("Number %d of four", i) }
		race(4, func(i int) answer {
			return c.crowded().put(t, "/auth/password", j{"currentPassword": c.password, "newPassword": next(i)})
		})
		right := 0
		for i := range 4 {
			if s.anonymous().post(t, "/auth/login", j{"email": c.email, "password": next(i)}).Status == http.StatusOK {
				right++
			}
		}
		require.Equal(t, 1, right)
		s.anonymous().post(t, "/auth/login", j{"email": c.email, "password": c.password}).refuses(t, http.StatusUnauthorized, "credentials")
	})

	for _, c := range []struct{ from, to string }{{manager, user}, {manager, readonlyUser}, {user, readonlyUser}} {
		t.Run("demoted/"+c.from+" to "+c.to, func(t *testing.T) {
			demoted, product := s.newUser(t, c.from), s.product(t, 10)
			act := func() answer {
				if c.from == manager {
					return demoted.post(t, "/products/categories", j{"name": s.unique("category")})
				}
				return demoted.patch(t, "/products/quantity/"+product, j{"delta": 1})
			}
			require.Less(t, act().Status, 300)
			s.admin.put(t, "/users/"+demoted.id, invitee(demoted.email, c.to)).wants(t, http.StatusNoContent)
			act().refuses(t, http.StatusForbidden, "authorization")
			next := demoted.refreshed(t).wants(t, http.StatusOK).holder(t, s)
			demoted.access = next.access
			act().refuses(t, http.StatusForbidden, "authorization")
		})
	}
	t.Run("demoted/a race of the demoted", func(t *testing.T) {
		c := s.newUser(t, manager)
		s.admin.put(t, "/users/"+c.id, invitee(c.email, readonlyUser)).wants(t, http.StatusNoContent)
		counts := tally(race(20, func(i int) answer { return c.post(t, "/products/categories", j{"name": fmt.Sprintf("raced %d", i)}) }))
		require.Equal(t, map[int]int{http.StatusForbidden: 20}, counts)
	})
}
