package httpapi_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/token"
)

// login tries to log in.
func (c *client) login(email, pass string) answer {
	return c.post("/auth/login", j{"email": email, "password": pass})
}

// refreshed shows both tokens for a new pair.
func (c *client) refreshed() answer { return c.post("/auth/refresh", j{"refreshToken": c.refresh}) }

// holder is whoever got the tokens of an answer.
func (s *server) holder(a answer) *client {
	s.t.Helper()
	pair := a.json()
	require.ElementsMatch(s.t, []string{"accessToken", "refreshToken"}, slices.Collect(maps.Keys(pair)))
	return &client{s: s, access: pair["accessToken"].(string), refresh: pair["refreshToken"].(string)}
}

// ended checks that neither token of a session is good any more.
func (c *client) ended() {
	c.s.t.Helper()
	c.get("/users/me").refuses(http.StatusUnauthorized, "authorization")
	c.refreshed().refuses(http.StatusUnauthorized, "refreshToken")
}

// live checks that a session can be used, without spending its refresh token.
func (c *client) live() {
	c.s.t.Helper()
	c.get("/users/me").wants(http.StatusOK)
}

// member makes an active user with a password of their own, which costs a hash.
func (s *server) member(email, pass string) domain.User {
	s.t.Helper()
	now := s.now().UTC().Truncate(time.Millisecond)
	u := domain.NewDraft(email, "Tolya", "Perforator", domain.RoleUser, now)
	u.Activate("u"+uuid.NewString()[:8], hashOf(pass), now)
	require.NoError(s.t, s.store.Users.Create(s.t.Context(), u))
	return u
}

// invite invites somebody and gives the secret that is mailed to them.
func (s *server) invite(email string) string {
	s.t.Helper()
	s.as(domain.RoleAdmin).post("/auth/invite", invitee(email, domain.RoleUser)).wants(http.StatusCreated)
	return s.mailToken(domain.EventUserInvited, email)
}

func invitee(email string, role domain.Role) j {
	return j{"email": email, "firstName": "Tolya", "lastName": "Perforator", "role": role}
}

// forgot asks for a reset and gives the secret that is mailed.
func (s *server) forgot(email string) string {
	s.t.Helper()
	s.anonymous().post("/auth/forgot", j{"email": email}).wants(http.StatusAccepted)
	return s.mailToken(domain.EventPasswordReset, email)
}

// twin is a second instance on the same database, with the same clock.
func (s *server) twin(options ...option) *server {
	s.t.Helper()
	twin := newServer(s.t, storetest.Open(s.t, s.url), options...)
	twin.stop(s.now())
	return twin
}

// atOnce calls n times at the same moment and gives the answers.
func atOnce(n int, call func(i int) answer) []answer {
	calls := make([]func() answer, n)
	for i := range n {
		calls[i] = func() answer { return call(i) }
	}
	return together(calls...)
}

// patiently calls again for as long as the server is too busy, as it asks its callers to.
func patiently(call func() answer) answer {
	for {
		if a := call(); a.Status != http.StatusServiceUnavailable {
			return a
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// tally counts the answers by their status.
func tally(answers []answer) map[int]int {
	counts := map[int]int{}
	for _, a := range answers {
		counts[a.Status]++
	}
	return counts
}

// exec runs a statement on the database, beside the server.
func (s *server) exec(statement string) {
	s.t.Helper()
	driver, source := "pgx", s.url
	if path, embedded := strings.CutPrefix(s.url, "sqlite://"); embedded {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, db.Close()) }()
	_, err = db.ExecContext(s.t.Context(), statement)
	require.NoError(s.t, err)
}

// sabotage lets every insert into a table fail, with a text that no answer may show, and gives back how to mend it.
func (s *server) sabotage(table string) (mend func()) {
	s.t.Helper()
	if s.store.Embedded() {
		s.exec(`CREATE TRIGGER sabotage BEFORE INSERT ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'sabotaged internals'); END`)
		return func() { s.exec(`DROP TRIGGER sabotage`) }
	}
	s.exec(`CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sabotaged internals'; END $$;
		CREATE TRIGGER sabotage BEFORE INSERT ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION sabotage()`)
	return func() { s.exec(`DROP FUNCTION sabotage CASCADE`) }
}

// failed checks that an answer admits a defect and tells nothing about it.
func (a answer) failed() {
	a.t.Helper()
	require.Equal(a.t, http.StatusInternalServerError, a.Status)
	require.JSONEq(a.t, `{"errors":{"server":["The server has failed"]}}`, a.Body)
}

// told gives the answer as far as it may differ: without the request's id.
func (a answer) told() string {
	h := a.Header.Clone()
	h.Del("X-Request-Id")
	return fmt.Sprint(a.Status, h, a.Body)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		u := s.member("Tolya@Example.com", "  Pässword with blanks 😀 ")
		var first *client
		for _, email := range []string{"Tolya@Example.com", "tolya@example.com", "TOLYA@EXAMPLE.COM"} {
			c := s.holder(s.anonymous().login(email, "  Pässword with blanks 😀 ").wants(http.StatusOK))
			require.Equal(t, u.ID.String(), c.get("/users/me").wants(http.StatusOK).text("id"))
			if first == nil {
				first = c
			}
		}
		first.live() // beside the later ones
	})
}

func TestLogin_comparesThePasswordExactly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		long := strings.Repeat("Abcdefghi ", 10) + "😀"
		s.member("tolya@example.com", long)
		for name, wrong := range map[string]string{
			"first 72 bytes": long[:72], "one character less": strings.TrimSuffix(long, "😀"), "other case": strings.ToUpper(long), "trailing blank": long + " ",
			"leading blank": " " + long,
		} {
			require.Equal(t, http.StatusUnauthorized, s.anonymous().login("tolya@example.com", wrong).Status, name)
		}
		s.anonymous().login("tolya@example.com", long).wants(http.StatusOK)
	})
}

// TestLogin_refusedAlike checks that nothing but the request's id tells who exists.
func TestLogin_refusedAlike(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		active, deleted := s.newUser(domain.RoleUser).user, s.newUser(domain.RoleUser).user
		admin.delete("/users/" + deleted.ID.String()).wants(http.StatusNoContent)
		s.invite("draft@example.com")

		want := s.anonymous().login("nobody@example.com", goodPassword)
		want.refuses(http.StatusUnauthorized, "credentials")
		require.Equal(t, "Bearer", want.Header.Get("WWW-Authenticate"))
		for name, c := range map[string][2]string{
			"wrong password": {active.Email, goodPassword + "!"}, "draft": {"draft@example.com", goodPassword},
			"deleted": {deleted.Email, goodPassword}, "empty hash": {"draft@example.com", "\u0000"},
		} {
			require.Equal(t, want.told(), s.anonymous().login(c[0], c[1]).told(), name)
		}
	})
}

