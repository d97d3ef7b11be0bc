package httpapi_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/token"
)

// Who may: the columns of the role table, and the routes that need no token.
var (
	onlyAdmin = []domain.Role{domain.RoleAdmin}
	managers  = []domain.Role{domain.RoleAdmin, domain.RoleManager}
	workers   = []domain.Role{domain.RoleAdmin, domain.RoleManager, domain.RoleUser}
	staff     = []domain.Role{domain.RoleAdmin, domain.RoleManager, domain.RoleUser, domain.RoleReadonlyUser}
	anyone    = append(slices.Clone(staff), "")
)

// grant is a line of the role table.
type grant struct {
	route  string // method and path, as in the route table
	may    []domain.Role
	status int // of the answer to those who may
	// request makes what the call needs, which may be something for the caller, and gives the path and the body.
	request func(s *server, c *client) (path string, body any)
}

// grants is the role table, written down from the documentation.
var grants = []grant{
	{"POST /auth/login", anyone, http.StatusOK, func(s *server, _ *client) (string, any) {
		return "/auth/login", j{"email": s.newUser(domain.RoleReadonlyUser).user.Email, "password": goodPassword}
	}},
	{"POST /auth/register", anyone, http.StatusCreated, func(s *server, _ *client) (string, any) {
		draft := s.draft(domain.RoleReadonlyUser)
		return "/auth/register", j{"token": s.mailToken(domain.EventUserInvited, draft.Email), "username": unique("tolya"), "password": goodPassword}
	}},
	{"POST /auth/refresh", anyone, http.StatusOK, func(s *server, c *client) (string, any) {
		if c.access == "" {
			*c = *s.newUser(domain.RoleReadonlyUser) // the one route that takes a token and may be called with an old one
		}
		return "/auth/refresh", j{"refreshToken": c.refresh}
	}},
	{"POST /auth/forgot", anyone, http.StatusAccepted, func(s *server, _ *client) (string, any) {
		return "/auth/forgot", j{"email": s.newUser(domain.RoleReadonlyUser).user.Email}
	}},
	{"POST /auth/reset", anyone, http.StatusNoContent, func(s *server, _ *client) (string, any) {
		return "/auth/reset", j{"token": s.resetToken(s.newUser(domain.RoleReadonlyUser).user), "password": goodPassword}
	}},
	{"GET /images/:name", anyone, http.StatusOK, func(s *server, _ *client) (string, any) {
		url := s.as(domain.RoleAdmin).form(http.MethodPost, "/products", productForm(s, part{name: "image", file: "a.png", value: string(pngPicture(1))})...).
			wants(http.StatusCreated).text("imageUrl")
		return "/images/" + url, nil
	}},
	{"GET /healthz", anyone, http.StatusOK, plain("/healthz", nil)},
	{"GET /readyz", anyone, http.StatusOK, plain("/readyz", nil)},
	{"GET /openapi.json", anyone, http.StatusOK, plain("/openapi.json", nil)},
	{"GET /docs", anyone, http.StatusOK, plain("/docs", nil)},
	{"GET /docs/assets/:name", anyone, http.StatusOK, plain("/docs/assets/page.js", nil)},

	{"POST /auth/invite", managers, http.StatusCreated, func(*server, *client) (string, any) {
		return "/auth/invite", j{"email": unique("john") + "@example.com", "firstName": "John", "lastName": "Doe", "role": "ReadonlyUser"}
	}},
	{"POST /auth/logout", staff, http.StatusNoContent, plain("/auth/logout", nil)},
	{"PUT /auth/password", staff, http.StatusNoContent, plain("/auth/password", j{"currentPassword": goodPassword, "newPassword": "correct horse battery"})},
	{"GET /auth/2fa", staff, http.StatusOK, plain("/auth/2fa", nil)},
	{"POST /auth/2fa", staff, http.StatusCreated, plain("/auth/2fa", j{"currentPassword": goodPassword})},
	{"POST /auth/2fa/confirm", staff, http.StatusOK, func(_ *server, c *client) (string, any) {
		return "/auth/2fa/confirm", j{"code": c.begin().code()}
	}},
	{"POST /auth/2fa/recovery-codes", staff, http.StatusOK, func(_ *server, c *client) (string, any) {
		return "/auth/2fa/recovery-codes", j{"currentPassword": goodPassword, "code": c.protect().codes[0]}
	}},
	{"POST /auth/2fa/disable", staff, http.StatusNoContent, func(_ *server, c *client) (string, any) {
		return "/auth/2fa/disable", j{"currentPassword": goodPassword, "code": c.protect().codes[0]}
	}},
	{"GET /users/me/keys", staff, http.StatusOK, plain("/users/me/keys", nil)},
	{"POST /users/me/keys", staff, http.StatusCreated, plain("/users/me/keys", j{"name": "till", "scope": "read", "currentPassword": goodPassword})},
	{"DELETE /users/me/keys/:id", staff, http.StatusNoContent, func(_ *server, c *client) (string, any) {
		id := unknownID
		if c.access != "" {
			id = c.post("/users/me/keys", j{"name": "till", "scope": "read", "currentPassword": goodPassword}).wants(http.StatusCreated).text("id")
		}
		return "/users/me/keys/" + id, nil
	}},

	{"GET /users", staff, http.StatusOK, plain("/users", nil)},
	{"GET /users/me", staff, http.StatusOK, plain("/users/me", nil)},
	{"GET /audit", []domain.Role{domain.RoleAdmin}, http.StatusOK, plain("/audit?pageSize=1", nil)},
	{"GET /users/:id", staff, http.StatusOK, inferior(nil)},
	{"PUT /users/:id", workers, http.StatusNoContent, func(s *server, c *client) (string, any) {
		return inferior(j{"email": unique("john") + "@example.com", "firstName": "John", "lastName": "Doe", "role": "ReadonlyUser"})(s, c)
	}},
	{"DELETE /users/:id", workers, http.StatusNoContent, inferior(nil)},

	{"GET /products/categories", staff, http.StatusOK, plain("/products/categories", nil)},
	{"POST /products/categories", managers, http.StatusCreated, func(*server, *client) (string, any) {
		return "/products/categories", j{"name": unique("Electronics")}
	}},
	{"DELETE /products/categories/:name", managers, http.StatusNoContent, func(s *server, _ *client) (string, any) {
		name := s.category(unique("Electronics"))
		s.product("iPhone 12", name, 10)
		return "/products/categories/" + name, nil
	}},

	{"GET /products", staff, http.StatusOK, plain("/products", nil)},
	{"GET /products/export", staff, http.StatusOK, plain("/products/export?search=nothing", nil)}, // short, so that its head bears a length
	{"POST /products/import", managers, http.StatusOK, func(s *server, _ *client) (string, any) {
		s.product("iPhone 11", "Electronics", 5)
		return "/products/import", file("sku,name,category,quantity\n" + unique("A") + ",iPhone 12,Electronics,10\n")
	}},
	{"POST /products", workers, http.StatusCreated, func(s *server, _ *client) (string, any) {
		s.product("iPhone 11", "Electronics", 5)
		return "/products", j{"name": "iPhone 12", "category": "Electronics", "quantity": 10, "description": ""}
	}},
	{"GET /products/:id", staff, http.StatusOK, ofProduct("/products/%s", nil)},
	{"PUT /products/:id", workers, http.StatusOK, ofProduct("/products/%s", j{"name": "iPhone 13", "category": "Electronics", "quantity": 11, "description": ""})},
	{"DELETE /products/:id", managers, http.StatusNoContent, ofProduct("/products/%s", nil)},
	{"PATCH /products/quantity/:id", workers, http.StatusOK, ofProduct("/products/quantity/%s", j{"delta": 1})},
	{"GET /products/:id/movements", staff, http.StatusOK, ofProduct("/products/%s/movements", nil)},

	{"GET /products/orders", staff, http.StatusOK, plain("/products/orders", nil)},
	{"GET /products/orders/export", staff, http.StatusOK, plain("/products/orders/export?search=nothing", nil)},
	{"POST /products/orders", workers, http.StatusCreated, func(s *server, _ *client) (string, any) {
		return "/products/orders", j{"itemId": s.product("iPhone 12", "Electronics", 10), "client": "John", "description": "", "quantity": 1}
	}},
	{"GET /products/orders/:id", workers, http.StatusOK, ofOrder("/products/orders/%s", domain.OrderDraft, nil)},
	{"PUT /products/orders/:id", managers, http.StatusOK, ofOrder("/products/orders/%s", domain.OrderPending, j{"client": "John", "description": "", "quantity": 2})},
	{"DELETE /products/orders/:id", onlyAdmin, http.StatusNoContent, ofOrder("/products/orders/%s", domain.OrderReady, nil)},
	{"GET /products/orders/:id/history", workers, http.StatusOK, ofOrder("/products/orders/%s/history", domain.OrderReady, nil)},
	// Every other step, and every role at it, is in TestStates.
	{"PATCH /products/orders/state/:id", workers, http.StatusOK, ofOrder("/products/orders/state/%s", domain.OrderDraft, j{"transition": "Pending"})},
	{"PATCH /products/orders/state/:id", managers, http.StatusOK, ofOrder("/products/orders/state/%s", domain.OrderPending, j{"transition": "Ready"})},
}

