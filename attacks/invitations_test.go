package attacks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// registering is the body of somebody who registers with the token.
func (s *server) registering(token string) j {
	return j{"token": token, "username": s.unique("name"), "password": goodPassword}
}

// attackInvitations: an invitation opens one account, for whom it was mailed to, in the role that the inviter may grant.
func attackInvitations(t *testing.T, s *server) {
	register := func(t *testing.T, token string) answer {
		t.Helper()
		return s.anonymous().post(t, "/auth/register", s.registering(token))
	}
	t.Run("used twice", func(t *testing.T) {
		_, token := s.invite(t, user)
		register(t, token).wants(t, http.StatusCreated)
		register(t, token).refuses(t, http.StatusBadRequest, "token")
	})
	t.Run("superseded", func(t *testing.T) {
		email, token := s.invite(t, user)
		s.admin.post(t, "/auth/invite", invitee(strings.ToUpper(email), readonlyUser)).wants(t, http.StatusCreated)
		next := s.letter(t, email, 2).token(t)
		register(t, token).refuses(t, http.StatusBadRequest, "token")
		c := register(t, next).wants(t, http.StatusCreated).holder(t, s)
		require.Equal(t, readonlyUser, c.get(t, "/users/me").text(t, "role"))
	})
	t.Run("of a deleted draft", func(t *testing.T) {
		email, token := s.invite(t, user)
		s.admin.delete(t, "/users/"+s.idOf(t, email)).wants(t, http.StatusNoContent)
		register(t, token).refuses(t, http.StatusBadRequest, "token")
	})
	t.Run("of a draft whose email was changed", func(t *testing.T) {
		email, token := s.invite(t, user)
		s.admin.put(t, "/users/"+s.idOf(t, email), invitee("moved-"+email, user)).wants(t, http.StatusNoContent)
		register(t, token).refuses(t, http.StatusBadRequest, "token")
		register(t, s.letter(t, "moved-"+email, 1).token(t)).wants(t, http.StatusCreated)
	})
	t.Run("as a reset", func(t *testing.T) {
		_, token := s.invite(t, user)
		s.anonymous().post(t, "/auth/reset", j{"token": token, "password": goodPassword}).refuses(t, http.StatusBadRequest, "token")
		register(t, token).wants(t, http.StatusCreated)
	})
	t.Run("as an access token", func(t *testing.T) {
		_, token := s.invite(t, user)
		s.anonymous().with(token).get(t, "/users/me").refuses(t, http.StatusUnauthorized, "authorization")
		s.staff[user].post(t, "/auth/refresh", j{"refreshToken": token}).refuses(t, http.StatusUnauthorized, "refreshToken")
	})
	t.Run("a refresh token as an invitation", func(t *testing.T) {
		register(t, s.newUser(t, user).refresh).refuses(t, http.StatusBadRequest, "token")
	})
	t.Run("fifty with one token", func(t *testing.T) {
		email, token := s.invite(t, user)
		answers := race(50, func(int) answer { return s.anonymous().crowded().post(t, "/auth/register", s.registering(token)) })
		counts := tally(answers)
		require.Equal(t, 1, counts[http.StatusCreated], counts)
		require.Equal(t, 50, counts[http.StatusCreated]+counts[http.StatusBadRequest]+counts[http.StatusServiceUnavailable], counts)
		for _, a := range answers {
			if a.Status == http.StatusBadRequest {
				a.refuses(t, http.StatusBadRequest, "token")
			}
		}
		s.idOf(t, email)
	})
	t.Run("one username for six", func(t *testing.T) {
		tokens := make([]string, 6)
		for i := range tokens {
			_, tokens[i] = s.invite(t, readonlyUser)
		}
		name := s.unique("wanted")
		answers := race(len(tokens), func(i int) answer {
			return s.anonymous().post(t, "/auth/register", j{"token": tokens[i], "username": []string{name, strings.ToUpper(name)}[i%2], "password": goodPassword})
		})
		require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 5}, tally(answers))
		for i, a := range answers {
			if a.Status == http.StatusConflict { // the loser's invitation is still good
				register(t, tokens[i]).wants(t, http.StatusCreated)
			}
		}
	})
	t.Run("twenty invitations of one email", func(t *testing.T) {
		email := s.unique("wanted") + "@example.com"
		counts := tally(race(20, func(int) answer { return s.admin.post(t, "/auth/invite", invitee(email, user)) }))
		require.Equal(t, 20, counts[http.StatusCreated]+counts[http.StatusConflict], counts)
		require.Positive(t, counts[http.StatusCreated])
		s.idOf(t, email) // there is one
	})

	_, token := s.invite(t, readonlyUser)
	for _, c := range []struct{ name, token string }{ // JSON
		{"empty", `""`}, {"null", "null"}, {"number", "0"}, {"true", "true"}, {"list", `["` + token + `"]`}, {"object", `{"$gt":""}`}, {"cut by one", `"` + token[:42] + `"`},
		{"longer by one", `"` + token + `A"`}, {"padded", `"` + token + `="`}, {"space before", `" ` + token + `"`}, {"line end", `"` + token + `\n"`}, {"NUL", `"` + token + `\u0000"`},
		{"other case", `"` + strings.ToLower(token) + `"`}, {"wildcard", `"%"`}, {"SQL", `"' OR ''='"`}, {"long", `"` + strings.Repeat("A", 201) + `"`}, {"hash of nothing", `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
	} {
		t.Run("guessed/"+c.name, func(t *testing.T) {
			body := `{"username":"` + s.unique("name") + `","password":"` + goodPassword + `","token":` + c.token + `}`
			s.anonymous().post(t, "/auth/register", body).refuses(t, http.StatusBadRequest, "token")
		})
	}
	for _, c := range []struct {
		name, username, password string
		fields                   []string
	}{
		{"username with HTML", "<b>x</b>", goodPassword, []string{"username"}}, {"username with a space", "ad min", goodPassword, []string{"username"}}, {"username short", "ab", goodPassword, []string{"username"}},
		{"username long", strings.Repeat("a", 33), goodPassword, []string{"username"}}, {"username that looks like admin", "аdmin", goodPassword, []string{"username"}}, {"username with NUL", `adm\u0000in`, goodPassword, []string{"username"}},
		{"username a mail address", adminEmail, goodPassword, []string{"username"}}, {"username with a slash", "a/../b", goodPassword, []string{"username"}}, {"username with CRLF", `abc\r\nX: y`, goodPassword, []string{"username"}},
		{"password short", "tolya-1", "Tolya12", []string{"password"}}, {"password long", "tolya-1", strings.Repeat("x", 129), []string{"password"}}, {"password common", "tolya-1", "password1", []string{"password"}},
		{"password common in capitals", "tolya-1", "PASSWORD1", []string{"password"}}, {"password the username", "tolyatolya", "TolyaTolya", []string{"password"}}, {"password the product", "tolya-1", "InventoryHub", []string{"password"}},
		{"password with NUL", "tolya-1", `Tolya123!\u0000`, []string{"password"}}, {"password with a line end", "tolya-1", `Tolya123!\n`, []string{"password"}}, {"password of surrogates", "tolya-1", `\ud800\ud800\ud800\ud800\ud800\ud800\ud800\ud800`, []string{"password"}},
		{"both", "a", "b", []string{"password", "username"}},
	} {
		t.Run("refused/"+c.name, func(t *testing.T) {
			body := `{"token":"` + token + `","username":"` + c.username + `","password":"` + c.password + `"}`
			s.anonymous().post(t, "/auth/register", body).refuses(t, http.StatusBadRequest, c.fields...)
		})
	}
	t.Run("refused/the token is still good, and makes what was granted", func(t *testing.T) {
		body := s.registering(token).but(j{"role": admin, "email": "evil@example.com", "status": "Active", "id": s.admin.id, "firstName": "Evil", "createdAt": "2000-01-01T00:00:00.000Z"})
		c := s.anonymous().post(t, "/auth/register", body).wants(t, http.StatusCreated).holder(t, s)
		me := c.get(t, "/users/me").json(t)
		require.Equal(t, []any{readonlyUser, "Jane", body["username"]}, []any{me["role"], me["firstName"], me["username"]})
		require.NotEqual(t, "evil@example.com", me["email"])
		require.NotEqual(t, s.admin.id, me["id"])
	})
	t.Run("long password is compared whole", func(t *testing.T) {
		email, token := s.invite(t, user)
		long := strings.Repeat("Wide 🦀 ", 17) + "12345678901" // 130 bytes and more, in 128 characters at most
		long = string([]rune(long)[:128])
		s.anonymous().post(t, "/auth/register", s.registering(token).but(j{"password": long})).wants(t, http.StatusCreated)
		for _, wrong := range []string{long[:72], string([]rune(long)[:127]), long + "x", strings.ToUpper(long)} {
			s.anonymous().post(t, "/auth/login", j{"email": email, "password": wrong}).refuses(t, http.StatusUnauthorized, "credentials")
		}
		s.login(t, email, long)
	})

	for _, c := range []struct{ by, role string }{{manager, admin}} {
		t.Run("granted above/"+c.by+" to "+c.role, func(t *testing.T) {
			s.unchanged(t, func() {
				s.staff[c.by].post(t, "/auth/invite", invitee("evil@example.com", c.role)).refuses(t, http.StatusForbidden, "role")
			})
		})
	}
	t.Run("granted above/a superior's draft", func(t *testing.T) {
		email, token := s.invite(t, admin)
		s.unchanged(t, func() {
			s.staff[manager].post(t, "/auth/invite", invitee(email, readonlyUser)).refuses(t, http.StatusForbidden, "authorization")
			s.staff[manager].post(t, "/auth/invite", invitee(strings.ToUpper(email), manager)).refuses(t, http.StatusForbidden, "authorization")
		})
		c := register(t, token).wants(t, http.StatusCreated).holder(t, s)
		require.Equal(t, admin, c.get(t, "/users/me").text(t, "role"))
	})
	t.Run("granted above/an active user", func(t *testing.T) {
		s.unchanged(t, func() {
			for _, email := range []string{adminEmail, strings.ToUpper(adminEmail), s.staff[manager].email, s.staff[readonlyUser].email} {
				s.staff[manager].post(t, "/auth/invite", invitee(email, readonlyUser)).refuses(t, http.StatusConflict, "email")
			}
		})
	})
	t.Run("draft/cannot log in", func(t *testing.T) {
		email, _ := s.invite(t, admin)
		for _, password := range []string{goodPassword, "null", "undefined", "x"} {
			s.anonymous().post(t, "/auth/login", j{"email": email, "password": password}).refuses(t, http.StatusUnauthorized, "credentials")
		}
	})
	t.Run("draft/brings a password along", func(t *testing.T) {
		email := s.unique("draft") + "@example.com"
		body := invitee(email, user).but(j{"password": goodPassword, "passwordHash": "x", "status": "Active", "username": "pre-made", "id": s.staff[user].id, "token": "known"})
		s.staff[manager].post(t, "/auth/invite", body).wants(t, http.StatusCreated)
		draft := s.admin.get(t, "/users/"+s.idOf(t, email)).json(t)
		require.Equal(t, []any{"Draft", nil}, []any{draft["status"], draft["username"]})
		require.NotEqual(t, s.staff[user].id, draft["id"])
		s.anonymous().post(t, "/auth/login", j{"email": email, "password": goodPassword}).refuses(t, http.StatusUnauthorized, "credentials")
		register(t, "known").refuses(t, http.StatusBadRequest, "token")
	})

	for _, c := range []struct{ name, role string }{ // JSON
		{"lower case", `"admin"`}, {"capitals", `"ADMIN"`}, {"space after", `"Admin "`}, {"list", `["User"]`}, {"object", `{"$ne":null}`}, {"number", "0"}, {"null", "null"}, {"true", "true"}, {"empty", `""`},
		{"of another alphabet", `"Аdmin"`}, {"joined", `"User,Admin"`}, {"NUL after", `"User\u0000"`}, {"combining", `"Use\u0301r"`}, {"unknown", `"SuperAdmin"`}, {"prototype", `"__proto__"`},
	} {
		t.Run("role/"+c.name, func(t *testing.T) {
			body := `{"email":"` + s.unique("draft") + `@example.com","firstName":"Jane","lastName":"Doe","role":` + c.role + `}`
			s.unchanged(t, func() { s.staff[manager].post(t, "/auth/invite", body).refuses(t, http.StatusBadRequest, "role") })
		})
	}
	for i, email := range []string{
		"", "x", "@example.com", "x@", "x@@example.com", "a@x.com,b@x.com", "a@x.com;b@x.com", "a@x.com b@x.com", `a@x.com\r\nBcc: e@x.com`, `a@x.com\nTo: e@x.com`, `a@x.com\u0000`, `a@x.com%0d%0a\tBcc:e`, "<a@x.com>",
		"Jane <a@x.com>", `\"a b\"@x.com`, `\"a\\\"@x.com`, "a@[127.0.0.1]", "a@x..com", ".a@x.com", "a.@x.com", "a@-x.com", "a@x.com.", "a@x_y.com", " a@x.com", "a@x.com ", "a@ex ample.com", "a@еxample.com", `a\u202e@x.com`,
		"mailto:a@x.com", "a@x.com?subject=x", "a(comment)@x.com", "a@x.com(comment)", "a@x.com/../b", "${7*7}@x.com{{7}}@x.com", strings.Repeat("a", 65) + "@example.com", strings.Repeat("a", 60) + "@" + strings.Repeat("b.", 100) + "com",
		"=?utf-8?q?x?=@x.com=", `a@x.com\u2028b`, `a\ud83d@x.com`,
	} {
		t.Run(fmt.Sprintf("email/%d %.30q", i, email), func(t *testing.T) {
			body := `{"email":"` + email + `","firstName":"Jane","lastName":"Doe","role":"User"}`
			s.unchanged(t, func() { s.admin.post(t, "/auth/invite", body).refuses(t, http.StatusBadRequest, "email") })
		})
	}
	t.Run("all faults are told at once", func(t *testing.T) {
		s.admin.post(t, "/auth/invite", j{"email": "x", "firstName": "", "lastName": "a\nb", "role": "Blatnoi"}).refuses(t, http.StatusBadRequest, "email", "firstName", "lastName", "role")
	})
}

