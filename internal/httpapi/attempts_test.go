package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/password"
	"inventoryhub/internal/service"
)

// repeatable is a route that takes an Idempotency-Key, with two requests that both succeed.
type repeatable struct {
	path        string
	body, other any
	adds        string   // the table that each request adds one row to after all others
	bears       []string // headers of the answer
}

// repeatables are all of them, for a Manager.
func (s *server) repeatables() []repeatable {
	s.t.Helper()
	item := s.product("iPhone 12", "Electronics", 100)
	order := func(quantity int) j {
		return j{"itemId": item, "client": "John Doe Enterprises", "description": "", "quantity": quantity}
	}
	product := func(name string) j {
		return j{"name": name, "category": "Electronics", "quantity": 10, "description": "", "image": base64.StdEncoding.EncodeToString(pngPicture(1))}
	}
	return []repeatable{
		{"/auth/invite", invitee("tolya@example.com", domain.RoleUser), invitee("john@example.com", domain.RoleUser), "outbox", nil},
		{"/products/categories", j{"name": "Furniture"}, j{"name": "Books"}, "categories", []string{"Content-Type"}},
		{"/products", product("iPhone 13"), product("iPhone 14"), "movements", []string{"Content-Type", "Etag", "Location"}},
		{"/products/orders", order(5), order(6), "order_steps", []string{"Content-Type", "Etag", "Location"}},
	}
}

// eachRepeatable runs a test for each route that takes an Idempotency-Key, on both engines, with a clock that stands.
func eachRepeatable(t *testing.T, test func(t *testing.T, s *server, r repeatable)) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		start := time.Now().UTC().Truncate(time.Millisecond)
		s.stop(start)
		for _, r := range s.repeatables() {
			s.run(strings.ReplaceAll(r.path[1:], "/", "_"), func(t *testing.T) { test(t, s, r) })
			s.stop(start)
			s.exec("DELETE FROM attempts") // the keys of the next route are its own
		}
	})
}

// keyed posts under an Idempotency-Key.
func (c *client) keyed(key, path string, body any) answer {
	c.s.t.Helper()
	return c.do(http.MethodPost, path, body, "Idempotency-Key", key)
}

// fresh checks that an answer is not an earlier one.
func (a answer) fresh() answer {
	a.t.Helper()
	require.NotContains(a.t, a.Header, "Idempotent-Replayed")
	return a
}

// replays checks that an answer is the first one again, byte for byte.
func (a answer) replays(first answer) {
	a.t.Helper()
	require.Equal(a.t, "true", a.Header.Get("Idempotent-Replayed"), a.Body)
	want, got := first.Header.Clone(), a.Header.Clone()
	for _, h := range []http.Header{want, got} {
		h.Del("X-Request-Id")
		h.Del("Idempotent-Replayed")
	}
	require.Equal(a.t, []any{first.Status, first.Body, want}, []any{a.Status, a.Body, got})
}

// everything is [server.dump] with the audit log: whatever a request can change but the attempts themselves.
func (s *server) everything() map[string][]string {
	s.t.Helper()
	all := s.dump()
	all["audit_log"] = s.rows("SELECT * FROM audit_log")
	return all
}

func TestAttempts_replay(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager := s.as(domain.RoleManager)
		first := manager.keyed("k", r.path, r.body).wants(http.StatusCreated).fresh()
		for _, header := range r.bears {
			require.Contains(t, first.Header, header)
		}
		elsewhere := s.session(manager.user)
		before := s.everything()
		manager.keyed("k", r.path, r.body).replays(first)
		elsewhere.keyed("k", r.path, r.body).replays(first)
		manager.keyed("k", r.path, r.other).refuses(http.StatusUnprocessableEntity, "request")
		manager.keyed("k", r.path, `{`).refuses(http.StatusUnprocessableEntity, "request")
		manager.keyed("k", r.path, r.body).replays(first) // what was refused has left the key alone
		require.Equal(t, before, s.everything())
		s.as(domain.RoleAdmin).keyed("k", r.path, r.other).wants(http.StatusCreated).fresh()
		manager.keyed("K", r.path, `{`).fresh().refuses(http.StatusBadRequest, "request") // keys are compared to the letter
	})
}