// TestLogin_worksAsHardForEverybody measures the memory that hashing fills instead of the time that it takes. It must run alone.
func TestLogin_worksAsHardForEverybody(t *testing.T) {
	s := newServer(t, storetest.Open(t, storetest.SQLiteURL(t)))
	deleted := s.newUser(domain.RoleUser).user
	s.as(domain.RoleAdmin).delete("/users/" + deleted.ID.String()).wants(http.StatusNoContent)
	s.invite("draft@example.com")
	for name, email := range map[string]string{
		"wrong password": s.newUser(domain.RoleUser).user.Email, "unknown": "nobody@example.com", "draft": "draft@example.com", "deleted": deleted.Email,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s.anonymous().login(email, "wrong password").refuses(http.StatusUnauthorized, "credentials")
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		require.True(t, allocated > 19<<20 && allocated < 25<<20, "%s: %d bytes", name, allocated)
	}
}

func TestLogin_invalid(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		for _, email := range []any{
			"", "tolya", "@example.com", "tolya@", "tolya@@example.com", "tolya@exa mple.com", " tolya@example.com", "tolya@example.com ", "Tolya <tolya@example.com>",
			"tolya@example.com,x@example.com", "tolya@example.com\r\nBcc: x@example.com", "tolya@-example.com", "толя@example.com", `"a b"@example.com`, "tolya@[127.0.0.1]",
			strings.Repeat("x", 243) + "@example.com", nil, 5, true, []string{"tolya@example.com"}, j{"x": "tolya@example.com"},
		} {
			s.anonymous().post("/auth/login", j{"email": email, "password": "x"}).refuses(http.StatusBadRequest, "email")
		}
		s.anonymous().post("/auth/login", j{}).refuses(http.StatusBadRequest, "email", "password")
		s.anonymous().post("/auth/login", j{"email": "x", "password": 1}).refuses(http.StatusBadRequest, "email", "password")
		s.anonymous().login("tolya@example.com", strings.Repeat("x", 1001)).refuses(http.StatusBadRequest, "password")
	})
}

func TestInvite(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		manager := s.newUser(domain.RoleManager)
		body := j{"email": "Tolya@Example.com", "firstName": "  Tolya ", "lastName": "O'Perforator 😀", "role": "User", "id": uuid.New(), "status": "Active", "password": goodPassword}
		require.Empty(t, manager.post("/auth/invite", body).wants(http.StatusCreated).Body)

		draft, err := s.store.Users.ByEmail(t.Context(), "tolya@example.com")
		require.NoError(t, err)
		require.NotEqual(t, body["id"], draft.ID)
		require.Equal(t, []any{"Tolya@Example.com", "Tolya", "O'Perforator 😀", domain.RoleUser, domain.UserDraft, (*string)(nil), (*string)(nil)},
			[]any{draft.Email, draft.FirstName, draft.LastName, draft.Role, draft.Status, draft.Username, draft.PasswordHash})

		events := s.events()
		require.Len(t, events, 1)
		var told domain.UserInvited
		require.NoError(t, json.Unmarshal(events[0].Data, &told))
		require.Len(t, told.Token, 43) // 256 bits in base64url
		require.Equal(t, domain.UserInvited{
			Email: "Tolya@Example.com", FirstName: "Tolya", LastName: "O'Perforator 😀", Role: domain.RoleUser, InvitedBy: "Jane Manager",
			Token: told.Token, ExpiresAt: s.now().Add(72 * time.Hour),
		}, told)
		require.Equal(t, []any{domain.EventUserInvited, draft.ID, s.now()}, []any{events[0].Type, events[0].Subject, events[0].At})
	})
}

func TestInvite_again(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		first := s.invite("tolya@example.com")
		draft, err := s.store.Users.ByEmail(t.Context(), "tolya@example.com")
		require.NoError(t, err)
		s.as(domain.RoleManager).post("/auth/invite", j{"email": "TOLYA@example.com", "firstName": "Anatoly", "lastName": "P", "role": "ReadonlyUser"}).wants(http.StatusCreated)
		second := s.mailToken(domain.EventUserInvited, "TOLYA@example.com")
		require.Len(t, s.events(), 2)

		again, err := s.store.Users.ByEmail(t.Context(), "tolya@example.com")
		require.NoError(t, err)
		require.Equal(t, []any{draft.ID, "TOLYA@example.com", "Anatoly", "P", domain.RoleReadonlyUser}, []any{again.ID, again.Email, again.FirstName, again.LastName, again.Role})

		register := func(token string) answer {
			return s.anonymous().post("/auth/register", j{"token": token, "username": "tolya", "password": goodPassword})
		}
		register(first).refuses(http.StatusBadRequest, "token")
		register(second).wants(http.StatusCreated)
	})
}

