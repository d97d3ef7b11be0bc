package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/token"
)

// embedded is a server on SQLite alone, for what happens before any database.
func embedded(t testing.TB, options ...option) *server {
	t.Helper()
	url := storetest.SQLiteURL(t)
	s := newServer(t, storetest.Open(t, url), options...)
	s.url = url
	return s
}

// ready puts a check in place of those of /readyz.
func ready(check func(context.Context) error) option {
	return func(c *setup) { c.Ready = []func(context.Context) error{check} }
}

// TestJSON sends bodies to POST /products/categories, which takes one text, the name.
func TestJSON(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return `{"name": "nested ` + fmt.Sprint(depth) + `", "x": ` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
	}
	keyed := func(keys int) string {
		var b strings.Builder
		for i := range keys - 2 {
			fmt.Fprintf(&b, `, "%d": 0`, i)
		}
		return fmt.Sprintf(`{"name": "keyed", "x": {%s}}`, b.String()[2:])
	}
	each(t, func(_ *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		for want, bodies := range map[string][]string{
			"": {
				`{"name":"a"}`, " \t\r\n{ \"name\" :\n\"b\" } \r\n", `{"\u006eame": "c"}`, `{"name": "\u0064"}`, `{"name": "  e\u00a0"}`, `{"name": "\ud83d\ude00"}`, `{"name": "\ufffd"}`,
				"{\"name\": \"\ufffdx\"}", `{"name": "\\ud800"}`, `{"name": "\\ufffd\ufffd"}`, `{"name": "<b>&\u2027/"}`,
				`{"name": "f", "Name": 5, "NAME": null, "ＮＡＭＥ": [], "name ": {}, "": 1}`, `{"name": "g", "id": 5, "__proto__": {"x": [1.5e999, -0, true, null]}}`,
				`{"name": "` + strings.Repeat("😀", 100) + `"}`, nested(31), keyed(1000), `{"x": "` + strings.Repeat("x", 60000) + `", "name": "h"}`,
			},
			"name": {
				`{}`, `{"Name": "x"}`, `{"NAME": "x"}`, `{"name": null}`, `{"name": ""}`, `{"name": " \u00a0\u3000"}`, `{"name": 5}`, `{"name": true}`, `{"name": []}`, `{"name": ["x"]}`,
				`{"name": {}}`, `{"name": {"name": "x"}}`, `{"x": {"name": "x"}}`, `{"name": "` + strings.Repeat("x", 101) + `"}`,
				`{"name": "a\u0000b"}`, `{"name": "a\nb"}`, `{"name": "\ta"}`, `{"name": "a\u0085"}`, `{"name": "a\u2028b"}`, `{"name": "\u001b[31m"}`,
				"{\"name\": \"\xff\"}", "{\"name\": \"a\xc3\"}", "{\"name\": \"\xc0\xaf\"}", "{\"name\": \"\xed\xa0\x80\"}", "{\"name\": \"\xf4\x90\x80\x80\"}",
				`{"name": "\ud800"}`, `{"name": "\udc00x"}`, `{"name": "\ude00\ud83d"}`, `{"name": "\ud83dx\ude00"}`, `{"name": "\ufffd\ud800"}`, `{"name": "\\ufffd\ud800"}`,
			},
			"request": {
				"", " ", "null", "[]", `[{"name": "x"}]`, `"name"`, "5", "true", "{", "}", "name=x", "<name>x</name>", "\ufeff" + `{"name": "x"}`, "{\x00\"\x00n", "\xff\xfe{\x00",
				`{"name"`, `{"name":`, `{"name": }`, `{"name": "x"`, `{"name": "x",}`, `{, "name": "x"}`, `{"name": "x" "b": 1}`, `{"name" "x"}`, `{name: "x"}`, `{'name': 'x'}`, `{"name": 'x'}`,
				`{"name": "x"} {}`, `{"name": "x"}x`, `{"name": "x"},`, `{"name": "x"}]`, `{"name": "x"}` + "\x00", `{"name": "x"} // x`, `{/* x */"name": "x"}`,
				`{"name": "x", "a": 01}`, `{"name": "x", "a": .5}`, `{"name": "x", "a": NaN}`, `{"name": "x", "a": +1}`, `{"name": "x", "a": 0x1}`, `{"name": "x", "a": "\x"}`, `{"name": "x", "a": "\u12"}`,
				"{\"name\": \"a\nb\"}", "{\"name\": \"a\x00b\"}",
				`{"name": "x", "name": "x"}`, `{"name": "x", "\u006eame": "y"}`, `{"name": "x", "a": {"b": 1, "b": 2}}`, `{"name": "x", "a": [{"b": 1, "b": 1}]}`, `{"name": "x", "a": 1, "a": 1}`,
				"{\"name\": \"x\", \"a\": \"\xff\"}", "{\"name\": \"x\", \"\xff\": 1}", nested(32), strings.Repeat(`{"x":`, 10000), strings.Repeat("[", 60000), keyed(1001),
			},
		} {
			for i, body := range bodies {
				s.run(fmt.Sprintf("%s/%d/%.40q", want, i, body), func(*testing.T) {
					a := admin.post("/products/categories", body)
					if want == "" {
						a.wants(http.StatusCreated)
						return
					}
					a.refuses(http.StatusBadRequest, want)
				})
			}
		}
	})
}