// TestAttempts_otherRoute shows a key on the routes that it does not stand for.
func TestAttempts_otherRoute(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		routes := s.repeatables()
		manager := s.as(domain.RoleManager)
		for i, r := range routes {
			manager.keyed(r.path, r.path, r.body).wants(http.StatusCreated)
			manager.keyed(r.path, routes[(i+1)%len(routes)].path, r.body).refuses(http.StatusUnprocessableEntity, "request")
		}
	})
}

// formOf encodes a form with a boundary.
func formOf(t *testing.T, boundary string, parts ...part) []byte {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	require.NoError(t, w.SetBoundary(boundary))
	for _, p := range parts {
		create := func() (io.Writer, error) { return w.CreateFormField(p.name) }
		if p.file != "" {
			create = func() (io.Writer, error) { return w.CreateFormFile(p.name, p.file) }
		}
		field, err := create()
		require.NoError(t, err)
		_, err = io.WriteString(field, p.value)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return body.Bytes()
}

// TestAttempts_form sends a form again as clients do: with another boundary.
func TestAttempts_form(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		send := func(boundary string, parts ...part) answer {
			return s.as(domain.RoleUser).do(http.MethodPost, "/products", formOf(t, boundary, parts...),
				"Content-Type", "multipart/form-data; boundary="+boundary, "Idempotency-Key", "k")
		}
		form := func(name string, shade uint8) []part {
			return []part{{name: "name", value: name}, {name: "category", value: "Electronics"}, {name: "quantity", value: "10"}, {name: "image", file: "a.png", value: string(pngPicture(shade))}}
		}
		first := send("one", form("iPhone 12", 1)...).wants(http.StatusCreated).fresh()
		before := s.everything()
		send("two", form("iPhone 12", 1)...).replays(first)
		for name, parts := range map[string][]part{
			"another_name": form("iPhone 13", 1), "another_picture": form("iPhone 12", 2), "no_picture": form("iPhone 12", 1)[:3], "one_more": append(form("iPhone 12", 1), part{name: "x"}),
			"renamed": append([]part{{name: "category", value: "iPhone 12"}, {name: "name", value: "Electronics"}}, form("", 1)[2:]...),
			// The same bytes, cut at other places.
			"shifted": append([]part{{name: "nam", value: "eiPhone 12"}}, form("iPhone 12", 1)[1:]...),
		} {
			s.run(name, func(*testing.T) { send("two", parts...).refuses(http.StatusUnprocessableEntity, "request") })
		}
		require.Equal(t, before, s.everything())
		require.Len(t, s.pictures(), 1)
	})
}

func TestAttempts_twentyAtOnce(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager, count := s.as(domain.RoleManager), func() int { return len(s.rows("SELECT * FROM " + r.adds)) }
		made, files := count(), len(s.pictures())
		var first *answer
		answers := atOnce(20, func(int) answer { return manager.keyed("k", r.path, r.body) })
		for i, a := range answers {
			if a.Header.Get("Idempotent-Replayed") == "" && a.Status == http.StatusCreated {
				require.Nil(t, first, "two were carried out")
				first = &answers[i]
			}
		}
		require.NotNil(t, first)
		for _, a := range answers {
			switch {
			case a.Status == http.StatusConflict:
				require.Equal(t, map[string][]string{"request": {"A request with this Idempotency-Key is still running"}}, a.refuses(http.StatusConflict, "request"))
			case a.Header.Get("Idempotent-Replayed") != "":
				a.replays(*first)
			}
		}
		require.Equal(t, made+1, count())
		require.LessOrEqual(t, len(s.pictures()), files+1)
		manager.keyed("k", r.path, r.body).replays(*first)
	})
}