func TestInvite_refused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.invite("boss@example.com")
		s.as(domain.RoleAdmin).post("/auth/invite", invitee("boss@example.com", domain.RoleAdmin)).wants(http.StatusCreated)
		boss := s.mailToken(domain.EventUserInvited, "boss@example.com")
		active := s.newUser(domain.RoleReadonlyUser).user
		before := len(s.events())
		count := func() any { return s.as(domain.RoleAdmin).get("/users").wants(http.StatusOK).json()["totalItems"] }
		for _, role := range domain.Roles {
			s.as(role)
		}
		users := count()

		good := func(changes ...any) j {
			body := invitee("new@example.com", domain.RoleUser)
			for i := 0; i < len(changes); i += 2 {
				body[changes[i].(string)] = changes[i+1]
			}
			return body
		}
		for _, c := range []struct {
			name   string
			who    domain.Role
			body   any
			status int
			fields []string
		}{
			{"a User", domain.RoleUser, good(), http.StatusForbidden, []string{"authorization"}},
			{"a ReadonlyUser", domain.RoleReadonlyUser, good(), http.StatusForbidden, []string{"authorization"}},
			{"a User whose body is no JSON", domain.RoleUser, "{", http.StatusForbidden, []string{"authorization"}},
			{"a role above one's own", domain.RoleManager, good("role", "Admin"), http.StatusForbidden, []string{"role"}},
			{"a draft of a superior", domain.RoleManager, good("email", "boss@example.com"), http.StatusForbidden, []string{"authorization"}},
			{"an active user", domain.RoleAdmin, good("email", active.Email), http.StatusConflict, []string{"email"}},
			{"an active user in capitals", domain.RoleAdmin, good("email", strings.ToUpper(active.Email)), http.StatusConflict, []string{"email"}},
			{"oneself", domain.RoleManager, good("email", s.as(domain.RoleManager).user.Email), http.StatusConflict, []string{"email"}},
			{"an unknown role", domain.RoleAdmin, good("role", "Blatnoi"), http.StatusBadRequest, []string{"role"}},
			{"a role in other case", domain.RoleAdmin, good("role", "admin"), http.StatusBadRequest, []string{"role"}},
			{"a malformed email", domain.RoleAdmin, good("email", "new@"), http.StatusBadRequest, []string{"email"}},
			{"a blank name", domain.RoleAdmin, good("firstName", " \u00a0"), http.StatusBadRequest, []string{"firstName"}},
			{"a long name", domain.RoleAdmin, good("lastName", strings.Repeat("😀", 101)), http.StatusBadRequest, []string{"lastName"}},
			{"a header in a name", domain.RoleAdmin, good("firstName", "a\r\nBcc: e@x"), http.StatusBadRequest, []string{"firstName"}},
			{"NUL in a name", domain.RoleAdmin, good("lastName", "a\x00"), http.StatusBadRequest, []string{"lastName"}},
			{"a line separator in a name", domain.RoleAdmin, good("lastName", "a\u2028b"), http.StatusBadRequest, []string{"lastName"}},
			{"everything", domain.RoleManager, j{"role": "Blatnoi", "email": "new", "firstName": ""}, http.StatusBadRequest, []string{"role", "email", "firstName", "lastName"}},
		} {
			s.run(c.name, func(*testing.T) {
				a := s.as(c.who).post("/auth/invite", c.body)
				a.t = s.t
				a.refuses(c.status, c.fields...)
			})
		}
		s.anonymous().post("/auth/invite", good()).refuses(http.StatusUnauthorized, "authorization")
		require.Len(t, s.events(), before, "nothing is mailed")
		require.Equal(t, users, count(), "nobody was added")
		s.anonymous().post("/auth/register", j{"token": boss, "username": "boss", "password": "x"}).refuses(http.StatusBadRequest, "password") // the token is good
	})
}

// TestInvite_withoutItsMail lets the outbox fail: an invitation that cannot be mailed is not made.
func TestInvite_withoutItsMail(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		mend := s.sabotage("outbox")
		admin.post("/auth/invite", invitee("tolya@example.com", domain.RoleUser)).failed()
		require.EqualValues(t, 1, admin.get("/users").wants(http.StatusOK).json()["totalItems"])
		mend()
		s.invite("tolya@example.com")
		require.Len(t, s.events(), 1)
	})
}

// TestInvite_atOnce has ten callers invite the same new address. Each makes a draft or invites it again.
func TestInvite_atOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		answers := atOnce(10, func(int) answer { return admin.post("/auth/invite", invitee("tolya@example.com", domain.RoleUser)) })
		require.Equal(t, map[int]int{http.StatusCreated: 10}, tally(answers))
		live := 0
		for _, e := range s.events() {
			ok, err := s.store.Tokens.LiveForEvent(t.Context(), e.ID, s.now())
			require.NoError(t, err)
			if ok {
				live++
			}
		}
		require.Equal(t, 1, live, "one invitation is good")
	})
}

func TestRegister(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		secret := s.invite("tolya@example.com")
		draft, err := s.store.Users.ByEmail(t.Context(), "tolya@example.com")
		require.NoError(t, err)
		c := s.holder(s.anonymous().post("/auth/register", j{"token": secret, "username": "tolya_perforator1996", "password": goodPassword, "role": "Admin"}).wants(http.StatusCreated))
		me := c.get("/users/me").wants(http.StatusOK).json()
		require.Equal(t, j{
			"id": draft.ID.String(), "username": "tolya_perforator1996", "firstName": "Tolya", "lastName": "Perforator", "role": "User", "status": "Active",
			"email": "tolya@example.com", "createdAt": me["createdAt"],
		}, me)
		s.holder(c.refreshed().wants(http.StatusOK)).live()
		s.anonymous().login("tolya@example.com", goodPassword).wants(http.StatusOK)
		s.anonymous().post("/auth/register", j{"token": secret, "username": "second", "password": goodPassword}).refuses(http.StatusBadRequest, "token")
	})
}

func TestRegister_fiftyAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		secret := s.invite("tolya@example.com")
		instances := []*server{s, s.twin()}
		answers := atOnce(50, func(i int) answer {
			return patiently(func() answer {
				return instances[i%2].anonymous().post("/auth/register", j{"token": secret, "username": fmt.Sprintf("tolya%d", i), "password": goodPassword})
			})
		})
		require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusBadRequest: 49}, tally(answers))
		for i, a := range answers {
			if a.Status == http.StatusCreated {
				require.Equal(t, fmt.Sprintf("tolya%d", i), s.holder(a).get("/users/me").wants(http.StatusOK).text("username"))
			} else {
				a.refuses(http.StatusBadRequest, "token")
			}
		}
		require.EqualValues(t, 1, s.as(domain.RoleAdmin).get("/users?search=tolya").wants(http.StatusOK).json()["totalItems"])
	})
}

// TestRegister_oneUsernameForTwo has two drafts ask for the same name at once: one gets it, the other can choose again.
func TestRegister_oneUsernameForTwo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		secrets := []string{s.invite("a@example.com"), s.invite("b@example.com")}
		answers := atOnce(2, func(i int) answer {
			return patiently(func() answer {
				return s.anonymous().post("/auth/register", j{"token": secrets[i], "username": []string{"tolya", "TOLYA"}[i], "password": goodPassword})
			})
		})
		require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 1}, tally(answers))
		for i, a := range answers {
			if a.Status == http.StatusConflict {
				a.refuses(http.StatusConflict, "username")
				s.anonymous().post("/auth/register", j{"token": secrets[i], "username": "other", "password": goodPassword}).wants(http.StatusCreated)
			}
		}
	})
}