func TestJSON_size(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	admin := s.as(domain.RoleAdmin)
	padded := func(size int) string {
		const body = `{"name": "x"}`
		return body + strings.Repeat(" ", size-len(body))
	}
	for path, limit := range map[string]int{"/auth/login": 8 << 10, "/auth/invite": 8 << 10, "/products/categories": 64 << 10, "/products": 8 << 20} {
		require.NotEqual(t, http.StatusRequestEntityTooLarge, admin.post(path, padded(limit)).Status, path)
		admin.post(path, padded(limit+1)).refuses(http.StatusRequestEntityTooLarge, "request")
	}
}

func TestJSON_mediaType(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	admin := s.as(domain.RoleAdmin)
	send := func(body string, headers ...string) answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/products/categories", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+admin.access)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return s.serve(r, []byte(body))
	}
	for i, right := range []string{
		"application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=UTF-8", `application/json; charset="utf-8"`, "application/json; profile=x", " application/json ",
	} {
		send(fmt.Sprintf(`{"name": "%d"}`, i), "Content-Type", right).wants(http.StatusCreated)
	}
	for _, wrong := range []string{
		"text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/jsonp", "application/merge-patch+json",
		"application/json; charset=iso-8859-1", "application/json; charset=utf-16", "application", "json", "*/*", "application/json, text/plain", "application/json; charset", ";",
	} {
		s.run(wrong, func(*testing.T) {
			send(`{"name": "x"}`, "Content-Type", wrong).refuses(http.StatusUnsupportedMediaType, "request")
		})
	}
	send(`{"name": "x"}`).refuses(http.StatusUnsupportedMediaType, "request")
	send("").refuses(http.StatusBadRequest, "request")
	send("", "Content-Type", "application/json").refuses(http.StatusBadRequest, "request")
	for _, encoding := range []string{"gzip", "deflate", "br", "identity", "x"} {
		send(`{"name": "x"}`, "Content-Type", "application/json", "Content-Encoding", encoding).refuses(http.StatusUnsupportedMediaType, "request")
	}
}

// TestChunked: a request in chunks is the last on its connection.
func TestChunked(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	send := func(encodings ...string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/login", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.TransferEncoding = encodings
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		answer{s.t, w.Code, w.Header(), w.Body.String()}.refuses(http.StatusBadRequest, "email", "password")
		return w.Header().Get("Connection")
	}
	require.Equal(t, "close", send("chunked"))
	require.Empty(t, send())
}