func plain(path string, body any) func(*server, *client) (string, any) {
	return func(*server, *client) (string, any) { return path, body }
}

// inferior is for a call on a user who stands at or below everyone.
func inferior(body any) func(*server, *client) (string, any) {
	return func(s *server, _ *client) (string, any) {
		return "/users/" + s.newUser(domain.RoleReadonlyUser).user.ID.String(), body
	}
}

func ofProduct(path string, body any) func(*server, *client) (string, any) {
	return func(s *server, _ *client) (string, any) {
		return fmt.Sprintf(path, s.product("iPhone 12", "Electronics", 10)), body
	}
}

func ofOrder(path string, state domain.OrderState, body any) func(*server, *client) (string, any) {
	return func(s *server, _ *client) (string, any) {
		return fmt.Sprintf(path, s.order(s.product("iPhone 12", "Electronics", 10), 3, state)), body
	}
}

// TestRoles_Table has every role, and a caller without a token, call every route.
func TestRoles_Table(t *testing.T) {
	t.Parallel()
	t.Run("is_complete", func(t *testing.T) {
		inTable, here := []string{}, []string{}
		for _, line := range httpapi.Table() {
			inTable = append(inTable, line.Method+" "+line.Path)
		}
		for _, g := range grants {
			here = append(here, g.route)
		}
		slices.Sort(here)
		require.ElementsMatch(t, slices.Compact(here), inTable)
	})
	each(t, func(_ *testing.T, s *server) {
		for i, g := range grants {
			for _, role := range anyone {
				s.run(fmt.Sprintf("%s/%s/%d", strings.ReplaceAll(g.route, "/", "_"), roleName(role), i), func(t *testing.T) { s.checkGrant(t, g, role) })
			}
		}
	})
}