func TestRegister_badToken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		start, admin := s.now(), s.as(domain.RoleAdmin)
		register := func(token any) answer {
			return s.anonymous().post("/auth/register", j{"token": token, "username": "tolya", "password": "x"})
		}
		good := func(token string) { register(token).refuses(http.StatusBadRequest, "password") } // nothing but the password is wrong

		expired := s.invite("expired@example.com")
		revoked := s.invite("revoked@example.com")
		u, err := s.store.Users.ByEmail(t.Context(), "revoked@example.com")
		require.NoError(t, err)
		good(revoked)
		admin.delete("/users/" + u.ID.String()).wants(http.StatusNoContent)
		reset := s.resetToken(s.newUser(domain.RoleUser).user)

		for name, token := range map[string]any{
			"made up": token.NewSecret(), "revoked": revoked, "other case": strings.ToUpper(expired), "cut": expired[:42], "with more": expired + "A", "blank before it": " " + expired,
			"a reset": reset, "an access token": admin.access, "a refresh token": admin.refresh, "its hash": token.Hash(expired), "empty": "", "missing": nil, "a number": 5, "too long": strings.Repeat("x", 201),
		} {
			s.run(name, func(t *testing.T) {
				register(token).refuses(http.StatusBadRequest, "token", "password")
			})
		}
		s.stop(start.Add(72*time.Hour - time.Millisecond))
		good(expired)
		s.stop(start.Add(72 * time.Hour))
		register(expired).refuses(http.StatusBadRequest, "token", "password")
	})
}

// TestRegister_refusedKeepsTheToken tries one token with everything that is refused, and then rightly.
func TestRegister_refusedKeepsTheToken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		taken := *s.newUser(domain.RoleReadonlyUser).user.Username
		secret := s.invite("Tolya.Perforator@example.com")
		for _, c := range []struct {
			name, username, password string
			status                   int
			fields                   []string
		}{
			{"a taken username", taken, goodPassword, http.StatusConflict, []string{"username"}},
			{"a taken username in capitals", strings.ToUpper(taken), goodPassword, http.StatusConflict, []string{"username"}},
			{"no username", "", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"two letters", "to", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"33 letters", strings.Repeat("t", 33), goodPassword, http.StatusBadRequest, []string{"username"}},
			{"a blank in it", "tolya p", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"a blank after it", "tolya ", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"other letters", "толя", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"an at sign", "tolya@x", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"NUL", "tolya\x00", goodPassword, http.StatusBadRequest, []string{"username"}},
			{"seven characters", "tolya", "Tolya1!", http.StatusBadRequest, []string{"password"}},
			{"seven emoji of four bytes", "tolya", strings.Repeat("😀", 7), http.StatusBadRequest, []string{"password"}},
			{"129 characters", "tolya", strings.Repeat("x!", 64) + "y", http.StatusBadRequest, []string{"password"}},
			{"more than is read", "tolya", strings.Repeat("x", 1001), http.StatusBadRequest, []string{"password"}},
			{"a common one", "tolya", "password1", http.StatusBadRequest, []string{"password"}},
			{"a common one in capitals", "tolya", "PASSWORD1", http.StatusBadRequest, []string{"password"}},
			{"the username", "tolya_perforator1996", "tolya_perforator1996", http.StatusBadRequest, []string{"password"}},
			{"the username in capitals", "tolya_perforator1996", "TOLYA_perforator1996", http.StatusBadRequest, []string{"password"}},
			{"the email", "tolya", "tolya.perforator@example.com", http.StatusBadRequest, []string{"password"}},
			{"the name in the email", "tolya", "Tolya.Perforator", http.StatusBadRequest, []string{"password"}},
			{"the application", "tolya", "InventoryHub", http.StatusBadRequest, []string{"password"}},
			{"a tabulator", "tolya", "Tolya\t123!", http.StatusBadRequest, []string{"password"}},
			{"a line feed", "tolya", "Tolya123!\n", http.StatusBadRequest, []string{"password"}},
			{"NUL in a password", "tolya", "Tolya123!\x00", http.StatusBadRequest, []string{"password"}},
			{"DEL", "tolya", "Tolya123!\x7f", http.StatusBadRequest, []string{"password"}},
			{"a C1 control", "tolya", "Tolya123!\u0085", http.StatusBadRequest, []string{"password"}},
			{"no password", "tolya", "", http.StatusBadRequest, []string{"password"}},
			{"both", "t", "t", http.StatusBadRequest, []string{"username", "password"}},
		} {
			s.run(c.name, func(*testing.T) {
				s.anonymous().post("/auth/register", j{"token": secret, "username": c.username, "password": c.password}).refuses(c.status, c.fields...)
			})
		}
		s.anonymous().post("/auth/register", j{"token": "x", "username": "t", "password": "t"}).refuses(http.StatusBadRequest, "token", "username", "password")
		s.anonymous().post("/auth/register", j{}).refuses(http.StatusBadRequest, "token", "username", "password")
		body := fmt.Sprintf(`{"token": %q, "username": "tolya", "password": "Tolya123!\ud800"}`, secret)
		s.anonymous().post("/auth/register", body).refuses(http.StatusBadRequest, "password")

		mend := s.sabotage("sessions")
		s.anonymous().post("/auth/register", j{"token": secret, "username": "tolya", "password": goodPassword}).failed()
		mend()
		s.anonymous().post("/auth/register", j{"token": secret, "username": "tolya", "password": goodPassword}).wants(http.StatusCreated)
	})
}

func TestRegister_accepted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		for username, pass := range map[string]string{
			"t.y":                    "        ", // eight blanks: any composition will do
			strings.Repeat("Z", 32):  strings.Repeat("😀 ", 64),
			"-_.":                    strings.Repeat("😀", 8),
			"Tolya-Perforator_19.96": "correct horse battery staple, пароль и ключ",
		} {
			email := "x" + uuid.NewString()[:8] + "@example.com"
			s.anonymous().post("/auth/register", j{"token": s.invite(email), "username": username, "password": pass}).wants(http.StatusCreated)
			c := s.holder(s.anonymous().login(email, pass).wants(http.StatusOK))
			require.Equal(t, username, c.get("/users/me").wants(http.StatusOK).text("username"))
		}
	})
}

func TestRefresh_rotates(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		first := s.newUser(domain.RoleUser)
		second := s.holder(first.refreshed().wants(http.StatusOK))
		third := s.holder(second.refreshed().wants(http.StatusOK))
		require.Len(t, map[string]bool{first.access: true, second.access: true, third.access: true}, 3)
		require.Len(t, map[string]bool{first.refresh: true, second.refresh: true, third.refresh: true}, 3)
		for _, c := range []*client{first, second, third} {
			c.live() // an access token is good until it expires or its session ends
		}
	})
}