// attackResets: a reset is for whom it was mailed to, once, and ends what went on before.
func attackResets(t *testing.T, s *server) {
	forgot := func(t *testing.T, c *client, mails int) string {
		t.Helper()
		s.anonymous().post(t, "/auth/forgot", j{"email": c.email}).wants(t, http.StatusAccepted)
		return s.letter(t, c.email, mails).token(t)
	}
	reset := func(t *testing.T, token, password string) answer {
		t.Helper()
		return s.anonymous().post(t, "/auth/reset", j{"token": token, "password": password})
	}
	const next = "Quite another 2"
	t.Run("ends all sessions, once", func(t *testing.T) {
		c := s.newUser(t, user)
		other, token := s.login(t, c.email, c.password), forgot(t, c, 2)
		reset(t, token, next).wants(t, http.StatusNoContent)
		c.dead(t)
		other.dead(t)
		s.anonymous().post(t, "/auth/login", j{"email": c.email, "password": c.password}).refuses(t, http.StatusUnauthorized, "credentials")
		reset(t, token, "Quite another 3").refuses(t, http.StatusBadRequest, "token")
		s.login(t, c.email, next)
	})
	t.Run("superseded", func(t *testing.T) {
		c := s.newUser(t, user)
		old := forgot(t, c, 2)
		token := forgot(t, c, 3)
		reset(t, old, next).refuses(t, http.StatusBadRequest, "token")
		c.alive(t)
		reset(t, token, next).wants(t, http.StatusNoContent)
	})
	t.Run("as an invitation", func(t *testing.T) {
		c := s.newUser(t, user)
		token := forgot(t, c, 2)
		s.anonymous().post(t, "/auth/register", s.registering(token)).refuses(t, http.StatusBadRequest, "token")
		reset(t, token, next).wants(t, http.StatusNoContent)
	})
	t.Run("of another", func(t *testing.T) {
		c, victim := s.newUser(t, user), s.newUser(t, manager)
		body := j{"token": forgot(t, c, 2), "password": next, "email": victim.email, "id": victim.id, "userId": victim.id, "role": admin}
		s.anonymous().post(t, "/auth/reset", body).wants(t, http.StatusNoContent)
		victim.alive(t)
		s.login(t, victim.email, victim.password)
		require.Equal(t, user, s.login(t, c.email, next).role)
	})
	for _, c := range []struct {
		name  string
		voids func(t *testing.T, c *client)
	}{
		{"a changed password", func(t *testing.T, c *client) {
			c.put(t, "/auth/password", j{"currentPassword": c.password, "newPassword": next}).wants(t, http.StatusNoContent)
		}},
		{"a changed email", func(t *testing.T, c *client) {
			s.admin.put(t, "/users/"+c.id, invitee("moved-"+c.email, user)).wants(t, http.StatusNoContent)
		}},
		{"a deletion", func(t *testing.T, c *client) { s.admin.delete(t, "/users/"+c.id).wants(t, http.StatusNoContent) }},
	} {
		t.Run("voided by "+c.name, func(t *testing.T) {
			victim := s.newUser(t, user)
			token := forgot(t, victim, 2)
			c.voids(t, victim)
			reset(t, token, "Quite another 3").refuses(t, http.StatusBadRequest, "token")
		})
	}
	t.Run("refused for the password, still good", func(t *testing.T) {
		c := s.newUser(t, user)
		token := forgot(t, c, 2)
		for _, bad := range []string{"short", "password1", c.email, c.username, strings.ToUpper(c.username), "inventory-hub", strings.Repeat("x", 129), "tab\tinside it"} {
			s.anonymous().post(t, "/auth/reset", `{"token":"`+token+`","password":"`+strings.ReplaceAll(bad, "\t", `\t`)+`"}`).refuses(t, http.StatusBadRequest, "password")
		}
		c.alive(t)
		reset(t, token, next).wants(t, http.StatusNoContent)
	})
	t.Run("twelve with one token", func(t *testing.T) {
		c := s.newUser(t, user)
		token := forgot(t, c, 2)
		counts := tally(race(12, func(i int) answer {
			return s.anonymous().crowded().post(t, "/auth/reset", j{"token": token, "password": fmt.Sprintf("Number %d of twelve", i)})
		}))
		require.Equal(t, 1, counts[http.StatusNoContent], counts)
		require.Equal(t, 12, counts[http.StatusNoContent]+counts[http.StatusBadRequest]+counts[http.StatusServiceUnavailable], counts)
	})
	for _, c := range []struct{ name, token string }{ // JSON
		{"empty", `""`}, {"null", "null"}, {"number", "123456"}, {"list", `[""]`}, {"object", `{"$ne":1}`}, {"SQL", `"' OR used_at IS NULL --"`}, {"wildcard", `"%"`}, {"long", `"` + strings.Repeat("A", 201) + `"`},
	} {
		t.Run("guessed/"+c.name, func(t *testing.T) {
			s.anonymous().post(t, "/auth/reset", `{"password":"`+next+`","token":`+c.token+`}`).refuses(t, http.StatusBadRequest, "token")
		})
	}
	t.Run("flood", func(t *testing.T) {
		c := s.newUser(t, user)
		for _, a := range race(30, func(i int) answer {
			return s.anonymous().post(t, "/auth/forgot", j{"email": []string{c.email, strings.ToUpper(c.email)}[i%2]})
		}) {
			require.Empty(t, a.wants(t, http.StatusAccepted).Body)
		}
		canary := s.newUser(t, user) // whose mail is written after those of the flood
		forgot(t, canary, 2)
		require.LessOrEqual(t, len(s.lettersTo(t, c.email)), 1+3, "an invitation and three resets")
		c.alive(t)
	})
	t.Run("mails nobody else", func(t *testing.T) {
		draft, _ := s.invite(t, user)
		gone := s.newUser(t, user)
		s.admin.delete(t, "/users/"+gone.id).wants(t, http.StatusNoContent)
		for _, email := range []string{draft, gone.email, "stranger@example.com"} {
			require.Empty(t, s.anonymous().post(t, "/auth/forgot", j{"email": email}).wants(t, http.StatusAccepted).Body)
		}
		forgot(t, s.newUser(t, user), 2)
		require.Len(t, s.lettersTo(t, draft), 1)
		require.Len(t, s.lettersTo(t, gone.email), 1)
		require.Empty(t, s.lettersTo(t, "stranger@example.com"))
	})
	for _, c := range []struct{ name, email string }{ // JSON
		{"two in a list", `["` + s.staff[user].email + `","evil@example.com"]`}, {"two joined", `"` + s.staff[user].email + `,evil@example.com"`}, {"a header", `"` + s.staff[user].email + `\r\nBcc: evil@example.com"`},
		{"an object", `{"$gt":""}`}, {"a wildcard", `"%@example.com%"`}, {"a name", `"x <` + s.staff[user].email + `>"`}, {"of another alphabet", `"аdmin@example.com"`}, {"the Kelvin sign", `"\u212aate@example.com"`},
	} {
		t.Run("forgot for "+c.name, func(t *testing.T) {
			s.anonymous().post(t, "/auth/forgot", `{"email":`+c.email+`}`).refuses(t, http.StatusBadRequest, "email")
			require.Empty(t, s.lettersTo(t, "evil@example.com"))
		})
	}
}