// TestAttempts_refusalsAreKept changes what a request was refused for. Under its key it stays refused.
func TestAttempts_refusalsAreKept(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		admin, manager, user := s.as(domain.RoleAdmin), s.as(domain.RoleManager), s.newUser(domain.RoleUser)
		item := s.product("iPhone 12", "Electronics", 4)
		order := j{"itemId": item, "client": "John Doe Enterprises", "description": "", "quantity": 5}
		for i, c := range []struct {
			path   string
			body   any
			status int
			field  string
			mend   func()
		}{
			{"/products/orders", order, http.StatusConflict, "quantity", func() {
				admin.patch("/products/quantity/"+item, j{"quantity": 5}).wants(http.StatusOK)
			}},
			{"/products", j{"name": "Table", "category": "Furniture", "quantity": 1}, http.StatusBadRequest, "category", func() { s.category("Furniture") }},
			{"/products/categories", j{"name": "furniture"}, http.StatusConflict, "name", func() {
				admin.delete("/products/categories/Furniture").wants(http.StatusNoContent)
			}},
			{"/auth/invite", invitee(user.user.Email, domain.RoleUser), http.StatusConflict, "email", func() {
				admin.delete("/users/" + user.user.ID.String()).wants(http.StatusNoContent)
			}},
			{"/auth/invite", invitee("boss@example.com", domain.RoleAdmin), http.StatusForbidden, "role", func() {
				u := manager.user
				admin.put("/users/"+u.ID.String(), j{"email": u.Email, "firstName": "x", "lastName": "y", "role": "Admin"}).wants(http.StatusNoContent)
			}},
		} {
			key := fmt.Sprint(i)
			first := manager.keyed(key, c.path, c.body).fresh()
			first.refuses(c.status, c.field)
			c.mend()
			manager.keyed(key, c.path, c.body).replays(first)
			manager.keyed(key+"'", c.path, c.body).fresh().wants(http.StatusCreated)
		}
	})
}

// TestAttempts_laterStates gives the first answer again when the thing looks otherwise now, and even when it is gone.
func TestAttempts_laterStates(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		admin, item := s.as(domain.RoleAdmin), s.product("iPhone 12", "Electronics", 10)
		order := j{"itemId": item, "client": "John Doe Enterprises", "description": "", "quantity": 5}
		first := admin.keyed("k", "/products/orders", order).wants(http.StatusCreated)
		admin.patch("/products/orders/state/"+first.text("id"), j{"transition": "Ready"}).wants(http.StatusOK)
		admin.keyed("k", "/products/orders", order).replays(first)
		admin.delete(first.Header.Get("Location")).wants(http.StatusNoContent)
		admin.delete("/products/" + item).wants(http.StatusNoContent)
		admin.keyed("k", "/products/orders", order).replays(first)
	})
}

// TestAttempts_callerWhoMayNot shows that a key opens nothing: the caller is looked at first.
func TestAttempts_callerWhoMayNot(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager := s.newUser(domain.RoleManager)
		manager.keyed("k", r.path, r.body).wants(http.StatusCreated)
		s.anonymous().keyed("k", r.path, r.body).fresh().refuses(http.StatusUnauthorized, "authorization")
		s.as(domain.RoleReadonlyUser).keyed("k", r.path, r.body).fresh().refuses(http.StatusForbidden, "authorization")
		require.Len(t, s.rows("SELECT * FROM attempts WHERE user_id = '"+manager.user.ID.String()+"'"), 1)
		require.Empty(t, s.rows("SELECT * FROM attempts WHERE user_id <> '"+manager.user.ID.String()+"' AND status IN (401, 403)"))
		u := manager.user
		s.as(domain.RoleAdmin).put("/users/"+u.ID.String(), j{"email": u.Email, "firstName": "x", "lastName": "y", "role": "ReadonlyUser"}).wants(http.StatusNoContent)
		manager.keyed("k", r.path, r.body).fresh().refuses(http.StatusForbidden, "authorization")
		manager.post("/auth/logout", nil).wants(http.StatusNoContent)
		manager.keyed("k", r.path, r.body).fresh().refuses(http.StatusUnauthorized, "authorization")
		s.exec("DELETE FROM outbox") // the next route's people are others
	})
}