func TestRefresh_reuseEndsTheSession(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		first := s.newUser(domain.RoleUser)
		other := s.session(first.user)
		chain := []*client{first}
		for range 3 {
			chain = append(chain, s.holder(chain[len(chain)-1].refreshed().wants(http.StatusOK)))
		}
		s.twin().with(first).refreshed().refuses(http.StatusUnauthorized, "refreshToken") // spent durably: another instance knows
		for _, c := range chain {
			c.ended()
		}
		other.live()
		s.holder(other.refreshed().wants(http.StatusOK)).live()
		s.anonymous().login(first.user.Email, goodPassword).wants(http.StatusOK)
	})
}

// with is a caller's tokens at this instance.
func (s *server) with(c *client) *client {
	return &client{s: s, user: c.user, access: c.access, refresh: c.refresh, addr: c.addr}
}

func TestRefresh_fiftyAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c, other := s.newUser(domain.RoleUser), s.newUser(domain.RoleUser)
		instances := []*server{s, s.twin()}
		answers := atOnce(50, func(i int) answer { return patiently(instances[i%2].with(c).refreshed) })
		require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusUnauthorized: 49}, tally(answers))
		for _, a := range answers {
			if a.Status == http.StatusOK {
				s.holder(a).ended() // shown more than once, so that somebody has stolen it
			} else {
				a.refuses(http.StatusUnauthorized, "refreshToken")
			}
		}
		other.live()
	})
}

func TestRefresh_mixedTokens(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		mine := s.newUser(domain.RoleUser)
		again, others := s.session(mine.user), s.newUser(domain.RoleAdmin)
		for _, pair := range [][2]*client{{mine, again}, {again, mine}, {mine, others}, {others, mine}} {
			mixed := &client{s: s, access: pair[0].access, refresh: pair[1].refresh}
			mixed.refreshed().refuses(http.StatusUnauthorized, "authorization")
		}
		for _, c := range []*client{mine, again, others} {
			s.holder(c.refreshed().wants(http.StatusOK)).live() // nothing was spent
		}
	})
}

func TestRefresh_accessToken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleUser)
		s.advance(16 * time.Minute)
		c.get("/users/me").refuses(http.StatusUnauthorized, "authorization")

		early, err := token.NewIssuer([]byte(strings.Repeat("k", 32)), 15*time.Minute, func() time.Time { return s.now().Add(time.Hour) })
		require.NoError(t, err)
		foreign, err := token.NewIssuer([]byte(strings.Repeat("x", 32)), 15*time.Minute, s.now)
		require.NoError(t, err)
		whose := token.Claims{UserID: c.user.ID, SessionID: c.session()}
		issued := func(i *token.Issuer) string {
			raw, err := i.Issue(whose)
			require.NoError(t, err)
			return "Bearer " + raw
		}
		refreshBy := func(authorization string) answer {
			return s.anonymous().do(http.MethodPost, "/auth/refresh", j{"refreshToken": c.refresh}, "Authorization", authorization)
		}
		for name, authorization := range map[string]string{
			"none": "", "scheme alone": "Bearer", "no token": "Bearer ", "Basic": "Basic " + c.access, "without scheme": c.access, "two tokens": "Bearer " + c.access + " " + c.access,
			"two blanks": "Bearer  " + c.access, "cut": "Bearer " + c.access[:len(c.access)-1], "another key": issued(foreign), "from the future": issued(early),
			"the refresh token": "Bearer " + c.refresh,
		} {
			s.run(name, func(*testing.T) { refreshBy(authorization).refuses(http.StatusUnauthorized, "authorization") })
		}
		s.anonymous().post("/auth/refresh", j{"refreshToken": c.refresh}).refuses(http.StatusUnauthorized, "authorization")
		refreshBy("bearer " + c.access).wants(http.StatusOK) // expired; the scheme's case does not count (RFC 9110 section 11.1)
	})
}

// session gives the id of the session that the access token belongs to.
func (c *client) session() uuid.UUID {
	c.s.t.Helper()
	claims, err := c.s.tokens.VerifyExpired(c.access)
	require.NoError(c.s.t, err)
	return claims.SessionID
}

func TestRefresh_refreshToken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleUser)
		for name, given := range map[string]any{
			"missing": nil, "empty": "", "a number": 5, "a list": []string{c.refresh}, "too long": strings.Repeat("x", 201),
		} {
			s.run(name, func(*testing.T) {
				c.post("/auth/refresh", j{"refreshToken": given}).refuses(http.StatusBadRequest, "refreshToken")
			})
		}
		for name, given := range map[string]string{
			"made up": token.NewSecret(), "other case": strings.ToUpper(c.refresh), "cut": c.refresh[:42], "blank after it": c.refresh + " ", "its hash": token.Hash(c.refresh),
			"an invitation": s.invite("tolya@example.com"), "a reset": s.resetToken(c.user), "NUL": c.refresh + "\x00",
		} {
			s.run(name, func(*testing.T) {
				c.post("/auth/refresh", j{"refreshToken": given}).refuses(http.StatusUnauthorized, "refreshToken")
			})
		}
		s.holder(c.refreshed().wants(http.StatusOK)).live()
	})
}

// TestRefresh_idle: a session ends when it is not used for REFRESH_TOKEN_TTL, 168 h here.
func TestRefresh_idle(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		inTime, late := s.newUser(domain.RoleUser), s.newUser(domain.RoleUser)
		start := s.now()
		s.stop(start.Add(168*time.Hour - time.Millisecond))
		inTime = s.holder(inTime.refreshed().wants(http.StatusOK))
		s.stop(start.Add(168 * time.Hour))
		late.ended()
		inTime.live()
		s.stop(s.now().Add(168*time.Hour - 2*time.Millisecond))
		inTime.refreshed().wants(http.StatusOK)
	})
}

// TestRefresh_absolute: a session ends SESSION_TTL after the login, 720 h here, however often it is used.
func TestRefresh_absolute(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		c, start := s.newUser(domain.RoleUser), s.now()
		for at := 150 * time.Hour; at <= 600*time.Hour; at += 150 * time.Hour {
			s.stop(start.Add(at))
			c = s.holder(c.refreshed().wants(http.StatusOK))
		}
		s.stop(start.Add(720*time.Hour - time.Millisecond))
		c = s.holder(c.refreshed().wants(http.StatusOK))
		c.live()
		s.stop(start.Add(720 * time.Hour))
		c.ended() // although the access token has 15 minutes to go
	})
}

func TestRefresh_thatFailsInsideIsNotSpent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleUser)
		mend := s.sabotage("refresh_tokens")
		for range 3 {
			c.refreshed().failed()
		}
		mend()
		s.holder(c.refreshed().wants(http.StatusOK)).live()
	})
}