// brokenBody ends before its time.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestJSON_bodyThatDoesNotArrive(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/login", brokenBody{})
	r.Header.Set("Content-Type", "application/json")
	s.serve(r, nil).refuses(http.StatusBadRequest, "request")
}

func TestRoutes_unknown(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	for _, path := range []string{
		"/", "/x", "/Users", "/users/", "//users", "/users//", "/users/x/y", "/auth", "/auth/", "/auth/login/", "/auth/logins", "/products/", "/products/x/movements/y",
		"/api/users", "/v1/users", "/metrics", "/debug/pprof/", "/debug/vars", "/.git/config", "/.env", "/images", "/images/", "/index.html", "/%2e%2e/etc/passwd", "/users%2Fme", "/us%65rs", "/users;x=1",
	} {
		for _, who := range []*client{s.anonymous(), s.as(domain.RoleAdmin)} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions, "BREW"} {
				a := who.do(method, path, nil)
				require.Equal(t, http.StatusNotFound, a.Status, "%s %s", method, path)
				a.refuses(http.StatusNotFound, "request")
				require.Empty(t, a.Header.Get("Allow")+a.Header.Get("Location"), path)
			}
		}
	}
}

// TestRoutes_oddMethods: a method counts to the letter, and no header changes it.
func TestRoutes_oddMethods(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	admin, u := s.as(domain.RoleAdmin), s.newUser(domain.RoleUser)
	path := "/users/" + u.user.ID.String()
	for _, method := range []string{"get", "Get", "DELETE2", "PROPFIND", "CONNECT", "TRACE", "QUERY", "M-SEARCH"} {
		a := admin.do(method, path, nil)
		a.refuses(http.StatusMethodNotAllowed, "request")
		require.Equal(t, "GET, HEAD, PUT, DELETE", a.Header.Get("Allow"), method)
	}
	for _, header := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		admin.do(http.MethodPost, path, nil, header, "DELETE").refuses(http.StatusMethodNotAllowed, "request")
		admin.do(http.MethodGet, path, nil, header, "DELETE").wants(http.StatusOK)
	}
	admin.do(http.MethodPost, path+"?_method=DELETE", nil).refuses(http.StatusMethodNotAllowed, "request")
	u.live()
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	id := func(headers ...string) string {
		return s.anonymous().do(http.MethodGet, "/healthz", nil, headers...).wants(http.StatusOK).Header.Get("X-Request-Id")
	}
	for _, sane := range []string{"a", "0195a000-0000-7000-8000-000000000001", "A.b_c-9", strings.Repeat("x", 64)} {
		require.Equal(t, sane, id("X-Request-Id", sane))
	}
	seen := map[string]bool{}
	for _, insane := range []string{
		"", strings.Repeat("x", 65), "a b", "a\r\nSet-Cookie: x=1", "a\nlevel=ERROR msg=fake", "a%0d%0aINFO", `a"b`, "a=b", "ä", "a\x00", "<script>", "a,b", "a\t", "a\n",
	} {
		made := id("X-Request-Id", insane)
		require.NoError(t, uuid.Validate(made), "%q", insane)
		require.False(t, seen[made])
		seen[made] = true
	}
	require.NoError(t, uuid.Validate(id()))
}