func roleName(role domain.Role) string {
	if role == "" {
		return "anonymous"
	}
	return string(role)
}

// caller makes a new user of the role, or one without a token.
func (s *server) caller(role domain.Role) *client {
	if role == "" {
		return s.anonymous()
	}
	return s.newUser(role)
}

func (s *server) checkGrant(t *testing.T, g grant, role domain.Role) {
	caller := s.caller(role)
	path, body := g.request(s, caller)
	method, _, _ := strings.Cut(g.route, " ")
	before := s.dump()
	a := caller.do(method, path, body)
	if slices.Contains(g.may, role) {
		if a.wants(g.status); method != http.MethodGet {
			require.NotEqual(t, before, s.dump(), "nothing has changed")
		}
		return
	}
	if role == "" {
		a.refuses(http.StatusUnauthorized, "authorization")
		require.Equal(t, "Bearer", a.Header.Get("WWW-Authenticate"))
	} else {
		a.refuses(http.StatusForbidden, "authorization")
	}
	require.Equal(t, before, s.dump())
}

// TestRoles_Head asks for the head of everything that can be read: it is that of the whole, with the same answer to everyone.
func TestRoles_Head(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		web := httptest.NewServer(s.handler) // a recorder would not cut bodies off
		t.Cleanup(web.Close)
		for _, g := range grants {
			method, route, _ := strings.Cut(g.route, " ")
			if method != http.MethodGet {
				continue
			}
			for _, role := range anyone {
				s.run(route+"/"+roleName(role), func(t *testing.T) {
					caller := s.caller(role)
					path, _ := g.request(s, caller)
					status, header, body := caller.over(web, http.MethodGet, path)
					headStatus, headHeader, headBody := caller.over(web, http.MethodHead, path)
					require.NotEmpty(t, body)
					require.NotEmpty(t, header.Get("Content-Length"))
					require.Empty(t, headBody)
					require.Equal(t, status, headStatus)
					require.Equal(t, header, headHeader)
				})
			}
		}
	})
}