// TestSession_ends lists what else ends a session, at once and at every instance.
func TestSession_ends(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		twin := s.twin()
		for name, end := range map[string]func(c *client){
			"logout":   func(c *client) { require.Empty(t, c.post("/auth/logout", nil).wants(http.StatusNoContent).Body) },
			"deletion": func(c *client) { admin.delete("/users/" + c.user.ID.String()).wants(http.StatusNoContent) },
			"a changed email": func(c *client) {
				admin.put("/users/"+c.user.ID.String(), invitee(uuid.NewString()[:8]+"@example.com", c.user.Role)).wants(http.StatusNoContent)
			},
			"reset": func(c *client) {
				s.anonymous().post("/auth/reset", j{"token": s.resetToken(c.user), "password": "Perforator 1996"}).wants(http.StatusNoContent)
			},
		} {
			s.run(name, func(*testing.T) {
				c := s.newUser(domain.RoleUser)
				end(c)
				twin.with(c).ended()
				c.ended()
				s.advance(16 * time.Minute)
				c.refreshed().refuses(http.StatusUnauthorized, "refreshToken")
				s.advance(-16 * time.Minute)
			})
		}
	})
}

// TestSession_presentRole: what a token's owner may do follows the database, not the token.
func TestSession_presentRole(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, c, twin := s.as(domain.RoleAdmin), s.newUser(domain.RoleManager), s.twin()
		c.post("/products/categories", j{"name": "before"}).wants(http.StatusCreated)
		admin.put("/users/"+c.user.ID.String(), invitee(c.user.Email, domain.RoleReadonlyUser)).wants(http.StatusNoContent)
		for _, c := range []*client{c, twin.with(c)} {
			c.post("/products/categories", j{"name": "after"}).refuses(http.StatusForbidden, "authorization")
			require.Equal(t, "ReadonlyUser", c.get("/users/me").wants(http.StatusOK).text("role"))
		}
	})
}

func TestLogout_endsOneSession(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleReadonlyUser)
		other := s.session(c.user)
		c.post("/auth/logout", nil).wants(http.StatusNoContent)
		c.ended()
		c.post("/auth/logout", nil).refuses(http.StatusUnauthorized, "authorization")
		other.live()
		s.anonymous().post("/auth/logout", nil).refuses(http.StatusUnauthorized, "authorization")
	})
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleReadonlyUser)
		other, stranger, reset := s.session(c.user), s.newUser(domain.RoleUser), s.resetToken(c.user)
		const next = "Perforator 1996"
		change := func(current, next any) answer {
			return c.put("/auth/password", j{"currentPassword": current, "newPassword": next})
		}
		for _, bad := range []struct {
			name          string
			current, next any
			fields        []string
		}{
			{"wrong", goodPassword + " ", next, []string{"currentPassword"}},
			{"wrong, and too short", strings.ToUpper(goodPassword), "short", []string{"currentPassword", "newPassword"}},
			{"nothing", nil, nil, []string{"currentPassword", "newPassword"}},
			{"the new one for the current", next, next, []string{"currentPassword"}},
			{"common", goodPassword, "password1", []string{"newPassword"}},
			{"the own username", goodPassword, c.user.Username, []string{"newPassword"}},
			{"the own email", goodPassword, strings.ToUpper(c.user.Email), []string{"newPassword"}},
			{"a control character", goodPassword, next + "\n", []string{"newPassword"}},
			{"129 characters", goodPassword, strings.Repeat("xy!", 43), []string{"newPassword"}},
			{"of the wrong type", 5, true, []string{"currentPassword", "newPassword"}},
		} {
			s.run(bad.name, func(*testing.T) { change(bad.current, bad.next).refuses(http.StatusBadRequest, bad.fields...) })
		}
		other.live() // a refused change changes nothing

		require.Empty(t, change(goodPassword, next).wants(http.StatusNoContent).Body)
		other.ended()
		s.holder(c.refreshed().wants(http.StatusOK)).live()
		stranger.live()
		s.anonymous().post("/auth/reset", j{"token": reset, "password": "Another one 1996"}).refuses(http.StatusBadRequest, "token")
		s.anonymous().login(c.user.Email, goodPassword).refuses(http.StatusUnauthorized, "credentials")
		s.anonymous().login(c.user.Email, next).wants(http.StatusOK)
		s.anonymous().put("/auth/password", j{"currentPassword": next, "newPassword": next}).refuses(http.StatusUnauthorized, "authorization")
	})
}

func TestForgot(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		active, deleted := s.newUser(domain.RoleUser).user, s.newUser(domain.RoleUser).user
		s.as(domain.RoleAdmin).delete("/users/" + deleted.ID.String()).wants(http.StatusNoContent)
		s.invite("draft@example.com")
		before := len(s.events())
		emails := []string{"nobody@example.com", "draft@example.com", deleted.Email, strings.ToUpper(active.Email)}
		took := make([]time.Duration, len(emails))
		answers := atOnce(len(emails), func(i int) answer {
			start := time.Now()
			a := s.anonymous().post("/auth/forgot", j{"email": emails[i]})
			took[i] = time.Since(start)
			return a
		})
		for i, a := range answers {
			require.Equal(t, answers[0].told(), a.told(), emails[i])
			require.GreaterOrEqual(t, took[i], 250*time.Millisecond, emails[i])
		}
		require.Empty(t, answers[0].wants(http.StatusAccepted).Body)

		events := s.events()
		require.Len(t, events, before+1)
		var told domain.PasswordReset
		require.NoError(t, json.Unmarshal(events[before].Data, &told))
		require.Len(t, told.Token, 43)
		require.WithinDuration(t, s.now().Add(30*time.Minute), told.ExpiresAt, 10*time.Second)
		require.Equal(t, domain.PasswordReset{Email: active.Email, FirstName: "Jane", LastName: "User", Token: told.Token, ExpiresAt: told.ExpiresAt}, told)
		require.Equal(t, []any{domain.EventPasswordReset, active.ID}, []any{events[before].Type, events[before].Subject})

		for _, email := range []any{"", "nobody", nil, 5} {
			s.anonymous().post("/auth/forgot", j{"email": email}).refuses(http.StatusBadRequest, "email")
		}
	})
}