// TestHeaders looks at one answer of every status.
func TestHeaders(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, u := s.as(domain.RoleAdmin), s.newUser(domain.RoleUser)
		s.stop(s.now())
		s.category("Electronics")
		body := j{"name": "iPhone 12", "category": "Electronics", "quantity": 1, "image": base64Picture(1)}
		product := admin.post("/products", body).wants(http.StatusCreated)
		s.spend(2, home)
		answers := map[string]answer{
			"200":           admin.get("/users"),
			"200 anonymous": s.anonymous().get("/healthz"),
			"200 image":     s.anonymous().get("/images/" + product.text("imageUrl")),
			"201":           product,
			"201 empty":     admin.post("/auth/invite", invitee("tolya@example.com", domain.RoleUser)),
			"202":           s.at(away).post("/auth/forgot", j{"email": "nobody@example.com"}),
			"204":           u.post("/auth/logout", nil),
			"400":           admin.post("/products/categories", "{"),
			"401":           s.anonymous().get("/users"),
			"403":           s.as(domain.RoleUser).post("/auth/invite", "{"),
			"404":           admin.get("/users/x"),
			"404 route":     s.anonymous().get("/x"),
			"404 image":     s.anonymous().get("/images/x.png"),
			"405":           admin.patch("/users", "{}"),
			"409":           admin.post("/products/categories", j{"name": "Electronics"}),
			"413":           admin.post("/products/categories", strings.Repeat(" ", 1<<17)),
			"415":           admin.do(http.MethodPost, "/products/categories", "x", "Content-Type", "text/plain"),
			"429":           s.at(home).post("/auth/login", "{"),
			"500":           s.anonymous().get("/readyz"),
		}
		const isolated = "default-src 'none'; frame-ancestors 'none'"
		for name, a := range answers {
			s.run(name, func(t *testing.T) {
				require.Equal(t, name[:3], fmt.Sprint(a.Status), a.Body)
				want := map[string]string{
					"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": isolated, "Cache-Control": "no-store",
					"Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "application/json; charset=utf-8",
					"Server": "", "X-Powered-By": "", "Access-Control-Allow-Origin": "", "Set-Cookie": "", "WWW-Authenticate": "", "Allow": "", "Retry-After": "",
				}
				switch {
				case a.Body == "":
					want["Content-Type"] = ""
				case name == "200 image":
					want["Content-Type"], want["Cache-Control"] = "image/png", "public, max-age=31536000, immutable"
					want["Content-Security-Policy"], want["Cross-Origin-Resource-Policy"] = "default-src 'none'; sandbox", "cross-origin"
				case name == "401":
					want["WWW-Authenticate"] = "Bearer"
				case name == "405":
					want["Allow"] = "GET, HEAD"
				case name == "429":
					want["Retry-After"] = "30"
				}
				got := map[string]string{}
				for header := range want {
					got[header] = strings.Join(a.Header.Values(header), "|")
				}
				require.Equal(t, want, got)
				require.Len(t, a.Header.Values("X-Request-Id"), 1)
				if a.Status >= 400 {
					a.t = t
					require.Len(t, a.refusal(), 1)
				}
			})
		}
	}, limited(2), ready(func(context.Context) error { panic("secret internals") }))
}

// refusal gives the faults of an answer whose shape is that of an error.
func (a answer) refusal() j {
	a.t.Helper()
	body := a.json()
	require.Len(a.t, body, 1, a.Body)
	return body["errors"].(j)
}

// TestPanic lets a handler panic, by a check of /readyz.
func TestPanic(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]any{
		"text": "secret internals", "error": errors.New("secret internals"), "wrapped": fmt.Errorf("x: %w", io.EOF), "no words": 5,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := embedded(t, ready(func(context.Context) error { panic(fault) }))
			s.anonymous().do(http.MethodGet, "/readyz", nil, "X-Request-Id", "the-fault").failed()
			said := s.log.String()
			require.Regexp(t, `level=ERROR msg="request failed" .* requestId=the-fault .*http_test\.go`, said)
			require.Equal(t, 1, strings.Count(said, "level=ERROR"), "logged once, on one line")
			s.as(domain.RoleUser).live() // the next request works
		})
	}
}

// TestPanic_abort: net/http drops the connection of a handler that panics so.
func TestPanic_abort(t *testing.T) {
	t.Parallel()
	s := embedded(t, ready(func(context.Context) error { panic(http.ErrAbortHandler) }))
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { s.anonymous().get("/readyz") })
}