// over sends a request through a real connection.
func (c *client) over(web *httptest.Server, method, path string) (int, http.Header, string) {
	c.s.t.Helper()
	r, err := http.NewRequestWithContext(c.s.t.Context(), method, web.URL+path, http.NoBody)
	require.NoError(c.s.t, err)
	r.Header.Set("X-Request-Id", "the-same")
	r.Header.Set("Accept-Encoding", "identity") // or the client would ask for another form by GET than by HEAD
	if c.access != "" {
		r.Header.Set("Authorization", "Bearer "+c.access)
	}
	answer, err := web.Client().Do(r)
	require.NoError(c.s.t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(c.s.t, err)
	answer.Header.Del("Date")
	return answer.StatusCode, answer.Header, string(body)
}

// TestRoles_Methods tries on every path the methods that it does not have.
func TestRoles_Methods(t *testing.T) {
	t.Parallel()
	has := map[string][]string{}
	for _, g := range grants {
		method, path, _ := strings.Cut(g.route, " ")
		if !slices.Contains(has[path], method) {
			has[path] = append(has[path], method)
		}
		if method == http.MethodGet && !slices.Contains(has[path], http.MethodHead) {
			has[path] = append(has[path], http.MethodHead)
		}
	}
	each(t, func(_ *testing.T, s *server) {
		caller := s.as(domain.RoleAdmin)
		for path, methods := range has {
			url := strings.NewReplacer(":id", s.as(domain.RoleUser).user.ID.String(), ":name", "Electronics").Replace(path)
			for _, method := range []string{
				http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "BREW",
			} {
				if slices.Contains(methods, method) {
					continue
				}
				s.run(method+path, func(t *testing.T) {
					a := caller.do(method, url, nil)
					a.refuses(http.StatusMethodNotAllowed, "request")
					require.ElementsMatch(t, methods, strings.Split(a.Header.Get("Allow"), ", "))
				})
			}
		}
	})
}

// TestRoles_NoRoute calls what is no route, by every method.
func TestRoles_NoRoute(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		for _, path := range []string{
			"/", "/x", "/users/", "/users//", "/Users", "/users/me/x", "/products/", "/products/x/y", "/products/orders/x/y", "/products/orders/x/history/y", "/products/categories/",
			"/products/categories/a/b", "/products/quantity/x/y", "/products/orders/state/x/y", "/auth", "/auth/", "/auth/login/", "/images", "/images/", "/images/a/b", "//users", "/users/..%2Fx/y",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "BREW"} {
				s.run(method+path, func(t *testing.T) {
					a := s.anonymous().do(method, path, nil)
					a.refuses(http.StatusNotFound, "request")
					require.Empty(t, a.Header.Get("Allow"))
				})
			}
		}
	})
}

// ranks says what a role (the row) may do to a user of another role (the column): r is read, w is change and delete.
var ranks = map[domain.Role]map[domain.Role]string{
	domain.RoleAdmin:        {domain.RoleAdmin: "r", domain.RoleManager: "rw", domain.RoleUser: "rw", domain.RoleReadonlyUser: "rw"},
	domain.RoleManager:      {domain.RoleAdmin: "", domain.RoleManager: "r", domain.RoleUser: "rw", domain.RoleReadonlyUser: "rw"},
	domain.RoleUser:         {domain.RoleAdmin: "", domain.RoleManager: "", domain.RoleUser: "r", domain.RoleReadonlyUser: "rw"},
	domain.RoleReadonlyUser: {domain.RoleAdmin: "", domain.RoleManager: "", domain.RoleUser: "", domain.RoleReadonlyUser: "r"},
}