// TestAttempts_faultFreesTheKey has the database refuse the last thing that is written.
func TestAttempts_faultFreesTheKey(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager, before := s.as(domain.RoleManager), s.everything()
		mend := s.sabotage(r.adds)
		manager.keyed("k", r.path, r.body).fresh().failed()
		manager.keyed("k", r.path, r.body).fresh().failed()
		require.Equal(t, before, s.everything())
		mend()
		first := manager.keyed("k", r.path, r.body).fresh().wants(http.StatusCreated)
		manager.keyed("k", r.path, r.body).replays(first)
	})
}

// TestAttempts_panicFreesTheKey breaks the server so that its handlers panic.
func TestAttempts_panicFreesTheKey(t *testing.T) {
	eachRepeatable(t, func(_ *testing.T, s *server, r repeatable) {
		if r.path == "/auth/invite" {
			return // without its use cases nobody could be recognized either
		}
		manager, whole := s.as(domain.RoleManager), s.handler
		broken, err := httpapi.New(httpapi.Services{
			Auth:     service.NewAuth(s.store, s.tokens, s.vault, password.NewHasher(), service.AuthSettings{}, s.now),
			Attempts: service.NewAttempts(s.store, s.now),
		}, httpapi.Config{Now: s.now, Log: slog.New(slog.DiscardHandler)})
		require.NoError(s.t, err)
		s.handler = broken
		manager.keyed("k", r.path, r.body).fresh().failed()
		s.handler = whole
		first := manager.keyed("k", r.path, r.body).fresh().wants(http.StatusCreated)
		manager.keyed("k", r.path, r.body).replays(first)
	})
}

// claim leaves what a process leaves that dies while a request is at work.
func (s *server) claim(c *client, key string, r repeatable) domain.Attempt {
	s.t.Helper()
	mend := s.sabotage(r.adds)
	c.keyed("for the fingerprint", r.path, r.body).failed()
	mend()
	fingerprint := s.column("SELECT fingerprint FROM attempts WHERE key = 'for the fingerprint'")[0]
	s.exec("DELETE FROM attempts WHERE key = 'for the fingerprint'")
	now := s.now()
	claim, mine, err := s.store.Attempts.Claim(s.t.Context(), domain.NewAttempt(c.user.ID, key, fingerprint, now), now)
	require.NoError(s.t, err)
	require.True(s.t, mine)
	return claim
}

// TestAttempts_processDied: whoever was at work keeps the key for a minute and no longer.
func TestAttempts_processDied(t *testing.T) {
	eachRepeatable(t, func(_ *testing.T, s *server, r repeatable) {
		manager, start := s.as(domain.RoleManager), s.now()
		s.claim(manager, "k", r)
		for _, d := range []time.Duration{0, domain.AttemptLease - time.Millisecond} {
			s.stop(start.Add(d))
			manager.keyed("k", r.path, r.body).fresh().refuses(http.StatusConflict, "request")
			manager.keyed("k", r.path, r.other).fresh().refuses(http.StatusUnprocessableEntity, "request")
		}
		s.stop(start.Add(domain.AttemptLease))
		manager.keyed("k", r.path, r.other).fresh().refuses(http.StatusUnprocessableEntity, "request")
		first := manager.keyed("k", r.path, r.body).fresh().wants(http.StatusCreated)
		manager.keyed("k", r.path, r.body).replays(first)
	})
}

