package attacks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// attackHTTP: a message has one end, and a header no effect that it should not have.
func attackHTTP(t *testing.T, s *server) {
	const host = "Host: x\r\n"
	const hidden = "GET /users/me HTTP/1.1\r\nHost: smuggled\r\n\r\n"
	post := func(headers, body string) string {
		return "POST /auth/login HTTP/1.1\r\n" + host + "Content-Type: application/json\r\n" + headers + "\r\n" + body
	}
	for _, c := range []struct{ name, request string }{
		{"two lengths", post("Content-Length: 2\r\nContent-Length: 40\r\n", "{}"+hidden)}, {"two lengths in one", post("Content-Length: 2, 40\r\n", "{}"+hidden)}, {"length with a sign", post("Content-Length: +2\r\n", "{}"+hidden)},
		{"length below zero", post("Content-Length: -1\r\n", hidden)}, {"length in hexadecimal", post("Content-Length: 0x2\r\n", "{}"+hidden)}, {"length with a fraction", post("Content-Length: 2.0\r\n", "{}"+hidden)}, {"length beyond numbers", post("Content-Length: 99999999999999999999\r\n", "{}")},
		{"length empty", post("Content-Length: \r\n", hidden)}, {"length with a letter", post("Content-Length: 2a\r\n", "{}"+hidden)}, {"length of other digits", post("Content-Length: ２\r\n", "{}"+hidden)},
		{"space before the colon", post("Content-Length : 2\r\n", "{}"+hidden)}, {"space before the colon of the encoding", post("Transfer-Encoding : chunked\r\nContent-Length: 2\r\n", "0\r\n\r\n"+hidden)},
		{"encoding unknown", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+hidden)}, {"encoding identity", post("Transfer-Encoding: identity\r\nContent-Length: 2\r\n", "{}"+hidden)}, {"encoding twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+hidden)},
		{"encodings", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+hidden)}, {"chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"+hidden)}, {"encoding with a vertical tab", post("Transfer-Encoding: \x0bchunked\r\nContent-Length: 2\r\n", "0\r\n\r\n"+hidden)},
		{"encoding with NUL", post("Transfer-Encoding: chunked\x00\r\nContent-Length: 2\r\n", "0\r\n\r\n"+hidden)},
		{"chunk line with LF alone", post("Transfer-Encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n"+hidden)}, {"chunk extension with LF alone", post("Transfer-Encoding: chunked\r\n", "2;x\n{}\r\n0\r\n\r\n"+hidden)}, {"chunk with LF after", post("Transfer-Encoding: chunked\r\n", "2\r\n{}\n0\r\n\r\n"+hidden)},
		{"chunk size below zero", post("Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"+hidden)}, {"chunk size beyond numbers", post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n")}, {"chunk size in no form", post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"+hidden)},
		{"chunk size 0x2", post("Transfer-Encoding: chunked\r\n", "0x2\r\n{}\r\n0\r\n\r\n"+hidden)}, {"chunk size too small", post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"+hidden)}, {"chunk extension without end", post("Transfer-Encoding: chunked\r\n", "2;"+strings.Repeat("x", 20000)+"\r\n{}\r\n0\r\n\r\n"+hidden)},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n"}, {"two hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"}, {"host with a space", "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n"}, {"host with HTML", "GET /healthz HTTP/1.1\r\nHost: <b>\r\n\r\n"},
		{"header without a colon", "GET /healthz HTTP/1.1\r\n" + host + "X-Thing\r\n\r\n"}, {"header name empty", "GET /healthz HTTP/1.1\r\n" + host + ": x\r\n\r\n"}, {"header name with a space", "GET /healthz HTTP/1.1\r\n" + host + "X Thing: x\r\n\r\n"}, {"header name with NUL", "GET /healthz HTTP/1.1\r\n" + host + "X\x00: x\r\n\r\n"},
		{"header value with NUL", "GET /healthz HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n"}, {"header value with CR", "GET /healthz HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n"}, {"header before the first", "GET /healthz HTTP/1.1\r\n X: folded\r\n" + host + "\r\n"},
		{"version missing", "GET /healthz\r\n" + host + "\r\n"}, {"version 2", "GET /healthz HTTP/2.0\r\n" + host + "\r\n"}, {"version 3", "GET /healthz HTTP/3.0\r\n" + host + "\r\n"}, {"version 0.9", "GET /healthz HTTP/0.9\r\n" + host + "\r\n"}, {"version of letters", "GET /healthz HTTP/x.y\r\n" + host + "\r\n"},
		{"version in lower case", "GET /healthz http/1.1\r\n" + host + "\r\n"}, {"space in the path", "GET /healthz x HTTP/1.1\r\n" + host + "\r\n"}, {"path without a slash", "GET healthz HTTP/1.1\r\n" + host + "\r\n"}, {"method empty", " /healthz HTTP/1.1\r\n" + host + "\r\n"},
		{"method with brackets", "G[]T /healthz HTTP/1.1\r\n" + host + "\r\n"}, {"path with NUL", "GET /healthz\x00 HTTP/1.1\r\n" + host + "\r\n"}, {"path with a bad escape", "GET /%zz HTTP/1.1\r\n" + host + "\r\n"}, {"path with half an escape", "GET /% HTTP/1.1\r\n" + host + "\r\n"}, {"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"},
		{"SSH", "SSH-2.0-OpenSSH_9.0\r\n\r\n"}, {"a header of 40000 bytes", "GET /healthz HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 40000) + "\r\n\r\n"}, {"5000 headers", "GET /healthz HTTP/1.1\r\n" + host + strings.Repeat("X-Y: z\r\n", 5000) + "\r\n"},
		{"a path of 40000 bytes", "GET /" + strings.Repeat("x", 40000) + " HTTP/1.1\r\n" + host + "\r\n"}, {"a cookie of 40000 bytes", "GET /healthz HTTP/1.1\r\n" + host + "Cookie: x=" + strings.Repeat("x", 40000) + "\r\n\r\n"},
		{"an expectation that there is none of", "GET /healthz HTTP/1.1\r\n" + host + "Expect: a-pony\r\nConnection: close\r\n\r\n"},
	} {
		t.Run("broken/"+c.name, func(t *testing.T) {
			all := s.raw(t, c.request)
			require.Len(t, all, 1, "what follows a broken message is not read")
			require.Contains(t, []int{http.StatusBadRequest, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusRequestHeaderFieldsTooLarge, http.StatusExpectationFailed}, all[0].Status)
			if strings.Contains(c.name, "40000") || strings.Contains(c.name, "5000") {
				require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, all[0].Status)
			}
		})
	}
	t.Run("smuggled/encoding and length", func(t *testing.T) { // RFC 9112 section 6.1: such a connection is closed after the answer
		all := s.raw(t, post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden))
		all.alone(t, http.StatusBadRequest)
	})
	t.Run("smuggled/length and encoding", func(t *testing.T) {
		all := s.raw(t, post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2\r\n{}\r\n0\r\n\r\n"+hidden))
		all.alone(t, http.StatusBadRequest)
	})
	t.Run("smuggled/in a body that nobody reads", func(t *testing.T) {
		for _, path := range []string{"/products/categories", "/nowhere", "/auth/invite", "/healthz"} {
			all := s.raw(t, fmt.Sprintf("PUT %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", path, host, len(hidden), hidden)+"GET /healthz HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
			require.Len(t, all, 2)
			require.GreaterOrEqual(t, all[0].Status, 400)
			all[1].wants(t, http.StatusOK)
		}
	})
	t.Run("smuggled/in a body that is too large", func(t *testing.T) {
		body := strings.Repeat(hidden, 300)
		all := s.raw(t, post(fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n", len(body)), body))
		all.alone(t, http.StatusRequestEntityTooLarge)
	})
	t.Run("smuggled/in the trailer", func(t *testing.T) {
		all := s.raw(t, post("Transfer-Encoding: chunked\r\nTrailer: Authorization\r\nConnection: close\r\n", "2\r\n{}\r\n0\r\nAuthorization: Bearer "+s.admin.access+"\r\n\r\n"))
		all.alone(t, http.StatusBadRequest).refuses(t, http.StatusBadRequest, "email", "password")
	})
	t.Run("smuggled/after GET with a body", func(t *testing.T) {
		all := s.raw(t, "GET /healthz HTTP/1.1\r\n"+host+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden))+hidden+"GET /readyz HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
		require.Len(t, all, 2)
		require.Contains(t, all[1].Body, "ready")
	})
	t.Run("pipelined/answers keep their order", func(t *testing.T) {
		all := s.raw(t, "GET /healthz HTTP/1.1\r\n"+host+"X-Request-Id: first\r\n\r\nGET /nowhere HTTP/1.1\r\n"+host+"X-Request-Id: second\r\n\r\nGET /users/me HTTP/1.1\r\n"+host+"X-Request-Id: third\r\nConnection: close\r\nAuthorization: Bearer "+s.admin.access+"\r\n\r\n")
		require.Len(t, all, 3)
		for i, want := range []struct {
			status int
			id     string
		}{{http.StatusOK, "first"}, {http.StatusNotFound, "second"}, {http.StatusOK, "third"}} {
			require.Equal(t, want.status, all[i].Status)
			require.Equal(t, want.id, all[i].Header.Get("X-Request-Id"))
		}
	})
	t.Run("pipelined/a token is of its request alone", func(t *testing.T) {
		all := s.raw(t, "GET /users/me HTTP/1.1\r\n"+host+"Authorization: Bearer "+s.admin.access+"\r\n\r\nGET /users/me HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
		require.Len(t, all, 2)
		all[0].wants(t, http.StatusOK)
		all[1].refuses(t, http.StatusUnauthorized, "authorization")
	})
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"HTTP/1.0 without a host", "GET /healthz HTTP/1.0\r\n\r\n", http.StatusOK}, {"an absolute address", "GET http://evil.example/users/me HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", http.StatusUnauthorized},
		{"an absolute address of ours", "GET http://127.0.0.1/healthz HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", http.StatusOK}, {"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http.StatusNotFound}, {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", http.StatusNotFound},
		{"CONNECT", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\nConnection: close\r\n\r\n", http.StatusNotFound}, {"TRACE", "TRACE /users/me HTTP/1.1\r\n" + host + "Cookie: secret\r\nConnection: close\r\n\r\n", http.StatusMethodNotAllowed},
		{"upgrade to a websocket", "GET /users/me HTTP/1.1\r\n" + host + "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n", http.StatusUnauthorized},
		{"upgrade to HTTP/2", "GET /healthz HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", http.StatusOK},
		{"a token named as hop-by-hop", "GET /users/me HTTP/1.1\r\n" + host + "Connection: close, Authorization\r\n\r\n", http.StatusUnauthorized}, {"the same length twice", post("Content-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n", "{}"), http.StatusBadRequest},
		{"a body that is expected first", "POST /auth/invite HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n", http.StatusUnauthorized},
		{"a header in two lines", "GET /users/me HTTP/1.1\r\n" + host + "Authorization: Bearer\r\n x\r\nConnection: close\r\n\r\n", http.StatusUnauthorized}, {"a fragment", "GET /healthz#/users HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", http.StatusNotFound},
		{"two slashes first", "GET //evil.example/users HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", http.StatusNotFound}, {"ten thousand bytes of header", "GET /healthz HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 10000) + "\r\nConnection: close\r\n\r\n", http.StatusOK},
	} {
		t.Run("odd/"+c.name, func(t *testing.T) {
			a := s.raw(t, c.request).alone(t, c.status)
			require.NotContains(t, a.Body+fmt.Sprint(a.Header), "evil.example")
			require.NotContains(t, a.Body, "secret")
		})
	}

	for name, id := range map[string]string{
		"encoded line end": "a%0d%0aINFO fake", "65 characters": strings.Repeat("x", 65), "8000 characters": strings.Repeat("x", 8000), "space": "a b", "quote": `a"b`, "brace": `a","level":"ERROR`, "equals": "a level=ERROR", "HTML": "<script>", "UTF-8": "ä", "slash": "../../x", "tab": "a\tb",
		"escape sequence": "a\u009b31m", "semicolon": "a;b", "empty": "", "dollar": "${jndi:ldap://evil.example/a}",
	} {
		t.Run("request id/"+name, func(t *testing.T) {
			given := s.anonymous().get(t, "/healthz", "X-Request-Id", id).wants(t, http.StatusOK).Header.Get("X-Request-Id")
			require.NoError(t, uuid.Validate(given))
		})
	}
	t.Run("request id/two", func(t *testing.T) {
		require.Len(t, s.anonymous().get(t, "/healthz", "X-Request-Id", "first-of-two", "X-Request-Id", "second-of-two").Header.Values("X-Request-Id"), 1)
	})
	t.Run("request id/of another user", func(t *testing.T) { // an id is a name and opens nothing
		s.admin.get(t, "/users/me", "X-Request-Id", "borrowed").wants(t, http.StatusOK)
		s.anonymous().get(t, "/users/me", "X-Request-Id", "borrowed").refuses(t, http.StatusUnauthorized, "authorization")
	})

	for _, origin := range []string{
		"https://evil.example", listedOrigin + ".evil.example", "https://evil-app.example.com", "https://evilapp.example.com", "http://app.example.com", listedOrigin + ":444", listedOrigin + "/", "https://APP.example.com.", "null", "*", "", "file://", "https://a." + listedOrigin[8:], listedOrigin + "@evil.example",
		listedOrigin + "%00.evil.example", "https://app_example.com", "http://localhost:30001", "http://localhost", listedOrigin + ", https://evil.example", listedOrigin + " https://evil.example", "https://appXexample.com", "chrome-extension://x",
	} {
		t.Run("CORS/not listed "+origin, func(t *testing.T) {
			for _, a := range []answer{
				s.admin.get(t, "/users/me", "Origin", origin), s.anonymous().get(t, "/users/me", "Origin", origin), s.anonymous().get(t, "/nowhere", "Origin", origin),
				s.anonymous().do(t, http.MethodOptions, "/users/me", nil, "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"),
			} {
				require.Empty(t, a.Header.Values("Access-Control-Allow-Origin"))
				require.Empty(t, a.Header.Values("Access-Control-Allow-Methods"))
			}
		})
	}
	t.Run("CORS/listed", func(t *testing.T) {
		for _, a := range []answer{
			s.admin.get(t, "/users/me", "Origin", listedOrigin).wants(t, http.StatusOK), s.anonymous().get(t, "/users/me", "Origin", listedOrigin).wants(t, http.StatusUnauthorized),
			s.anonymous().do(t, http.MethodOptions, "/users/me", nil, "Origin", listedOrigin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization").wants(t, http.StatusNoContent),
		} {
			require.Equal(t, []string{listedOrigin}, a.Header.Values("Access-Control-Allow-Origin"))
			require.Contains(t, strings.Join(a.Header.Values("Vary"), ","), "Origin")
		}
	})
	t.Run("CORS/a simple request cannot write", func(t *testing.T) {
		s.unchanged(t, func() {
			for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
				s.admin.post(t, "/products/categories", `{"name":"evil"}`, "Content-Type", media, "Origin", listedOrigin).refuses(t, http.StatusUnsupportedMediaType, "request")
			}
		})
	})
	t.Run("CORS/methods and headers that are not listed", func(t *testing.T) {
		for _, c := range [][2]string{{"TRACE", "authorization"}, {"CONNECT", ""}, {"GET", "x-role"}, {"GET", "cookie"}} {
			a := s.anonymous().do(t, http.MethodOptions, "/users/me", nil, "Origin", listedOrigin, "Access-Control-Request-Method", c[0], "Access-Control-Request-Headers", c[1])
			require.Empty(t, a.Header.Values("Access-Control-Allow-Origin"))
		}
	})

	product := s.admin.post(t, "/products", j{"name": "Picture", "category": s.category(t), "quantity": 5, "image": pictureText(t)}).wants(t, http.StatusCreated)
	path, image := "/products/"+product.text(t, "id"), "/images/"+product.text(t, "imageUrl")
	for _, c := range []struct {
		status int
		call   func(t *testing.T) answer // every answer is held to the rules for headers as it is read
	}{
		{http.StatusOK, func(t *testing.T) answer { return s.admin.get(t, path) }},
		{http.StatusCreated, func(t *testing.T) answer {
			return s.admin.post(t, "/products/categories", j{"name": s.unique("category")})
		}},
		{http.StatusAccepted, func(t *testing.T) answer {
			return s.anonymous().post(t, "/auth/forgot", j{"email": "nobody@example.com"})
		}},
		{http.StatusNoContent, func(t *testing.T) answer { return s.newUser(t, user).post(t, "/auth/logout", nil) }},
		{http.StatusNotModified, func(t *testing.T) answer {
			return s.anonymous().get(t, image, "If-None-Match", s.anonymous().get(t, image).Header.Get("ETag"))
		}},
		{http.StatusBadRequest, func(t *testing.T) answer { return s.anonymous().post(t, "/auth/login", "{") }},
		{http.StatusUnauthorized, func(t *testing.T) answer { return s.anonymous().get(t, "/users") }},
		{http.StatusForbidden, func(t *testing.T) answer { return s.staff[user].get(t, "/audit") }},
		{http.StatusNotFound, func(t *testing.T) answer { return s.anonymous().get(t, "/nowhere") }},
		{http.StatusMethodNotAllowed, func(t *testing.T) answer { return s.anonymous().delete(t, "/auth/login") }},
		{http.StatusConflict, func(t *testing.T) answer { return s.admin.post(t, "/auth/invite", invitee(adminEmail, user)) }},
		{http.StatusPreconditionFailed, func(t *testing.T) answer { return s.admin.delete(t, path, "If-Match", `"v99"`) }},
		{http.StatusRequestEntityTooLarge, func(t *testing.T) answer { return s.anonymous().post(t, "/auth/login", strings.Repeat(" ", 9000)) }},
		{http.StatusUnsupportedMediaType, func(t *testing.T) answer {
			return s.anonymous().post(t, "/auth/login", "{}", "Content-Type", "text/plain")
		}},
		{http.StatusUnprocessableEntity, func(t *testing.T) answer {
			key := uuid.NewString()
			s.admin.post(t, "/products/categories", j{"name": s.unique("category")}, "Idempotency-Key", key).wants(t, http.StatusCreated)
			return s.admin.post(t, "/products/categories", j{"name": s.unique("category")}, "Idempotency-Key", key)
		}},
	} {
		t.Run(fmt.Sprintf("headers/of a %d", c.status), func(t *testing.T) { c.call(t).wants(t, c.status) })
	}
	t.Run("conditions/ranges of an image", func(t *testing.T) {
		whole := s.anonymous().get(t, image).wants(t, http.StatusOK).Body
		for _, asked := range []string{"bytes=0-0", "bytes=-1", "bytes=5-1", "bytes=999999999-", "bytes=" + strings.Repeat("0-,", 1000) + "0-", "lines=1-2", "bytes=0-0,-1", "x"} {
			require.Equal(t, whole, s.anonymous().get(t, image, "Range", asked).wants(t, http.StatusOK).Body, asked)
		}
	})
	t.Run("conditions/of an image", func(t *testing.T) {
		for _, header := range []string{"If-Match", "If-Unmodified-Since", "If-Range"} {
			s.anonymous().get(t, image, header, `"x"`).wants(t, http.StatusOK)
		}
		s.anonymous().get(t, image, "If-None-Match", `W/"x", garbage, "`).wants(t, http.StatusOK)
		s.anonymous().get(t, image, "If-None-Match", "*").wants(t, http.StatusNotModified)
	})
	for _, tag := range []string{`"v0"`, `"v1"`, `"v3"`, "v2", `W/"v2"`, `"V2"`, `"v02"`, `"v2`, `""`, "x", `"v2;"`, `"v-1"`, `"v99999999999999999999"`, `'v2'`, `"v２"`, "null", "", `"v1" "v2"`, `"*"`} {
		t.Run("conditions/If-Match "+tag, func(t *testing.T) {
			s.unchanged(t, func() {
				for _, method := range []string{http.MethodPut, http.MethodDelete} {
					s.admin.do(t, method, path, j{"name": "evil", "category": "evil"}, "If-Match", tag).wants(t, map[string]int{http.MethodPut: http.StatusBadRequest, http.MethodDelete: http.StatusPreconditionFailed}[method])
				}
				s.admin.patch(t, "/products/quantity/"+product.text(t, "id"), j{"delta": 1}, "If-Match", tag).refuses(t, http.StatusPreconditionFailed, "request")
			}, path)
		})
	}
}