// unavailable wants the answer of a server whose database cannot be reached.
func (a answer) unavailable() {
	a.t.Helper()
	require.Equal(a.t, http.StatusServiceUnavailable, a.Status, a.Body)
	require.JSONEq(a.t, `{"errors":{"server":["The server cannot answer at the moment; try again later"]}}`, a.Body)
	require.Equal(a.t, "2", a.Header.Get("Retry-After"))
}

// withoutDatabase asks everything that needs the database.
func (s *server) withoutDatabase(c *client) {
	s.anonymous().get("/readyz").unavailable()
	s.anonymous().get("/healthz").wants(http.StatusOK)
	s.anonymous().login(c.user.Email, goodPassword).unavailable()
	s.anonymous().post("/auth/register", j{"token": "x", "username": "tolya", "password": goodPassword}).unavailable()
	s.anonymous().post("/auth/reset", j{"token": "x", "password": goodPassword}).unavailable()
	s.anonymous().post("/auth/forgot", j{"email": c.user.Email}).unavailable()
	c.refreshed().unavailable()
	for _, call := range []string{"GET /users", "GET /users/me", "POST /auth/invite", "PUT /auth/password", "POST /auth/logout", "GET /products", "POST /products/orders", "DELETE /products/" + uuid.NewString()} {
		method, path, _ := strings.Cut(call, " ")
		c.do(method, path, nil).unavailable()
	}
	s.anonymous().get("/users").refuses(http.StatusUnauthorized, "authorization") // what needs no database is answered
	s.anonymous().get("/nowhere").refuses(http.StatusNotFound, "request")
}

func TestDatabaseClosed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleAdmin)
		require.NoError(t, s.store.Close())
		s.withoutDatabase(c)
	})
}

// wire is a way to a server that can be cut and joined again.
type wire struct {
	addr, to string
	mu       sync.Mutex
	listener net.Listener
	ends     []net.Conn
}

func (w *wire) join(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", w.addr)
	require.NoError(t, err)
	w.listener, w.addr = l, l.Addr().String()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", w.to)
			if err != nil {
				_ = from.Close()
				return
			}
			w.mu.Lock()
			w.ends = append(w.ends, from, to)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
		}
	}()
}

func (w *wire) cut() {
	_ = w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.ends {
		_ = end.Close()
	}
}

// TestDatabaseAway cuts the way to Postgres and joins it again.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(storetest.PostgresURL(t))
	require.NoError(t, err)
	w := &wire{addr: "127.0.0.1:0", to: u.Host}
	w.join(t)
	u.Host = w.addr
	s := newServer(t, storetest.Open(t, u.String()))
	c := s.newUser(domain.RoleAdmin)
	for range 2 {
		w.cut()
		s.withoutDatabase(c)
		w.join(t)
		s.anonymous().get("/readyz").wants(http.StatusOK)
		c.live()
		user := c.user
		c = s.holder(c.refreshed().wants(http.StatusOK)) // the refresh that failed has not spent the token
		c.user = user
	}
	w.cut()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		require.JSONEq(t, `{"status": "ok"}`, s.anonymous().get("/healthz").wants(http.StatusOK).Body)
		require.JSONEq(t, `{"status": "ready"}`, s.anonymous().get("/readyz").wants(http.StatusOK).Body)
	})
}

func TestHealth_notReady(t *testing.T) {
	t.Parallel()
	s := embedded(t, ready(func(context.Context) error { return errors.New("amqp is away") }))
	s.anonymous().get("/healthz").wants(http.StatusOK)
	s.anonymous().get("/readyz").unavailable()
	require.Contains(t, s.log.String(), "amqp is away", "the operator learns why")
}

// TestDeadline: no request waits for ever for what is behind us.
func TestDeadline(t *testing.T) {
	t.Parallel()
	var left time.Duration
	s := embedded(t, ready(func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return context.DeadlineExceeded
	}))
	s.anonymous().get("/readyz").unavailable()
	require.InDelta(t, 10*time.Second, left, float64(2*time.Second))
}