// TestRoles_Users has every role read, change and delete a user of every role, and oneself.
func TestRoles_Users(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		for actor, row := range ranks {
			for target, may := range row {
				for _, does := range []struct{ method, right string }{{http.MethodGet, "r"}, {http.MethodPut, "w"}, {http.MethodDelete, "w"}} {
					s.run(fmt.Sprintf("%s/%s/%s", actor, does.method, target), func(t *testing.T) {
						other := s.newUser(target).user
						s.checkRank(t, s.newUser(actor), does.method, other, strings.Contains(may, does.right))
					})
				}
			}
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				s.run(fmt.Sprintf("%s/%s/oneself", actor, method), func(t *testing.T) {
					self := s.newUser(actor)
					s.checkRank(t, self, method, self.user, method == http.MethodGet)
				})
			}
		}
	})
}

func (s *server) checkRank(t *testing.T, actor *client, method string, target domain.User, may bool) {
	path := "/users/" + target.ID.String()
	var body any
	if method == http.MethodPut {
		body = j{"email": target.Email, "firstName": "John", "lastName": "Doe", "role": domain.RoleReadonlyUser}
	}
	before := s.dump()
	a := actor.do(method, path, body)
	if !may {
		a.refuses(http.StatusForbidden, "authorization")
		require.Equal(t, before, s.dump())
		return
	}
	// Of three users with the same names only the right one may have changed.
	after := s.newUser(domain.RoleAdmin).get(path)
	switch method {
	case http.MethodGet:
		require.Equal(t, target.ID.String(), a.wants(http.StatusOK).text("id"))
	case http.MethodPut:
		a.wants(http.StatusNoContent)
		require.Equal(t, "John Doe ReadonlyUser", after.text("firstName")+" "+after.text("lastName")+" "+after.text("role"))
	case http.MethodDelete:
		a.wants(http.StatusNoContent)
		after.refuses(http.StatusNotFound, "id")
	}
}

// TestRoles_UserList shows every role its inferiors and peers, and counts nobody else.
func TestRoles_UserList(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		ids := map[domain.Role][]string{}
		callers := map[domain.Role]*client{}
		for _, role := range staff {
			callers[role] = s.newUser(role)
			draft := s.draft(role)
			ids[role] = []string{callers[role].user.ID.String(), draft.ID.String()}
		}
		inviter := s.as(domain.RoleAdmin).user.ID.String()
		ids[domain.RoleAdmin] = append(ids[domain.RoleAdmin], inviter)
		for actor, row := range ranks {
			s.run(string(actor), func(t *testing.T) {
				var all []string
				for target, may := range row {
					var seen []string
					if strings.Contains(may, "r") {
						seen = ids[target]
					}
					all = append(all, seen...)
					callers[actor].lists(t, "/users?role="+string(target), seen)
					// The superior can be found by nothing that is known of them.
					found := []string{}
					if len(seen) > 0 {
						found = ids[target][:1]
					}
					callers[actor].lists(t, "/users?search="+callers[target].user.Email, found)
				}
				callers[actor].lists(t, "/users", all)
				callers[actor].lists(t, "/users?status=Active&search=example.com&sort=role", slices.DeleteFunc(slices.Clone(all), func(id string) bool {
					return id != inviter && !slices.ContainsFunc(staff, func(r domain.Role) bool { return ids[r][0] == id })
				}))
			})
		}
	})
}

// lists checks whom a list of users shows and that it counts no other.
func (c *client) lists(t *testing.T, path string, ids []string) {
	t.Helper()
	body := c.get(path).wants(http.StatusOK).json()
	shown := []string{}
	for _, u := range body["users"].([]any) {
		shown = append(shown, u.(j)["id"].(string))
	}
	require.ElementsMatch(t, ids, shown, path)
	require.EqualValues(t, len(ids), body["totalItems"], path)
	require.EqualValues(t, min(len(ids), 1), body["totalPages"], path)
}