// TestAttempts_answerLost cuts the process off between the commit and the keeping of the answer.
func TestAttempts_answerLost(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager, start := s.as(domain.RoleManager), s.now()
		first := manager.keyed("k", r.path, r.body).wants(http.StatusCreated)
		s.exec("UPDATE attempts SET status = NULL, headers = '{}', body = ''")
		before := s.everything()
		manager.keyed("k", r.path, r.body).fresh().refuses(http.StatusConflict, "request")
		s.stop(start.Add(domain.AttemptLease))
		answers := atOnce(5, func(int) answer { return manager.keyed("k", r.path, r.body) })
		told := 0
		for _, a := range answers {
			if a.Status != http.StatusConflict { // while another one tells
				a.replays(first)
				told++
			}
		}
		require.NotZero(t, told)
		manager.keyed("k", r.path, r.body).replays(first)
		require.Equal(t, before, s.everything())
	})
}

// TestAttempts_takenOver: whoever was too slow finds that another one has taken the key over, and makes nothing.
func TestAttempts_takenOver(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(time.Now().UTC().Truncate(time.Millisecond))
		routes, user := s.repeatables(), s.as(domain.RoleManager)
		slow := s.claim(user, "k", routes[3])
		s.stop(s.now().Add(domain.AttemptLease))
		first := user.keyed("k", routes[3].path, routes[3].body).wants(http.StatusCreated)
		before := s.everything()
		order := service.NewOrder{ItemID: uuid.MustParse(first.json()["item"].(j)["id"].(string)), Client: "x", Quantity: 5, State: domain.OrderPending}
		_, err := service.NewOrders(s.store, s.now).Place(t.Context(), domain.Actor{ID: user.user.ID, Role: domain.RoleManager}, order, &slow, nil)
		var refused *domain.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, domain.KindConflict, refused.Kind)
		attempts := service.NewAttempts(s.store, s.now)
		require.NoError(t, attempts.Finish(t.Context(), slow, http.StatusConflict, "{}", "too late"))
		require.NoError(t, attempts.Abandon(t.Context(), slow))
		require.Equal(t, before, s.everything())
		user.keyed("k", routes[3].path, routes[3].body).replays(first)
	})
}

func TestAttempts_keys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		send := func(n int, keys ...string) answer {
			body, err := json.Marshal(j{"name": fmt.Sprint("category ", n)})
			require.NoError(t, err)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/products/categories", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+s.as(domain.RoleManager).access)
			r.Header["Idempotency-Key"] = keys
			return s.serve(r, body)
		}
		for i, key := range []string{
			"x", strings.Repeat("x", 255), strings.Repeat("é", 255), strings.Repeat("😀", 255), uuid.NewString(), `"quoted"`, "%", "'; DROP TABLE attempts; --", "a,b",
		} {
			first := send(i, key).fresh().wants(http.StatusCreated)
			send(i, key).replays(first)
		}
		before := s.everything()
		for name, keys := range map[string][]string{
			"empty": {""}, "256": {strings.Repeat("x", 256)}, "256_letters": {strings.Repeat("é", 256)}, "megabytes": {strings.Repeat("x", 1<<20)}, "twice": {"a", "b"}, "twice_the_same": {"a", "a"},
			"NUL": {"a\x00b"}, "control": {"a\x01b"}, "tab": {"a\tb"}, "newline": {"a\nb"}, "delete": {"a\x7fb"}, "separator": {"a\u2028b"}, "not_UTF-8": {"a\xffb"},
		} {
			s.run(name, func(*testing.T) { send(100, keys...).fresh().refuses(http.StatusBadRequest, "request") })
		}
		require.Equal(t, before, s.everything())
		require.Len(t, s.rows("SELECT * FROM attempts"), 9)
	})
}

// TestAttempts_day: after 24 hours a key is new, even for another request.
func TestAttempts_day(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager, start := s.as(domain.RoleManager), s.now()
		first := manager.keyed("k", r.path, r.body).wants(http.StatusCreated)
		kept := func() int { return len(s.rows("SELECT * FROM attempts WHERE body = '" + first.Body + "'")) }
		s.stop(start.Add(domain.AttemptTTL - time.Millisecond))
		require.NoError(t, s.store.Attempts.Purge(t.Context(), s.now().Add(-domain.AttemptTTL)))
		require.Equal(t, 1, kept())
		s.session(manager.user).keyed("k", r.path, r.body).replays(first)
		s.stop(start.Add(domain.AttemptTTL))
		second := s.session(manager.user).keyed("k", r.path, r.other).fresh().wants(http.StatusCreated)
		s.session(manager.user).keyed("k", r.path, r.other).replays(second)
		s.stop(start.Add(3 * domain.AttemptTTL))
		require.NoError(t, s.store.Attempts.Purge(t.Context(), s.now().Add(-domain.AttemptTTL)))
		require.Empty(t, s.rows("SELECT * FROM attempts"))
	})
}