// TestCORS_none: without CORS_ORIGINS no other origin learns anything.
func TestCORS_none(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		a := s.as(domain.RoleAdmin).do(method, "/users", nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "GET")
		for header := range a.Header {
			require.NotContains(t, header, "Access-Control")
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s := embedded(t, func(c *setup) { c.CORSOrigins = []string{"https://app.example.com", "http://localhost:3000"} })
	admin := s.as(domain.RoleAdmin)
	const app = "https://app.example.com"
	allowed := func(a answer) string { return strings.Join(a.Header.Values("Access-Control-Allow-Origin"), "|") }
	for _, origin := range []string{app, "http://localhost:3000"} {
		for _, a := range []answer{
			admin.do(http.MethodGet, "/users", nil, "Origin", origin), s.anonymous().do(http.MethodGet, "/users", nil, "Origin", origin), s.anonymous().do(http.MethodGet, "/nowhere", nil, "Origin", origin),
		} {
			require.Equal(t, origin, allowed(a))
			require.Contains(t, a.Header.Values("Vary"), "Origin")
			require.Empty(t, a.Header.Get("Access-Control-Allow-Credentials"))
			for _, header := range []string{"Location", "Retry-After", "X-Request-Id"} {
				require.Contains(t, a.Header.Get("Access-Control-Expose-Headers"), header)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			a := s.anonymous().do(http.MethodOptions, "/products", nil, "Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "authorization,content-type")
			require.Equal(t, http.StatusNoContent, a.Status)
			require.Equal(t, []string{origin, method, "authorization,content-type", "600", ""}, []string{
				allowed(a), a.Header.Get("Access-Control-Allow-Methods"), a.Header.Get("Access-Control-Allow-Headers"), a.Header.Get("Access-Control-Max-Age"), a.Header.Get("Access-Control-Allow-Credentials"),
			})
			require.NoError(t, uuid.Validate(a.Header.Get("X-Request-Id")))
			require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		}
	}
	for _, origin := range []string{
		"https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "https://evilapp.example.com", "https://app.example.com:8443", "https://sub.app.example.com",
		"https://app.example.comevil", "https://app.example.com/", "null", "*", "", "app.example.com", "http://localhost", "http://localhost:30000",
	} {
		require.Empty(t, allowed(admin.do(http.MethodGet, "/users", nil, "Origin", origin)), origin)
		require.Empty(t, allowed(s.anonymous().do(http.MethodOptions, "/users", nil, "Origin", origin, "Access-Control-Request-Method", "GET")), origin)
	}
	for _, refused := range [][2]string{{"TRACE", ""}, {"BREW", ""}, {"GET", "x-secret"}} {
		a := s.anonymous().do(http.MethodOptions, "/users", nil, "Origin", app, "Access-Control-Request-Method", refused[0], "Access-Control-Request-Headers", refused[1])
		require.Empty(t, allowed(a), refused)
	}
	s.anonymous().do(http.MethodOptions, "/users", nil, "Origin", app).refuses(http.StatusMethodNotAllowed, "request") // no preflight
}

// TestLog calls everything that handles secrets, rightly and wrongly, and looks for them in the log.
func TestLog(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now())
		const typed = "Typed-but-wrong 1996"
		secrets := []string{goodPassword, typed, "Perforator 1996", "argon2id"}
		c := s.newUser(domain.RoleUser)
		invitation := s.invite("tolya@example.com")
		reset := s.resetToken(c.user)
		secrets = append(secrets, invitation, reset, c.access, c.refresh)
		s.anonymous().login(c.user.Email, typed).refuses(http.StatusUnauthorized, "credentials")
		s.anonymous().login(c.user.Email, goodPassword).wants(http.StatusOK)
		s.anonymous().post("/auth/register", j{"token": invitation, "username": "t", "password": typed}).refuses(http.StatusBadRequest, "username")
		tolya := s.holder(s.anonymous().post("/auth/register", j{"token": invitation, "username": "tolya", "password": "Perforator 1996"}).wants(http.StatusCreated))
		next := s.holder(tolya.refreshed().wants(http.StatusOK))
		tolya.refreshed().refuses(http.StatusUnauthorized, "refreshToken")
		secrets = append(secrets, tolya.access, tolya.refresh, next.access, next.refresh)
		c.put("/auth/password", j{"currentPassword": typed, "newPassword": "x"}).refuses(http.StatusBadRequest, "currentPassword", "newPassword")
		s.anonymous().post("/auth/reset", j{"token": reset, "password": "Perforator 1996"}).wants(http.StatusNoContent)
		s.anonymous().get("/users?token="+reset).refuses(http.StatusUnauthorized, "authorization")
		mend := s.sabotage("sessions")
		s.anonymous().login(c.user.Email, "Perforator 1996").failed()
		mend()
		require.NoError(t, s.store.Close())
		s.anonymous().login(c.user.Email, "Perforator 1996").unavailable()

		said := s.log.String()
		require.Contains(t, said, "msg=\"request failed\"")
		for _, secret := range secrets {
			require.NotContains(t, said, secret)
		}
	})
}