// TestRoles_Grant has every role grant every role, by invitation and by update: none above one's own.
func TestRoles_Grant(t *testing.T) {
	t.Parallel()
	may := map[domain.Role]struct{ invite, update []domain.Role }{
		domain.RoleAdmin:        {invite: staff, update: staff},
		domain.RoleManager:      {invite: staff[1:], update: staff[1:]},
		domain.RoleUser:         {update: staff[2:]},
		domain.RoleReadonlyUser: {},
	}
	each(t, func(_ *testing.T, s *server) {
		for actor, grantable := range may {
			for _, role := range staff {
				body := func(email string) j { return j{"email": email, "firstName": "John", "lastName": "Doe", "role": role} }
				s.run(fmt.Sprintf("%s/invites/%s", actor, role), func(t *testing.T) {
					email := unique("john") + "@example.com"
					check := func() answer { return s.as(domain.RoleAdmin).get("/users?search=" + email) }
					s.checkGranted(t, actor, slices.Contains(managers, actor), slices.Contains(grantable.invite, role), http.StatusCreated, role, check,
						func(c *client) answer { return c.post("/auth/invite", body(email)) })
				})
				s.run(fmt.Sprintf("%s/invites_again/%s", actor, role), func(t *testing.T) {
					draft := s.draft(domain.RoleReadonlyUser)
					check := func() answer { return s.as(domain.RoleAdmin).get("/users?search=" + draft.Email) }
					s.checkGranted(t, actor, slices.Contains(managers, actor), slices.Contains(grantable.invite, role), http.StatusCreated, role, check,
						func(c *client) answer { return c.post("/auth/invite", body(draft.Email)) })
				})
				s.run(fmt.Sprintf("%s/updates_to/%s", actor, role), func(t *testing.T) {
					u := s.newUser(domain.RoleReadonlyUser).user
					check := func() answer { return s.as(domain.RoleAdmin).get("/users?search=" + u.Email) }
					s.checkGranted(t, actor, slices.Contains(workers, actor), slices.Contains(grantable.update, role), http.StatusNoContent, role, check,
						func(c *client) answer { return c.put("/users/"+u.ID.String(), body(u.Email)) })
				})
			}
		}
		s.run("Manager/takes_an_Admin's_invitation_over", func(t *testing.T) {
			draft := s.draft(domain.RoleAdmin)
			manager, before := s.newUser(domain.RoleManager), s.dump()
			manager.post("/auth/invite", j{"email": draft.Email, "firstName": "John", "lastName": "Doe", "role": "User"}).
				refuses(http.StatusForbidden, "authorization")
			require.Equal(t, before, s.dump())
		})
	})
}

// checkGranted has a new user of the role actor try to grant a role. able says whether they may call the route at all.
func (s *server) checkGranted(t *testing.T, actor domain.Role, able, may bool, status int, role domain.Role, find func() answer, try func(*client) answer) {
	caller, _ := s.newUser(actor), s.as(domain.RoleAdmin)
	before := s.dump()
	a := try(caller)
	if may {
		a.wants(status)
		require.Equal(t, string(role), find().json()["users"].([]any)[0].(j)["role"])
		return
	}
	field := "role"
	if !able {
		field = "authorization"
	}
	a.refuses(http.StatusForbidden, field)
	require.Equal(t, before, s.dump())
}