// TestAttempts_elsewhere sends a key, and a bad one, to routes that take none.
func TestAttempts_elsewhere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, item := s.as(domain.RoleAdmin), s.product("iPhone 12", "Electronics", 10)
		for _, key := range []string{"k", ""} {
			for range 2 {
				admin.do(http.MethodPatch, "/products/quantity/"+item, j{"delta": 1}, "Idempotency-Key", key).fresh().wants(http.StatusOK)
				admin.do(http.MethodGet, "/products/"+item, nil, "Idempotency-Key", key).fresh().wants(http.StatusOK)
				admin.do(http.MethodPut, "/products/"+item, j{"name": "iPhone 12", "category": "Electronics"}, "Idempotency-Key", key).fresh().wants(http.StatusOK)
				s.anonymous().do(http.MethodPost, "/auth/login", j{"email": admin.user.Email, "password": "wrong"}, "Idempotency-Key", key).fresh().wants(http.StatusUnauthorized)
			}
		}
		require.EqualValues(t, 14, s.quantity(item))
		admin.do(http.MethodDelete, "/products/"+item, nil, "Idempotency-Key", "k").fresh().wants(http.StatusNoContent)
		admin.do(http.MethodDelete, "/products/"+item, nil, "Idempotency-Key", "k").fresh().refuses(http.StatusNotFound, "id")
		require.Empty(t, s.rows("SELECT * FROM attempts"))
	})
}

// TestAttempts_noSecrets looks for all that is secret in what is kept of requests.
func TestAttempts_noSecrets(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		for _, r := range s.repeatables() {
			manager.keyed(r.path, r.path, r.body).wants(http.StatusCreated)
			manager.keyed(r.path+"'", r.path, j{"password": goodPassword, "token": manager.access, "refreshToken": manager.refresh}).wants(http.StatusBadRequest)
		}
		rows := s.rows("SELECT * FROM attempts")
		require.Len(t, rows, 8)
		kept := strings.Join(rows, "\n")
		for _, secret := range []string{s.mailToken(domain.EventUserInvited, "tolya@example.com"), manager.access, manager.refresh, goodPassword, goodHash(), "eyJ"} {
			require.NotContains(t, kept, secret)
		}
	})
}

// TestAttempts_tooLarge sends bodies beyond what each route takes.
func TestAttempts_tooLarge(t *testing.T) {
	eachRepeatable(t, func(t *testing.T, s *server, r repeatable) {
		manager, before := s.as(domain.RoleManager), s.everything()
		body := strings.Repeat(" ", 8<<20) + "{}"
		for range 2 {
			manager.keyed("k", r.path, body).refuses(http.StatusRequestEntityTooLarge, "request")
		}
		if r.path != "/products" {
			manager.keyed("k65", r.path, strings.Repeat(" ", 64<<10)+"{}").refuses(http.StatusRequestEntityTooLarge, "request")
		} else {
			form := formOf(t, "one", part{name: "name", value: "x"}, part{name: "image", file: "a.png", value: strings.Repeat("x", 6<<20)})
			manager.do(http.MethodPost, r.path, form, "Content-Type", "multipart/form-data; boundary=one", "Idempotency-Key", "form").refuses(http.StatusRequestEntityTooLarge, "image")
		}
		require.Equal(t, before, s.everything())
		manager.keyed("k", r.path, r.body).fresh().wants(http.StatusCreated) // nothing was kept of what could not be read
	})
}