// TestSecretsAtRest: whoever gets hold of the tables cannot log in by them. The outbox has to hold what is still to be mailed.
func TestSecretsAtRest(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleUser)
		next := s.holder(c.refreshed().wants(http.StatusOK))
		secrets := []string{goodPassword, c.access, c.refresh, next.access, next.refresh, s.invite("tolya@example.com"), s.forgot(c.user.Email)}
		tables := s.dump()
		require.NotEmpty(t, tables["one_time_tokens"])
		delete(tables, "outbox")
		for table, rows := range tables {
			for _, secret := range secrets {
				require.NotContains(t, strings.Join(rows, "\n"), secret, table)
			}
		}
	})
}

// TestLog_lines: whatever a caller sends, each request has one line, which says what it should.
func TestLog_lines(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	const forged = "\nlevel=ERROR msg=forged"
	before := strings.Count(s.log.String(), "\n")
	c := s.as(domain.RoleAdmin)
	calls := []answer{
		c.do(http.MethodGet, "/users", nil, "X-Request-Id", "a"+forged),
		c.get("/users?search=" + url.QueryEscape(forged)),
		c.get("/users/" + url.PathEscape(forged)),
		c.do(http.MethodGet, "/nowhere"+url.PathEscape(forged), nil, "User-Agent", forged, "Referer", forged),
		s.anonymous().login("tolya@example.com"+forged, forged),
		s.anonymous().do(http.MethodGet, "/users", nil, "Authorization", "Bearer "+forged),
		c.do("MADE-UP", "/users", nil),
		c.do(http.MethodGet, "/users/me", nil, "X-Request-Id", "sane"),
	}
	said := strings.TrimSpace(s.log.String())
	lines := strings.Split(said, "\n")[before:]
	require.Len(t, lines, len(calls))
	for _, line := range lines {
		require.Regexp(t, `^time=\S+ level=INFO msg=request `, line)
	}
	require.NotContains(t, said, "MADE-UP")
	require.Contains(t, lines[len(lines)-2], ` method=_OTHER route="" status=405 `)
	require.Regexp(t, `method=GET route=/users/me status=200 duration=\S+ requestId=sane userId=`+c.user.ID.String()+`$`, lines[len(lines)-1])
}