func TestForgot_threeMailsAnHour(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		u, other := s.newUser(domain.RoleUser).user, s.newUser(domain.RoleUser).user
		ask := func(n int, u domain.User) {
			answers := atOnce(n, func(int) answer { return s.anonymous().post("/auth/forgot", j{"email": u.Email}) })
			require.Equal(t, map[int]int{http.StatusAccepted: n}, tally(answers))
		}
		ask(10, u)
		require.Len(t, s.events(), 3)
		ask(1, other)
		require.Len(t, s.events(), 4, "each user for themselves")
		s.stop(s.now().Add(time.Hour - time.Millisecond))
		ask(1, u)
		require.Len(t, s.events(), 4)
		s.stop(s.now().Add(time.Millisecond))
		ask(4, u)
		require.Len(t, s.events(), 7)
	})
}

func TestReset(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleUser)
		others, stranger := s.session(c.user), s.newUser(domain.RoleUser)
		const next = "Perforator 1996"
		reset := func(token, pass any) answer {
			return s.anonymous().post("/auth/reset", j{"token": token, "password": pass})
		}
		older := s.forgot(c.user.Email)
		secret := s.forgot(c.user.Email)
		require.NotEqual(t, older, secret)
		for _, bad := range []struct {
			name        string
			token, pass any
			fields      []string
		}{
			{"superseded", older, next, []string{"token"}},
			{"made up", token.NewSecret(), next, []string{"token"}},
			{"an invitation", s.invite("tolya@example.com"), next, []string{"token"}},
			{"a refresh token", c.refresh, next, []string{"token"}},
			{"an access token", c.access, next, []string{"token"}},
			{"too short", secret, "short", []string{"password"}},
			{"common", secret, "password1", []string{"password"}},
			{"the own username", secret, c.user.Username, []string{"password"}},
			{"the own email", secret, c.user.Email, []string{"password"}},
			{"both", older, "short", []string{"token", "password"}},
			{"nothing", nil, nil, []string{"token", "password"}},
		} {
			s.run(bad.name, func(*testing.T) { reset(bad.token, bad.pass).refuses(http.StatusBadRequest, bad.fields...) })
		}
		c.live() // a refused reset changes nothing
		s.anonymous().post("/auth/register", j{"token": secret, "username": "tolya", "password": next}).refuses(http.StatusBadRequest, "token")

		require.Empty(t, reset(secret, next).wants(http.StatusNoContent).Body)
		reset(secret, "Another one 1996").refuses(http.StatusBadRequest, "token")
		c.ended()
		others.ended()
		stranger.live()
		s.anonymous().login(c.user.Email, goodPassword).refuses(http.StatusUnauthorized, "credentials")
		s.anonymous().login(c.user.Email, next).wants(http.StatusOK)
	})
}

func TestReset_livesThirtyMinutes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		secret, start := s.forgot(s.newUser(domain.RoleUser).user.Email), s.now()
		reset := func() answer { return s.anonymous().post("/auth/reset", j{"token": secret, "password": "x"}) }
		s.stop(start.Add(30*time.Minute - time.Millisecond))
		reset().refuses(http.StatusBadRequest, "password") // nothing else is wrong
		s.stop(start.Add(30 * time.Minute))
		reset().refuses(http.StatusBadRequest, "token", "password")
	})
}

func TestReset_atOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		u := s.newUser(domain.RoleUser).user
		secret, instances := s.resetToken(u), []*server{s, s.twin()}
		password := func(i int) string { return fmt.Sprintf("Perforator %d", 1990+i) }
		answers := atOnce(8, func(i int) answer {
			return patiently(func() answer {
				return instances[i%2].anonymous().post("/auth/reset", j{"token": secret, "password": password(i)})
			})
		})
		require.Equal(t, map[int]int{http.StatusNoContent: 1, http.StatusBadRequest: 7}, tally(answers))
		for i, a := range answers {
			if a.Status == http.StatusNoContent {
				s.anonymous().login(u.Email, password(i)).wants(http.StatusOK)
			} else {
				a.refuses(http.StatusBadRequest, "token")
			}
		}
	})
}

// fail counts wrong passwords for an account without the cost of hashing them.
func (s *server) fail(n int, email string, address func(i int) string) {
	s.t.Helper()
	for i := range n {
		require.NoError(s.t, s.store.Logins.Failed(s.t.Context(), domain.Fold(email), address(i), s.now().UTC().Truncate(time.Millisecond)))
	}
}

func from(addr string) func(int) string { return func(int) string { return addr } }

func everywhere(i int) string { return fmt.Sprintf("203.0.113.%d", i) }

const (
	home = "192.0.2.1:4000"
	away = "198.51.100.7:4000"
)

// at is a caller without a token from an address.
func (s *server) at(addr string) *client { return &client{s: s, addr: addr} }

// TestLogin_slowsDown: ten wrong passwords are free, then each one doubles the wait, whether or not the account exists.
func TestLogin_slowsDown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		tolya := s.newUser(domain.RoleUser).user
		start := s.now()
		course := func(email string) []string {
			s.stop(start)
			var said []string
			try := func(pass string) {
				a := s.at(home).login(email, pass)
				said = append(said, strings.TrimSpace(strconv.Itoa(a.Status)+" "+a.Header.Get("Retry-After")))
				if a.Status == http.StatusTooManyRequests {
					a.refuses(http.StatusTooManyRequests, "request")
				}
			}
			s.fail(8, email, from("192.0.2.1"))
			try("wrong")
			try("wrong")
			for range 2 {
				try(goodPassword) // is not even looked at
			}
			s.stop(s.now().Add(time.Second))
			try("wrong")
			try("wrong")
			s.stop(s.now().Add(2*time.Second - time.Millisecond))
			try("wrong")
			s.fail(20, email, from("192.0.2.1"))
			try("wrong")
			s.stop(s.now().Add(5 * time.Minute))
			try("wrong")
			s.stop(s.now().Add(time.Hour)) // all is forgotten
			try("wrong")
			try("wrong")
			return said
		}
		want := []string{"401", "401", "429 1", "429 1", "401", "429 2", "429 1", "429 300", "401", "401", "401"}
		require.Equal(t, want, course(tolya.Email))
		require.Equal(t, want, course(strings.ToUpper("nobody@example.com")))
	})
}

func TestLogin_successStartsAnew(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		tolya := s.newUser(domain.RoleUser).user
		for range 3 {
			s.fail(9, tolya.Email, from("192.0.2.1"))
			s.at(home).login(strings.ToUpper(tolya.Email), goodPassword).wants(http.StatusOK)
		}
		s.fail(10, strings.ToUpper(tolya.Email), from("192.0.2.1"))
		s.at(home).login(tolya.Email, goodPassword).refuses(http.StatusTooManyRequests, "request")
		s.at(away).login(tolya.Email, goodPassword).wants(http.StatusOK) // another address has its own tries
	})
}

