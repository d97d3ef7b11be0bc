package attacks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// attackQueries: what stands in a path or behind it is data, and is read in one way.
func attackQueries(t *testing.T, s *server) {
	product := s.product(t, 5)
	s.order(t, product, 1, "Draft")
	everyList := []string{"/users", "/products", "/products/orders", "/products/" + product + "/movements", "/audit"}
	for _, c := range []struct{ query, field string }{
		{"page=0", "page"}, {"page=-1", "page"}, {"page=1.0", "page"}, {"page=1e1", "page"}, {"page=0x1", "page"}, {"page=+1", "page"}, {"page=%2B1", "page"}, {"page=", "page"}, {"page=x", "page"}, {"page=2147483648", "page"}, {"page=9223372036854775808", "page"},
		{"page=-9223372036854775808", "page"}, {"page=%EF%BC%91", "page"}, {"page=1%00", "page"}, {"page=1;DROP", "request"}, {"page=1&page=2", "page"}, {"page=1%0a", "page"}, {"page=null", "page"}, {"page=" + strings.Repeat("9", 500), "page"}, {"page=1_000", "page"},
		{"pageSize=0", "pageSize"}, {"pageSize=101", "pageSize"}, {"pageSize=-1", "pageSize"}, {"pageSize=1000000000", "pageSize"}, {"pageSize=99999999999999999999", "pageSize"}, {"pageSize=5&pageSize=6", "pageSize"}, {"pageSize=1.5", "pageSize"}, {"pageSize=all", "pageSize"},
		{"sort=(select pg_sleep(5))", "sort"}, {"sort=id", "sort"}, {"sort=--createdAt", "sort"}, {"sort=-", "sort"}, {"sort=createdAt,id", "sort"}, {"sort=createdAt%20desc", "sort"}, {"sort=password_hash", "sort"}, {"sort=passwordHash", "sort"}, {"sort=CREATEDAT", "sort"},
		{"sort=created_at", "sort"}, {"sort=createdAt;select+1", "request"}, {"sort=1", "sort"}, {"sort=createdAt%00", "sort"}, {"sort=createdAt&sort=-createdAt", "sort"}, {"sort=%27", "sort"}, {"sort=createdAt--", "sort"}, {"sort=case+when+1=1+then+1+end", "sort"}, {"sort=%ff", "sort"},
		{"%zz", "request"}, {"search=%", "request"}, {"page=1&%u0041=1", "request"},
	} {
		t.Run("bad/"+c.query[:min(60, len(c.query))], func(t *testing.T) {
			for _, list := range everyList {
				s.admin.get(t, list+"?"+strings.ReplaceAll(c.query, " ", "%20")).refuses(t, http.StatusBadRequest, c.field)
			}
		})
	}
	for _, c := range []struct{ query, field string }{
		{"search=%00", "search"}, {"search=%ff", "search"}, {"search=%c0%af", "search"}, {"search=%ed%a0%80", "search"}, {"search=a%0d%0ab", "search"}, {"search=a&search=b", "search"}, {"search=" + strings.Repeat("x", 201), "search"}, {"search=%e2%80%a8", "search"},
		{"search=" + strings.Repeat("%F0%9F%A6%80", 201), "search"},
	} {
		t.Run("bad/"+c.query[:min(60, len(c.query))], func(t *testing.T) {
			for _, list := range everyList[:3] {
				s.admin.get(t, list+"?"+c.query).refuses(t, http.StatusBadRequest, c.field)
			}
		})
	}
	for _, c := range []struct{ path, field string }{
		{"/users?role=admin", "role"}, {"/users?role=Admin'--", "role"}, {"/users?role=Admin,User", "role"}, {"/users?role=Admin&role=User", "role"}, {"/users?status=deleted", "status"}, {"/users?status=Draft%00", "status"}, {"/products?category=none", "category"}, {"/products?category='+OR+1=1--", "category"},
		{"/products?category=%25", "category"}, {"/products/orders?state=ready", "state"}, {"/products/orders?state=Ready'", "state"}, {"/products/orders?category=%25", "category"}, {"/audit?user=x", "user"}, {"/audit?user='", "user"}, {"/audit?from=yesterday", "from"}, {"/audit?to=2021-13-01T00:00:00Z", "to"},
		{"/audit?from=2021-01-01", "from"}, {"/audit?from=1609459200", "from"}, {"/audit?from=now()", "from"}, {"/audit?to=+292277026596-12-04T15:30:08Z", "to"},
	} {
		t.Run("bad filter/"+c.path, func(t *testing.T) { s.admin.get(t, c.path).refuses(t, http.StatusBadRequest, c.field) })
	}
	for _, search := range []string{
		"' OR 1=1--", `" OR ""="`, "'; DROP TABLE users; --", "1' UNION SELECT password_hash FROM users--", "%", "_", "%%%", "\\", "\\%", "x' AND pg_sleep(5)--", "$1", "?", ":name", "@p1", "{{7*7}}", "*", ".*", "(", "[", "a)(|(uid=*", "NULL", "\\x00", "%27%20OR", "ｓcenery", strings.Repeat("%", 200),
		strings.Repeat("_", 200), "$argon2id$", "';WAITFOR DELAY '0:0:5'--", "\" ESCAPE '", "𝒜", "\u202e",
	} {
		t.Run("search/"+search[:min(len(search), 40)], func(t *testing.T) {
			for _, list := range everyList[:3] {
				require.Zero(t, s.admin.count(t, list+"?search="+url.QueryEscape(search)), list)
			}
			require.Zero(t, s.admin.count(t, "/audit?action="+url.QueryEscape(search)))
			require.Zero(t, s.admin.count(t, "/audit?target="+url.QueryEscape(search)))
		})
	}
	t.Run("search/wildcards are letters", func(t *testing.T) {
		name := "100%_\\ " + s.unique("sure")
		s.admin.post(t, "/products", j{"name": name, "category": s.category(t), "quantity": 1}).wants(t, http.StatusCreated)
		for _, search := range []string{"100%_\\", "%_\\", name, strings.ToUpper(name)} {
			require.Equal(t, 1, s.admin.count(t, "/products?search="+url.QueryEscape(search)), search)
		}
	})
	for _, c := range []struct{ name, query string }{
		{"a far page", "page=2147483647&pageSize=100"}, {"unknown parameters", "x=1&y[]=2&z[a]=3&page[size]=5"}, {"a thousand parameters", strings.Repeat("x=1&", 1000)}, {"six thousand bytes", "x=" + strings.Repeat("x", 6000)}, {"empty parameters", "&&&="}, {"a prototype", "__proto__[role]=Admin"},
		{"another case", "PAGE=0&PageSize=0&SORT=x"}, {"a question mark", "?page=0"}, {"a fragment", "x=%23page=0"}, {"overriding", "_method=DELETE&method=DELETE"},
	} {
		t.Run("harmless/"+c.name, func(t *testing.T) {
			for _, list := range everyList {
				s.admin.get(t, list+"?"+c.query).wants(t, http.StatusOK)
			}
		})
	}
	t.Run("harmless/a far page is empty", func(t *testing.T) {
		for i, key := range []string{"users", "products", "orders", "movements", "audit"} {
			require.Equal(t, []any{}, s.admin.get(t, everyList[i]+"?page=2147483647&pageSize=100").json(t)[key])
		}
	})

	for _, path := range []string{
		"/", "//", "/users/", "//users", "/users//", "/./users", "/users/../users", "/%75sers", "/users%2F", "/users%2Fme", "/users/%2e%2e/users", "/users;a=b", "/Users", "/USERS", "/users.json", "/users%00", "/users%20", "/auth/login/", "/auth//login", "/auth/login%2f", "/auth", "/auth/", "/api/users",
		"/v1/users", "/products//", "/products/" + product + "/", "/products/" + product + "/movements/", "/products/" + product + "//movements", "/products/quantity/", "/products/orders/", "/products/categories/", "/products/x/y/z", "/images", "/images/", "/images//x.png", "/users/me/", "/users/me/x",
		"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/.git/config", "/.git/HEAD", "/.env", "/.env.example", "/actuator/health", "/server-status", "/admin", "/console", "/graphql", "/swagger.json", "/wp-login.php", "/phpinfo.php", "/data/inventoryhub.db", "/mail/", "/robots.txt", "/favicon.ico", "/.well-known/security.txt", "/backup.zip",
		"/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/..;/metrics", "/%c0%ae%c0%ae/etc/passwd", "/%5c..%5cwindows", "/\\..\\x", "/~root", "/%", "/*",
	} {
		t.Run("route/"+path, func(t *testing.T) {
			if path == "/%" {
				s.raw(t, "GET /% HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").alone(t, http.StatusBadRequest)
				return
			}
			for _, c := range []*client{s.anonymous(), s.admin} {
				for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPut} {
					c.do(t, method, strings.ReplaceAll(path, "\\", "%5c"), nil).refuses(t, http.StatusNotFound, "request")
				}
			}
		})
	}
	for _, c := range []struct{ path, allow string }{
		{"/users", "GET, HEAD"}, {"/users/me", "GET, HEAD"}, {"/users/x", "GET, HEAD, PUT, DELETE"}, {"/auth/login", "POST"}, {"/auth/password", "PUT"}, {"/auth/logout", "POST"}, {"/products", "GET, HEAD, POST"}, {"/products/x", "GET, HEAD, PUT, DELETE"}, {"/products/categories", "GET, HEAD, POST"},
		{"/products/categories/x", "DELETE"}, {"/products/quantity/x", "PATCH"}, {"/products/orders", "GET, HEAD, POST"}, {"/products/orders/x", "GET, HEAD, PUT, DELETE"}, {"/products/orders/state/x", "PATCH"}, {"/images/x.png", "GET, HEAD"}, {"/healthz", "GET, HEAD"}, {"/audit", "GET, HEAD"},
	} {
		t.Run("method/"+c.path, func(t *testing.T) {
			s.unchanged(t, func() {
				for _, method := range []string{"TRACE", "FOO", "PROPFIND", "OPTIONS", "get", "PURGE", "LINK", "M-SEARCH"} {
					for _, caller := range []*client{s.anonymous(), s.admin} {
						a := caller.do(t, method, c.path, nil).refuses(t, http.StatusMethodNotAllowed, "request")
						require.Equal(t, c.allow, a.Header.Get("Allow"))
						require.NotContains(t, a.Body, s.admin.access)
					}
				}
			})
		})
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Method", "_method"} {
		t.Run("method/overridden by "+header, func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.post(t, "/products/"+product, `{"_method":"DELETE"}`, header, http.MethodDelete).refuses(t, http.StatusMethodNotAllowed, "request")
				s.admin.get(t, "/products/"+product, header, http.MethodDelete).wants(t, http.StatusOK)
				s.admin.post(t, "/products/"+product+"?_method=DELETE", nil).refuses(t, http.StatusMethodNotAllowed, "request")
			}, "/products/"+product)
		})
	}
	t.Run("method/HEAD changes nothing and tells no body", func(t *testing.T) {
		for _, path := range append(everyList, "/users/me", "/products/categories", "/products/"+product, "/healthz", "/readyz", "/nowhere", "/products/x") {
			got, head := s.admin.get(t, path), s.admin.do(t, http.MethodHead, path, nil)
			require.Empty(t, head.Body)
			require.Equal(t, got.Status, head.Status, path)
			require.Equal(t, got.Header.Get("Content-Type"), head.Header.Get("Content-Type"), path)
			require.Equal(t, got.Header.Get("ETag"), head.Header.Get("ETag"), path)
		}
	})
	for _, name := range []string{"a/b", "a//b", "../x", "..", ".", "a b", "a%2Fb", "100%", "a?b=c", "a#b", "a;b", "orders", "state", "quantity", "é\u0301", "categories", "a\\b", "a+b", "%00", "me"} {
		t.Run("category by name/"+name, func(t *testing.T) {
			s.admin.post(t, "/products/categories", j{"name": name}).wants(t, http.StatusCreated)
			before := len(names(t, s))
			s.admin.delete(t, "/products/categories/"+escapeAll(name)).wants(t, http.StatusNoContent)
			require.Len(t, names(t, s), before-1)
			s.admin.delete(t, "/products/categories/"+escapeAll(name)).refuses(t, http.StatusNotFound, "name")
		})
	}
	for _, name := range []string{"%25", "%", "_", "%ff", "%00", "%c0%af", strings.Repeat("x", 2000), "%2e%2e%2f%2e%2e", "x%0d%0aSet-Cookie:%20a=b", "%27%20OR%201=1--", "%E2%80%AE"} {
		t.Run("category by a name that is none/"+name[:min(len(name), 40)], func(t *testing.T) {
			s.unchanged(t, func() {
				if name == "%" {
					s.raw(t, fmt.Sprintf("DELETE /products/categories/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", name, s.admin.access)).alone(t, http.StatusBadRequest)
					return
				}
				s.admin.delete(t, "/products/categories/"+name).refuses(t, http.StatusNotFound, "name")
			})
		})
	}
}