// TestObserve: metrics are told the pattern of a route, not what callers write into it.
func TestObserve(t *testing.T) {
	t.Parallel()
	var seen []string
	s := embedded(t, func(c *setup) {
		c.Observe = func(o httpapi.Observed) {
			require.Positive(t, o.Took)
			seen = append(seen, fmt.Sprintf("%s %s %d %v", o.Method, o.Route, o.Status, slices.Sorted(maps.Keys(o.Refused))))
		}
	})
	s.as(domain.RoleUser).get("/users/" + uuid.NewString())
	s.anonymous().get("/secret/path")
	s.anonymous().post("/auth/login", "{")
	s.anonymous().post("/auth/login", `{"email": "nobody@example.com", "password": "wrong"}`)
	s.anonymous().get("/healthz")
	require.Equal(t, []string{
		"GET /users/:id 404 [id]", "GET  404 [request]", "POST /auth/login 400 [request]", "POST /auth/login 401 [credentials]", "GET /healthz 200 []",
	}, seen)
}

// FuzzQuery asks every list with a query string: it is answered or refused, but never fails.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"", "page=1&pageSize=100&sort=-createdAt&search=x", "page=0&page=1", "search=%00", "search=%ff", "search=%25_%5C'", "%zz", "a;b", "&&&===", "role=Admin&status=Draft", "category=Electronics&state=Ready",
		"sort=quantity", "page=2147483647&pageSize=100", "search=" + strings.Repeat("a", 300), "search=%E2%80%A8", "page=%EF%BC%91", "sort=name,id;drop", "search=\x00\xff\n", "category=%F0%9F%98%80",
		"from=2031-02-03T04:05:06Z&to=9999-12-31T23:59:59.999Z&action=x&user=0195a000-0000-7000-8000-000000000001&target=a", "from=-1&to=2031-02-30",
	} {
		f.Add(query)
	}
	now := func() time.Time { return newYear }
	store, err := repository.Open(f.Context(), "sqlite://"+f.TempDir()+"/fuzz.db")
	require.NoError(f, err)
	f.Cleanup(func() { _ = store.Close() })
	tokens, err := token.NewIssuer([]byte(strings.Repeat("k", 32)), time.Hour, now)
	require.NoError(f, err)
	handler, err := httpapi.New(httpapi.Services{
		Auth: service.NewAuth(store, tokens, nil, nil, service.AuthSettings{}, now), Users: service.NewUsers(store, 0, now),
		Products: service.NewProducts(store, nil, now), Orders: service.NewOrders(store, now), Audit: service.NewAudit(store, now),
	}, httpapi.Config{Now: now, Log: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	user := domain.NewDraft("admin@example.com", "Jane", "Admin", domain.RoleAdmin, newYear)
	user.Activate("admin", "$", newYear)
	require.NoError(f, store.Users.Create(f.Context(), user))
	session := domain.NewSession(user.ID, time.Hour, time.Hour, newYear)
	require.NoError(f, store.Sessions.Create(f.Context(), session, domain.RefreshToken{Hash: "x", SessionID: session.ID, CreatedAt: newYear}))
	access, err := tokens.Issue(token.Claims{UserID: user.ID, SessionID: session.ID})
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, query string) {
		for path, thing := range map[string]string{"/users": "users", "/products": "products", "/products/orders": "orders", "/audit": "audit"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer "+access)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			a := answer{t, w.Code, w.Header(), w.Body.String()}
			if a.Status != http.StatusOK {
				require.Equal(t, http.StatusBadRequest, a.Status, a.Body)
				require.NotEmpty(t, a.refusal())
				continue
			}
			body := a.json()
			things, isList := body[thing].([]any)
			require.True(t, isList, a.Body)
			require.Len(t, body, 5, a.Body)
			require.GreaterOrEqual(t, body["page"], 1., a.Body)
			require.GreaterOrEqual(t, body["pageSize"], max(1, float64(len(things))), a.Body)
			require.GreaterOrEqual(t, body["totalItems"], float64(len(things)), a.Body)
			require.Equal(t, math.Ceil(body["totalItems"].(float64)/body["pageSize"].(float64)), body["totalPages"], a.Body)
		}
	})
}