// TestLogin_noLockOut: a hundred failures an hour from everywhere close an account to strangers, but not to its owner's address.
func TestLogin_noLockOut(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		tolya, other := s.newUser(domain.RoleUser).user, s.newUser(domain.RoleUser).user
		s.at(home).login(tolya.Email, goodPassword).wants(http.StatusOK)
		s.fail(98, tolya.Email, everywhere)
		s.at(away).login(tolya.Email, "wrong").refuses(http.StatusUnauthorized, "credentials")
		s.at("198.51.100.8:1").login(tolya.Email, "wrong").refuses(http.StatusUnauthorized, "credentials")
		for _, addr := range []string{away, "198.51.100.9:1", "[2001:db8::1]:1"} {
			a := s.at(addr).login(tolya.Email, goodPassword)
			a.refuses(http.StatusTooManyRequests, "request")
			require.Equal(t, "300", a.Header.Get("Retry-After"))
		}
		s.at(home).login(tolya.Email, "wrong").refuses(http.StatusUnauthorized, "credentials")
		s.at(home).login(tolya.Email, goodPassword).wants(http.StatusOK)
		s.at(away).login(other.Email, goodPassword).wants(http.StatusOK)

		s.stop(s.now().Add(time.Hour))
		s.at(away).login(tolya.Email, goodPassword).wants(http.StatusOK)

		s.stop(s.now().Add(30 * 24 * time.Hour)) // nobody's address is known any more
		s.fail(100, tolya.Email, everywhere)
		s.at(home).login(tolya.Email, goodPassword).refuses(http.StatusTooManyRequests, "request")
	})
}

// TestLogin_manyWrongAtOnce: tries that come all at once gain nothing over tries one after the other.
func TestLogin_manyWrongAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		tolya := s.newUser(domain.RoleUser).user
		s.fail(8, tolya.Email, from("192.0.2.1"))
		instances := []*server{s, s.twin()}
		answers := atOnce(40, func(i int) answer { return instances[i%2].at(home).login(tolya.Email, "wrong") })
		require.Equal(t, map[int]int{http.StatusUnauthorized: 2, http.StatusTooManyRequests: 38}, tally(answers))
	})
}

func TestChangePassword_slowsDown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Millisecond))
		c := s.newUser(domain.RoleUser)
		c.addr = home
		s.fail(9, c.user.Email, from("192.0.2.1"))
		change := func() answer {
			return c.put("/auth/password", j{"currentPassword": "wrong", "newPassword": "Perforator 1996"})
		}
		change().refuses(http.StatusBadRequest, "currentPassword")
		a := change()
		a.refuses(http.StatusTooManyRequests, "request")
		require.Equal(t, "1", a.Header.Get("Retry-After"))
	})
}

func limited(perMinute int) option { return func(c *setup) { c.AuthRateLimit = perMinute } }

func behind(proxies ...string) option {
	return func(c *setup) { c.TrustedProxies = proxies }
}

// anonymousRoutes are those that share the tries of an address.
var anonymousRoutes = []string{"/auth/login", "/auth/register", "/auth/refresh", "/auth/forgot", "/auth/reset"}

// spend tries n times from an address, by turns on all anonymous routes, and wants each to be let through.
func (s *server) spend(n int, addr string, headers ...string) {
	s.t.Helper()
	for i := range n {
		a := s.at(addr).do(http.MethodPost, anonymousRoutes[i%len(anonymousRoutes)], "{", headers...)
		require.Equal(s.t, http.StatusBadRequest, a.Status, "try %d", i+1)
	}
}

// slowed wants that an address has no try left.
func (s *server) slowed(addr string, headers ...string) answer {
	s.t.Helper()
	a := s.at(addr).do(http.MethodPost, "/auth/login", "{", headers...)
	a.refuses(http.StatusTooManyRequests, "request")
	return a
}

func TestAuthRateLimit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now())
		s.spend(20, home)
		require.Equal(t, "3", s.slowed(home).Header.Get("Retry-After"))
		s.slowed("192.0.2.1:5000") // the port does not count
		for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-Appengine-Remote-Addr"} {
			s.slowed(home, header, "203.0.113.1")
			s.slowed(home, header, "for=203.0.113.1")
		}
		s.spend(20, away)
		admin := s.as(domain.RoleAdmin)
		admin.addr = home
		admin.live()
		admin.post("/auth/invite", "{").refuses(http.StatusBadRequest, "request")
		s.at(home).get("/healthz").wants(http.StatusOK)
		s.stop(s.now().Add(3 * time.Second))
		s.spend(1, home)
		s.slowed(home)
		s.stop(s.now().Add(time.Minute))
		s.spend(20, home)
		s.slowed(home)
	}, limited(20))
}

func TestAuthRateLimit_off(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) { s.spend(200, home) }, limited(0))
}

// TestAuthRateLimit_network: one IPv6 customer has a /64 network.
func TestAuthRateLimit_network(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.stop(s.now())
		s.spend(1, "[2001:db8:0:1::1]:1")
		s.spend(1, "[2001:db8:0:1:ffff::2]:1")
		s.slowed("[2001:db8:0:1::3]:1")
		s.spend(2, "[2001:db8:0:2::1]:1")
		s.spend(2, "[::ffff:192.0.2.1]:1")
		s.slowed("192.0.2.1:1") // the same address, written otherwise
	}, limited(2))
}

func TestAuthRateLimit_behindAProxy(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.stop(s.now())
		const proxy = "10.1.2.3:9000"
		s.spend(2, proxy, "X-Forwarded-For", "203.0.113.1")
		s.slowed(proxy, "X-Forwarded-For", "203.0.113.1")
		s.slowed(proxy, "X-Forwarded-For", "198.51.100.1, 203.0.113.1") // what stands before was written by the caller
		s.slowed(proxy, "X-Forwarded-For", "203.0.113.1, 10.9.9.9")     // a chain of our own proxies
		s.spend(2, proxy, "X-Forwarded-For", "203.0.113.2")
		s.spend(2, proxy) // the proxy itself
		s.slowed(proxy, "X-Forwarded-For", "nonsense")
		s.slowed(proxy, "X-Real-Ip", "203.0.113.3")
		s.spend(2, away, "X-Forwarded-For", "203.0.113.9")
		s.slowed(away, "X-Forwarded-For", "203.0.113.10") // no proxy of ours
	}, limited(2), behind("10.0.0.0/8"))
}