// TestRoles_OldToken goes on with a token after its user has changed: the database's word counts.
func TestRoles_OldToken(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		update := func(u domain.User, role domain.Role, email string) {
			s.as(domain.RoleAdmin).put("/users/"+u.ID.String(), j{"email": email, "firstName": "John", "lastName": "Doe", "role": role}).wants(http.StatusNoContent)
		}
		for _, c := range []struct {
			name   string
			change func(old *client)
			status int // of what a Manager may do
			reads  int // of what everyone may do
		}{
			{"unchanged", func(*client) {}, http.StatusCreated, http.StatusOK},
			{"promoted", func(old *client) { update(old.user, domain.RoleAdmin, old.user.Email) }, http.StatusCreated, http.StatusOK},
			{"demoted", func(old *client) { update(old.user, domain.RoleReadonlyUser, old.user.Email) }, http.StatusForbidden, http.StatusOK},
			{"deleted", func(old *client) {
				s.as(domain.RoleAdmin).delete("/users/" + old.user.ID.String()).wants(http.StatusNoContent)
			},
				http.StatusUnauthorized, http.StatusUnauthorized},
			{"logged_out", func(old *client) { old.post("/auth/logout", nil).wants(http.StatusNoContent) }, http.StatusUnauthorized, http.StatusUnauthorized},
			{"moved", func(old *client) { update(old.user, domain.RoleManager, unique("moved")+"@example.com") }, http.StatusUnauthorized, http.StatusUnauthorized},
		} {
			s.run(c.name, func(t *testing.T) {
				old := s.newUser(domain.RoleManager)
				old.get("/products").wants(http.StatusOK)
				c.change(old)
				before := s.dump()
				a := old.post("/products/categories", j{"name": unique("Electronics")})
				if a.wants(c.status).Status != http.StatusCreated {
					a.refuses(c.status, "authorization")
					require.Equal(t, before, s.dump())
				}
				old.get("/products").wants(c.reads)
				if c.reads == http.StatusUnauthorized {
					old.post("/auth/refresh", j{"refreshToken": old.refresh}).wants(http.StatusUnauthorized)
				}
			})
		}
	})
}

// unique gives a text that no other call gives.
func unique(name string) string { return name + "_" + uuid.NewString()[:8] }

// draft invites somebody.
func (s *server) draft(role domain.Role) domain.User {
	s.t.Helper()
	email := unique("draft") + "@example.com"
	s.as(domain.RoleAdmin).post("/auth/invite", j{"email": email, "firstName": "John", "lastName": "Doe", "role": role}).wants(http.StatusCreated)
	u, err := s.store.Users.ByEmail(s.t.Context(), email)
	require.NoError(s.t, err)
	return u
}

// resetToken gives a user a token to reset their password by.
func (s *server) resetToken(u domain.User) string {
	s.t.Helper()
	secret, now := token.NewSecret(), s.now().UTC()
	require.NoError(s.t, s.store.Tokens.Create(s.t.Context(), domain.OneTimeToken{
		ID: domain.NewID(), Kind: domain.TokenPasswordReset, UserID: u.ID, TokenHash: token.Hash(secret), EventID: domain.NewID(),
		CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}))
	return secret
}

// productForm is a good product in a new category, with more parts.
func productForm(s *server, more ...part) []part {
	return append([]part{
		{name: "name", value: "iPhone 12"}, {name: "category", value: s.category(unique("Electronics"))}, {name: "quantity", value: "10"},
		{name: "description", value: "Better than iPhone 11 (maybe)"},
	}, more...)
}

// db gives the server's database beside the store.
func (s *server) db() *sql.DB {
	if s.side != nil {
		return s.side
	}
	driver, source := "pgx", s.url
	if path, sqlite := strings.CutPrefix(s.url, "sqlite://"); sqlite {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=query_only(1)"
	}
	var err error
	s.side, err = sql.Open(driver, source)
	require.NoError(s.t, err)
	return s.side
}

// dump gives every row of every table, so that two dumps tell whether anything has changed, and the names of all pictures.
func (s *server) dump() map[string][]string {
	s.t.Helper()
	tables := map[string][]string{"pictures on disk": s.pictures()}
	for _, table := range []string{
		"users", "sessions", "refresh_tokens", "one_time_tokens", "login_failures", "categories", "products", "orders", "order_steps", "movements", "outbox", "deliveries",
		"second_factors", "recovery_codes", "api_keys",
	} {
		tables[table] = s.rows("SELECT * FROM " + table)
	}
	return tables
}

// rows gives the rows of a query as text, in order of the text.
func (s *server) rows(query string, args ...any) []string {
	s.t.Helper()
	rows, err := s.db().QueryContext(s.t.Context(), query, args...)
	require.NoError(s.t, err)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	require.NoError(s.t, err)
	values, targets := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	texts := []string{}
	for rows.Next() {
		require.NoError(s.t, rows.Scan(targets...))
		var text []byte
		for i, value := range values {
			if value != nil {
				text = append(append(append(text, columns[i]...), '='), value...)
			}
			text = append(text, '\n')
		}
		texts = append(texts, string(text))
	}
	require.NoError(s.t, rows.Err())
	slices.Sort(texts)
	return texts
}
