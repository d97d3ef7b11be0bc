package httpapi_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/token"
)

// entry is what a line of the audit log tells, less its time and its place in the chain.
type entry struct {
	user, action, kind, target, details, address string // user is an id, or empty for a stranger
}

// entries gives the lines of the audit log after the first n.
func (s *server) entries(n int) []entry {
	s.t.Helper()
	page := domain.Page{Number: 1, Size: 10000, Sort: domain.Sort{Field: "createdAt"}}
	lines, total, err := s.store.Audit.List(s.t.Context(), domain.AuditFilter{Page: page})
	require.NoError(s.t, err)
	require.Len(s.t, lines, int(total.Total))
	told := []entry{}
	for i, l := range lines {
		require.EqualValues(s.t, i+1, l.Seq)
		e := entry{action: string(l.Action), kind: l.TargetKind, target: l.Target, details: l.Details, address: l.Address}
		if l.UserID != nil {
			e.user = l.UserID.String()
		}
		told = append(told, e)
	}
	return told[n:]
}

// unbroken checks that the log's chain is whole.
func (s *server) unbroken() {
	s.t.Helper()
	lines, fault, err := s.store.Audit.Verify(s.t.Context())
	require.NoError(s.t, err)
	require.Empty(s.t, fault)
	require.Len(s.t, s.entries(0), int(lines))
}

// Where the callers of these tests are.
const (
	caller        = "203.0.113.7:4711"
	callerAddress = "203.0.113.7"
)

// deed is a call of a route that changes something, and what the audit log must tell of it.
type deed struct {
	name    string
	route   string                                     // as in the route table
	prepare func(s *server, admin *client) preparation // makes what the call needs
}

type preparation struct {
	who     *client // nil: the Admin
	path    string  // empty: that of the route
	body    any
	action  domain.AuditAction
	user    string                // empty: who calls
	target  func(a answer) string // the kind and the name
	details any
}

// named is a thing that is known beforehand.
func named(kind, name string) func(answer) string {
	return func(answer) string { return kind + " " + name }
}

// made is the thing that the answer tells of.
func made(kind string) func(answer) string {
	return func(a answer) string { return kind + " " + a.text("id") }
}

// ofUser is a deed of a user about themselves.
func ofUser(c *client, action domain.AuditAction, path string, body any) preparation {
	return preparation{who: c, path: path, body: body, action: action, user: c.user.ID.String(), target: named("user", c.user.ID.String())}
}

// unknown is a stranger who is known as soon as the call is done.
func unknown(s *server, u domain.User) *client { return &client{s: s, user: u, addr: caller} }

// userNow finds a user by the email.
func (s *server) userNow(email string) func(answer) string {
	return func(answer) string {
		u, err := s.store.Users.ByEmail(s.t.Context(), email)
		require.NoError(s.t, err)
		return "user " + u.ID.String()
	}
}

// deeds are calls of every route that changes something, each of which succeeds.
var deeds = []deed{
	{"", "POST /auth/login", func(s *server, _ *client) preparation {
		u := s.newUser(domain.RoleUser).user
		return ofUser(unknown(s, u), domain.AuditLoggedIn, "", j{"email": u.Email, "password": goodPassword})
	}},
	{"", "POST /auth/register", func(s *server, _ *client) preparation {
		u := s.draft(domain.RoleUser)
		p := ofUser(unknown(s, u), domain.AuditUserRegistered, "", j{"token": s.mailToken(domain.EventUserInvited, u.Email), "username": "u" + u.Email[6:14], "password": goodPassword})
		p.details = j{"username": "u" + u.Email[6:14]}
		return p
	}},
	{"", "POST /auth/refresh", func(s *server, _ *client) preparation {
		c := s.newUser(domain.RoleUser)
		return ofUser(c, domain.AuditRefreshed, "", j{"refreshToken": c.refresh})
	}},
	{"", "POST /auth/forgot", func(s *server, _ *client) preparation {
		email := s.newUser(domain.RoleUser).user.Email
		return preparation{who: s.anonymous(), body: j{"email": strings.ToUpper(email)}, action: domain.AuditResetRequested, target: named("account", email)}
	}},
	{"unknown", "POST /auth/forgot", func(s *server, _ *client) preparation {
		email := unique("nobody") + "@example.com"
		return preparation{who: s.anonymous(), body: j{"email": email}, action: domain.AuditResetRequested, target: named("account", email)}
	}},
	{"", "POST /auth/reset", func(s *server, _ *client) preparation {
		u := s.newUser(domain.RoleUser).user
		return ofUser(unknown(s, u), domain.AuditPasswordReset, "", j{"token": s.resetToken(u), "password": "correct horse battery"})
	}},
	{"", "POST /auth/invite", func(s *server, _ *client) preparation {
		email := unique("tolya") + "@example.com"
		return preparation{body: invitee(email, domain.RoleUser), action: domain.AuditUserInvited, target: s.userNow(email), details: j{"email": email, "role": "User"}}
	}},
	{"again", "POST /auth/invite", func(s *server, _ *client) preparation {
		u := s.draft(domain.RoleUser)
		return preparation{body: invitee(u.Email, domain.RoleManager), action: domain.AuditUserInvited, target: named("user", u.ID.String()), details: j{"email": u.Email, "role": "Manager"}}
	}},
	{"", "POST /auth/logout", func(s *server, _ *client) preparation {
		return ofUser(s.newUser(domain.RoleUser), domain.AuditLoggedOut, "", nil)
	}},
	{"", "PUT /auth/password", func(s *server, _ *client) preparation {
		return ofUser(s.newUser(domain.RoleUser), domain.AuditPasswordChanged, "", j{"currentPassword": goodPassword, "newPassword": "correct horse battery"})
	}},
	{"", "POST /auth/2fa", func(s *server, _ *client) preparation {
		return ofUser(s.newUser(domain.RoleUser), domain.AuditFactorBegun, "", j{"currentPassword": goodPassword})
	}},
	{"", "POST /auth/2fa/confirm", func(s *server, _ *client) preparation {
		c := s.newUser(domain.RoleUser)
		return ofUser(c, domain.AuditFactorEnabled, "", j{"code": c.begin().code()})
	}},
	{"", "POST /auth/2fa/recovery-codes", func(s *server, _ *client) preparation {
		c := s.newUser(domain.RoleUser)
		return ofUser(c, domain.AuditCodesMade, "", j{"currentPassword": goodPassword, "code": c.protect().codes[0]})
	}},
	{"", "POST /auth/2fa/disable", func(s *server, _ *client) preparation {
		c := s.newUser(domain.RoleUser)
		return ofUser(c, domain.AuditFactorDisabled, "", j{"currentPassword": goodPassword, "code": c.protect().codes[0]})
	}},
	{"", "POST /users/me/keys", func(s *server, _ *client) preparation {
		p := ofUser(s.newUser(domain.RoleUser), domain.AuditKeyCreated, "", j{"name": "till", "scope": "write", "currentPassword": goodPassword})
		p.target, p.details = made("key"), j{"name": "till", "scope": "write"}
		return p
	}},
	{"", "DELETE /users/me/keys/:id", func(s *server, _ *client) preparation {
		c := s.newUser(domain.RoleUser)
		id := c.post("/users/me/keys", j{"name": "till", "scope": "read", "currentPassword": goodPassword}).wants(http.StatusCreated).text("id")
		p := ofUser(c, domain.AuditKeyRevoked, "/users/me/keys/"+id, nil)
		p.target = named("key", id)
		return p
	}},
	{"", "PUT /users/:id", func(s *server, _ *client) preparation {
		u := s.newUser(domain.RoleUser).user
		return preparation{
			path: "/users/" + u.ID.String(), body: invitee(u.Email, domain.RoleManager),
			action: domain.AuditUserUpdated, target: named("user", u.ID.String()), details: j{"role": []string{"User", "Manager"}},
		}
	}},
	{"moved draft", "PUT /users/:id", func(s *server, _ *client) preparation {
		u, email := s.draft(domain.RoleUser), unique("moved")+"@example.com"
		return preparation{
			path: "/users/" + u.ID.String(), body: invitee(email, domain.RoleUser),
			action: domain.AuditUserUpdated, target: named("user", u.ID.String()), details: j{"role": []string{"User", "User"}, "email": []string{u.Email, email}},
		}
	}},
	{"", "DELETE /users/:id", func(s *server, _ *client) preparation {
		u := s.newUser(domain.RoleUser).user
		return preparation{path: "/users/" + u.ID.String(), action: domain.AuditUserDeleted, target: named("user", u.ID.String()), details: j{"email": u.Email, "role": "User"}}
	}},
	{"", "POST /products/categories", func(*server, *client) preparation {
		name := unique(`<b>Möbel & "mehr"</b>`)
		return preparation{body: j{"name": name}, action: domain.AuditCategoryCreated, target: made("category"), details: j{"name": name}}
	}},
	{"", "DELETE /products/categories/:name", func(s *server, _ *client) preparation {
		name := unique("Books")
		s.product("Novel", name, 1)
		s.product("Poem", name, 1)
		category, err := s.store.Categories.ByName(s.t.Context(), name)
		require.NoError(s.t, err)
		return preparation{
			path: "/products/categories/" + name, action: domain.AuditCategoryDeleted,
			target: named("category", category.ID.String()), details: j{"name": name, "products": 2},
		}
	}},
	{"", "POST /products", func(s *server, _ *client) preparation {
		s.product("iPhone 11", "Electronics", 1)
		body := j{"name": "iPhone 12", "category": "Electronics", "quantity": 10, "description": "", "image": pngPicture(1)}
		return preparation{body: body, action: domain.AuditProductCreated, target: made("product"), details: j{"name": "iPhone 12", "quantity": 10}}
	}},
	{"", "PUT /products/:id", func(s *server, _ *client) preparation {
		id := s.product("iPhone 12", "Electronics", 10)
		if _, err := s.store.Categories.ByName(s.t.Context(), "Gifts"); err != nil {
			s.category("Gifts")
		}
		return preparation{
			path: "/products/" + id, body: j{"name": "iPhone 13", "category": "Gifts", "quantity": 11, "description": "x", "image": pngPicture(1)},
			action: domain.AuditProductUpdated, target: named("product", id),
			details: j{"name": []string{"iPhone 12", "iPhone 13"}, "category": []string{"Electronics", "Gifts"}, "description": "changed", "image": "changed", "quantity": []int{10, 11}},
		}
	}},
	{"same", "PUT /products/:id", func(s *server, _ *client) preparation {
		id := s.product("iPhone 12", "Electronics", 10)
		return preparation{path: "/products/" + id, body: j{"name": "iPhone 12", "category": "Electronics"}, action: domain.AuditProductUpdated, target: named("product", id)}
	}},
	{"", "POST /products/import", func(s *server, _ *client) preparation {
		s.product("iPhone 11", "Electronics", 1)
		return preparation{
			body: file("sku,name,category,quantity\nA-1,iPhone 12,Electronics,10\nA-2,iPhone 13,Electronics,0\n"), action: domain.AuditProductsImported,
			target: named("import", "products"), details: j{"created": 2, "updated": 0, "unchanged": 0},
		}
	}},
	{"", "DELETE /products/:id", func(s *server, _ *client) preparation {
		id := s.product("iPhone 12", "Electronics", 10)
		return preparation{path: "/products/" + id, action: domain.AuditProductDeleted, target: named("product", id), details: j{"name": "iPhone 12", "quantity": 10}}
	}},
	{"count", "PATCH /products/quantity/:id", func(s *server, _ *client) preparation {
		id := s.product("iPhone 12", "Electronics", 10)
		return preparation{path: "/products/quantity/" + id, body: j{"quantity": 7}, action: domain.AuditProductAdjusted, target: named("product", id), details: j{"delta": -3}}
	}},
	{"delta", "PATCH /products/quantity/:id", func(s *server, _ *client) preparation {
		id := s.product("iPhone 12", "Electronics", 10)
		return preparation{path: "/products/quantity/" + id, body: j{"delta": 2}, action: domain.AuditProductAdjusted, target: named("product", id), details: j{"delta": 2}}
	}},
	{"", "POST /products/orders", func(s *server, _ *client) preparation {
		id := s.product("iPhone 12", "Electronics", 10)
		return preparation{
			body:   j{"itemId": id, "client": "John", "description": "", "quantity": 4, "initialState": "Draft"},
			action: domain.AuditOrderPlaced, target: made("order"), details: j{"item": id, "quantity": 4, "state": "Draft"},
		}
	}},
	{"", "PUT /products/orders/:id", func(s *server, _ *client) preparation {
		id := s.order(s.product("iPhone 12", "Electronics", 10), 4, domain.OrderDraft)
		return preparation{
			path: "/products/orders/" + id, body: j{"client": "Jane", "description": "", "quantity": 5},
			action: domain.AuditOrderEdited, target: named("order", id), details: j{"quantity": []int{4, 5}},
		}
	}},
	{"draft", "DELETE /products/orders/:id", deletion(domain.OrderDraft)},
	{"ready", "DELETE /products/orders/:id", deletion(domain.OrderReady)},
	{"handed in", "PATCH /products/orders/state/:id", step(domain.OrderDraft, domain.OrderPending)},
	{"approved", "PATCH /products/orders/state/:id", step(domain.OrderPending, domain.OrderReady)},
	{"completed", "PATCH /products/orders/state/:id", step(domain.OrderReady, domain.OrderCompleted)},
	{"given back", "PATCH /products/orders/state/:id", step(domain.OrderReady, domain.OrderCancelled)},
	{"cancelled", "PATCH /products/orders/state/:id", step(domain.OrderDraft, domain.OrderCancelled)},
}

func deletion(state domain.OrderState) func(*server, *client) preparation {
	return func(s *server, _ *client) preparation {
		id := s.order(s.product("iPhone 12", "Electronics", 10), 4, state)
		return preparation{path: "/products/orders/" + id, action: domain.AuditOrderDeleted, target: named("order", id), details: j{"state": state}}
	}
}

func step(from, to domain.OrderState) func(*server, *client) preparation {
	return func(s *server, _ *client) preparation {
		id := s.order(s.product("iPhone 12", "Electronics", 10), 4, from)
		return preparation{path: "/products/orders/state/" + id, body: j{"transition": to}, action: domain.AuditOrderMoved, target: named("order", id), details: j{"from": from, "to": to}}
	}
}

// ready makes what the deed needs, and gives its call and the one line that the log must get by it.
func (d deed) ready(s *server) (call func() answer, line func(a answer) entry) {
	s.t.Helper()
	admin := s.as(domain.RoleAdmin)
	p := d.prepare(s, admin)
	if p.who == nil {
		p.who, p.user = admin, admin.user.ID.String()
	}
	who := *p.who
	who.addr = caller
	method, path, _ := strings.Cut(d.route, " ")
	if p.path != "" {
		path = p.path
	}
	if p.details == nil {
		p.details = j{}
	}
	details, err := json.Marshal(p.details)
	require.NoError(s.t, err)
	call = func() answer { return who.do(method, path, p.body) }
	line = func(a answer) entry {
		kind, target, _ := strings.Cut(p.target(a), " ")
		return entry{p.user, string(p.action), kind, target, string(details), callerAddress}
	}
	return call, line
}

// TestAudit_everyChange has the log tell of every route that changes something, by one line in the transaction of the change: where the line
// cannot be written, nothing is changed either.
func TestAudit_everyChange(t *testing.T) {
	t.Parallel()
	t.Run("is_complete", func(t *testing.T) {
		var inTable, here []string
		for _, line := range httpapi.Table() {
			if line.Method != http.MethodGet {
				inTable = append(inTable, line.Method+" "+line.Path)
			}
		}
		for _, d := range deeds {
			here = append(here, d.route)
		}
		slices.Sort(here)
		require.ElementsMatch(t, inTable, slices.Compact(here))
	})
	each(t, func(_ *testing.T, s *server) {
		for _, d := range deeds {
			s.run(strings.ReplaceAll(d.route+" "+d.name, "/", "_"), func(t *testing.T) {
				call, line := d.ready(s)
				before, told := s.dump(), len(s.entries(0))
				mend := s.sabotage("audit_log")
				call().failed()
				after := s.dump()
				for _, state := range []map[string][]string{before, after} {
					delete(state, "login_failures") // a try counts as failed until it proves right
				}
				require.Equal(t, before, after)
				require.Empty(t, s.entries(told))
				mend()
				a := call()
				require.Contains(t, []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}, a.Status, a.Body)
				require.Equal(t, []entry{line(a)}, s.entries(told))
			})
		}
		s.unbroken()
	})
}

// TestAudit_accessRefused has everyone who may not call each route.
func TestAudit_accessRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		param := regexp.MustCompile(`:\w+`)
		for _, line := range httpapi.Table() {
			lowest, ok := domain.LowestRole(line.Need)
			if line.Open || !ok {
				continue
			}
			for _, role := range domain.Roles {
				if role.AtLeast(lowest) {
					continue
				}
				c, told := *s.as(role), len(s.entries(0))
				c.addr = caller
				before := s.dump()
				c.do(line.Method, param.ReplaceAllString(line.Path, unknownID), nil).refuses(http.StatusForbidden, "authorization")
				require.Equal(t, []entry{{c.user.ID.String(), "access.refused", "route", line.Method + " " + line.Path, "{}", callerAddress}}, s.entries(told))
				require.Equal(t, before, s.dump())
			}
		}
		// Refused by a rule that needs to look closer.
		admin, manager, user := s.as(domain.RoleAdmin), s.as(domain.RoleManager), s.as(domain.RoleUser)
		order := s.order(s.product("iPhone 12", "Electronics", 10), 4, domain.OrderPending)
		for _, c := range []struct {
			who          *client
			method, path string
			route        string
			body         any
			field        string
		}{
			{manager, http.MethodPost, "/auth/invite", "/auth/invite", invitee("x@example.com", domain.RoleAdmin), "role"},
			{manager, http.MethodGet, "/users/" + admin.user.ID.String(), "/users/:id", nil, "authorization"},
			{manager, http.MethodPut, "/users/" + admin.user.ID.String(), "/users/:id", invitee("x@example.com", domain.RoleUser), "authorization"},
			{manager, http.MethodPut, "/users/" + user.user.ID.String(), "/users/:id", invitee("x@example.com", domain.RoleAdmin), "role"},
			{admin, http.MethodDelete, "/users/" + admin.user.ID.String(), "/users/:id", nil, "authorization"},
			{user, http.MethodPatch, "/products/orders/state/" + order, "/products/orders/state/:id", j{"transition": "Ready"}, "authorization"},
		} {
			told := len(s.entries(0))
			c.who.do(c.method, c.path, c.body).refuses(http.StatusForbidden, c.field)
			require.Equal(t, []entry{{c.who.user.ID.String(), "access.refused", "route", c.method + " " + c.route, "{}", "192.0.2.1"}}, s.entries(told))
		}
		s.unbroken()
	})
}

// TestAudit_notDone tells of nothing that did not come about: what was refused, and what was rolled back after its line was ready.
func TestAudit_notDone(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		admin, user := s.as(domain.RoleAdmin), s.as(domain.RoleUser)
		item := s.product("iPhone 12", "Electronics", 10)
		open, final := s.order(item, 9, domain.OrderPending), s.order(item, 1, domain.OrderCompleted)
		admin.patch("/products/quantity/"+item, j{"quantity": 3}).wants(http.StatusOK)
		order := j{"itemId": item, "client": "John", "description": "", "quantity": 99}
		product := j{"name": "x", "category": "Nowhere", "quantity": 1}
		for _, c := range []struct {
			who    *client
			call   string
			body   any
			status int
		}{
			{s.anonymous(), "POST /auth/login", j{"email": "x", "password": "y"}, http.StatusBadRequest},
			{s.anonymous(), "POST /auth/register", j{"username": "tolya", "password": goodPassword}, http.StatusBadRequest},
			{user, "POST /auth/refresh", j{}, http.StatusBadRequest},
			{s.anonymous(), "POST /auth/reset", j{"password": goodPassword}, http.StatusBadRequest},
			{s.anonymous(), "POST /auth/refresh", j{"refreshToken": "x"}, http.StatusUnauthorized},
			{s.anonymous(), "POST /auth/forgot", j{"email": "x"}, http.StatusBadRequest},
			{s.anonymous(), "POST /auth/logout", nil, http.StatusUnauthorized},
			{user, "PUT /auth/password", j{"currentPassword": goodPassword, "newPassword": "short"}, http.StatusBadRequest},
			{admin, "POST /auth/invite", invitee(user.user.Email, domain.RoleUser), http.StatusConflict},
			{admin, "POST /auth/invite", `{`, http.StatusBadRequest},
			{admin, "PUT /users/" + user.user.ID.String(), invitee(admin.user.Email, domain.RoleUser), http.StatusConflict},
			{admin, "DELETE /users/" + unknownID, nil, http.StatusNotFound},
			{admin, "POST /products/categories", j{"name": "ELECTRONICS"}, http.StatusConflict},
			{admin, "DELETE /products/categories/Electronics", nil, http.StatusConflict},
			{admin, "DELETE /products/categories/Nowhere", nil, http.StatusNotFound},
			{admin, "POST /products", product, http.StatusBadRequest},
			{admin, "PUT /products/" + item, product, http.StatusBadRequest},
			{admin, "PUT /products/" + unknownID, j{"name": "x", "category": "Electronics"}, http.StatusNotFound},
			{admin, "PATCH /products/quantity/" + item, j{"delta": -4}, http.StatusConflict},
			{admin, "DELETE /products/" + item, nil, http.StatusConflict},
			{admin, "DELETE /products/" + unknownID, nil, http.StatusNotFound},
			{admin, "POST /products/orders", order, http.StatusConflict},
			{admin, "PUT /products/orders/" + final, order, http.StatusConflict},
			{admin, "PATCH /products/orders/state/" + final, j{"transition": "Ready"}, http.StatusConflict},
			{admin, "PATCH /products/orders/state/" + open, j{"transition": "Ready"}, http.StatusConflict}, // found out by the last step
			{admin, "DELETE /products/orders/" + unknownID, nil, http.StatusNotFound},
			{admin, "GET /products/" + item, nil, http.StatusOK},
			{admin, "GET /audit", nil, http.StatusOK},
			{admin, "GET /nowhere", nil, http.StatusNotFound},
		} {
			s.run(strings.ReplaceAll(c.call, "/", "_"), func(t *testing.T) {
				before, told := s.dump(), len(s.entries(0))
				method, path, _ := strings.Cut(c.call, " ")
				c.who.do(method, path, c.body).wants(c.status)
				after := s.dump()
				delete(before, "login_failures")
				delete(after, "login_failures")
				require.Equal(t, before, after)
				require.Empty(t, s.entries(told))
			})
		}
		// The last thing that each of them writes fails.
		for _, d := range deeds {
			table := map[string]string{
				"POST /auth/login": "refresh_tokens", "POST /auth/register": "refresh_tokens", "POST /auth/refresh": "refresh_tokens", "POST /auth/invite": "outbox",
				"POST /products": "movements", "PUT /products/:id": "movements", "PATCH /products/quantity/:id": "movements", "POST /products/orders": "order_steps",
				"PATCH /products/orders/state/:id": "order_steps",
			}[d.route]
			if table == "" || d.name == "same" {
				continue
			}
			s.run("rolled_back_"+strings.ReplaceAll(d.route, "/", "_"), func(t *testing.T) {
				call, _ := d.ready(s)
				told, mend := len(s.entries(0)), s.sabotage(table)
				call().failed()
				mend()
				require.Empty(t, s.entries(told))
			})
		}
		s.unbroken()
	})
}

// TestAudit_logins tells of wrong passwords and of tokens that were shown twice.
func TestAudit_logins(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		user, stranger := s.newUser(domain.RoleUser), s.at(caller)
		id, draft, gone := user.user.ID.String(), s.draft(domain.RoleUser), s.newUser(domain.RoleUser).user
		s.as(domain.RoleAdmin).delete("/users/" + gone.ID.String()).wants(http.StatusNoContent)
		check := func(want ...entry) func() {
			told := len(s.entries(0))
			return func() { require.Equal(s.t, append([]entry{}, want...), s.entries(told)) }
		}
		for name, email := range map[string]string{
			"wrong_password": user.user.Email, "other_case": strings.ToUpper(user.user.Email), "unknown": "nobody@example.com", "draft": draft.Email, "deleted": gone.Email,
		} {
			s.run(name, func(*testing.T) {
				done := check(entry{"", "session.refused", "account", strings.ToLower(email), "{}", callerAddress})
				stranger.post("/auth/login", j{"email": email, "password": "Wr0ng" + goodPassword}).refuses(http.StatusUnauthorized, "credentials")
				done()
			})
		}
		s.run("token_shown_twice", func(*testing.T) {
			user.addr = caller
			user.post("/auth/refresh", j{"refreshToken": user.refresh}).wants(http.StatusOK)
			done := check(entry{id, "session.token-reused", "user", id, "{}", callerAddress})
			user.post("/auth/refresh", j{"refreshToken": user.refresh}).refuses(http.StatusUnauthorized, "refreshToken")
			done()
			done = check(entry{"", "token.refused", "user", id, "{}", callerAddress}) // the session has ended
			user.post("/auth/refresh", j{"refreshToken": user.refresh}).refuses(http.StatusUnauthorized, "refreshToken")
			done()
		})
		s.run("token_shown_twice_at_once", func(*testing.T) {
			user := s.newUser(domain.RoleUser)
			told := len(s.entries(0))
			counts := tally(atOnce(10, func(int) answer { return user.post("/auth/refresh", j{"refreshToken": user.refresh}) }))
			require.Equal(s.t, map[int]int{http.StatusOK: 1, http.StatusUnauthorized: 9}, counts)
			var actions []string
			for _, e := range s.entries(told) {
				actions = append(actions, e.action)
			}
			require.Equal(s.t, append([]string{"session.refreshed", "session.token-reused"}, slices.Repeat([]string{"token.refused"}, 8)...), actions)
		})
		s.unbroken()
	})
}

// TestAudit_secrets tells of every secret that was tried and opened nothing, without telling which it was.
func TestAudit_secrets(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		user, other, stranger := s.newUser(domain.RoleUser), s.newUser(domain.RoleUser), s.at(caller)
		id := user.user.ID.String()
		user.addr = caller
		invited, reset := s.invite("tolya@example.com"), s.resetToken(user.user)
		register := func(c *client, secret, pass string) answer {
			return c.post("/auth/register", j{"token": secret, "username": "tolya", "password": pass})
		}
		change := func(current, next string) answer {
			return user.put("/auth/password", j{"currentPassword": current, "newPassword": next})
		}
		const wrong, next = "Wr0ng" + goodPassword, "correct horse battery"
		refused := func(kind string) entry { return entry{"", "token.refused", "token", kind, "{}", callerAddress} }
		for _, c := range []struct {
			name   string
			call   func() answer
			status int
			want   entry
		}{
			{"invitation", func() answer { return register(stranger, "x", goodPassword) }, http.StatusBadRequest, refused("Invitation")},
			{"reset for an invitation", func() answer { return register(stranger, reset, "x") }, http.StatusBadRequest, refused("Invitation")},
			{"reset", func() answer { return stranger.post("/auth/reset", j{"token": "x", "password": next}) }, http.StatusBadRequest, refused("PasswordReset")},
			{"invitation for a reset", func() answer { return stranger.post("/auth/reset", j{"token": invited, "password": "x"}) }, http.StatusBadRequest, refused("PasswordReset")},
			{"refresh token", func() answer { return user.post("/auth/refresh", j{"refreshToken": "x"}) }, http.StatusUnauthorized, entry{"", "token.refused", "user", id, "{}", callerAddress}},
			{"another's refresh token", func() answer { return user.post("/auth/refresh", j{"refreshToken": other.refresh}) }, http.StatusUnauthorized, entry{"", "token.refused", "user", id, "{}", callerAddress}},
			{"access token", func() answer {
				return stranger.do(http.MethodPost, "/auth/refresh", j{"refreshToken": user.refresh}, "Authorization", "Bearer x")
			}, http.StatusUnauthorized, refused("Refresh")},
			{"password", func() answer { return change(wrong, next) }, http.StatusBadRequest, entry{id, "password.refused", "user", id, "{}", callerAddress}},
			{"password, and the next too short", func() answer { return change(wrong, "x") }, http.StatusBadRequest, entry{id, "password.refused", "user", id, "{}", callerAddress}},
		} {
			s.run(c.name, func(*testing.T) {
				told := len(s.entries(0))
				c.call().wants(c.status)
				require.Equal(s.t, []entry{c.want}, s.entries(told))
			})
		}
		s.run("access token of a user who was never here", func(*testing.T) {
			ghost := uuid.New()
			access, err := s.tokens.Issue(token.Claims{UserID: ghost, SessionID: uuid.New()})
			require.NoError(s.t, err)
			told := len(s.entries(0))
			(&client{s: s, access: access, refresh: "x", addr: caller}).refreshed().refuses(http.StatusUnauthorized, "refreshToken")
			require.Equal(s.t, []entry{{"", "token.refused", "user", ghost.String(), "{}", callerAddress}}, s.entries(told))
		})
		// Of those who use up one token at the same moment, all but one are told of.
		for name, call := range map[string]func(i int) answer{
			"Invitation": func(i int) answer {
				return stranger.post("/auth/register", j{"token": invited, "username": fmt.Sprintf("tolya%d", i), "password": goodPassword})
			},
			"PasswordReset": func(int) answer { return stranger.post("/auth/reset", j{"token": reset, "password": next}) },
		} {
			s.run(name+" at once", func(*testing.T) {
				told, losers := len(s.entries(0)), 0
				atOnce(6, func(i int) answer { return patiently(func() answer { return call(i) }) })
				for _, e := range s.entries(told) {
					if e.action == "token.refused" {
						require.Equal(s.t, refused(name), e)
						losers++
					}
				}
				require.Equal(s.t, 5, losers)
			})
		}
		s.unbroken()
	})
}

// TestAudit_throttled tells of an address that asks too often once a minute.
func TestAudit_throttled(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		start := s.now()
		s.stop(start)
		try := func(addr string, want ...string) {
			s.t.Helper()
			told := len(s.entries(0))
			for range 5 {
				s.at(addr).post("/auth/reset", j{}).wants(http.StatusTooManyRequests)
			}
			got := []string{}
			for _, e := range s.entries(told) {
				require.Equal(s.t, entry{"", "access.throttled", "route", "POST /auth/reset", "{}", e.address}, e)
				got = append(got, e.address)
			}
			require.Equal(s.t, append([]string{}, want...), got)
		}
		spend := func(addr string, tries int) {
			s.t.Helper()
			for range tries {
				s.at(addr).post("/auth/reset", j{}).wants(http.StatusBadRequest)
			}
		}
		const other, network = "198.51.100.1:1", "[2001:db8::1]:1"
		for _, addr := range []string{caller, other, network} {
			spend(addr, 3)
		}
		try(caller, callerAddress)
		try(caller)
		try("203.0.113.7:1") // another port of it
		try(other, "198.51.100.1")
		try(network, "2001:db8::/64")
		try("[2001:db8::2]:1")
		s.stop(start.Add(59 * time.Second))
		spend(caller, 2)
		try(caller)
		s.stop(start.Add(61 * time.Second))
		spend(caller, 1)
		try(caller, callerAddress)
		try(caller)
		s.unbroken()
	}, limited(3))
}

// TestAudit_wrongPasswordsThrottled: those who try one account's passwords are told of by the same rule.
func TestAudit_wrongPasswordsThrottled(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.stop(s.now())
		email := s.newUser(domain.RoleUser).user.Email
		counts, want := map[int]int{}, map[entry]int{}
		for range 30 {
			counts[s.at(caller).post("/auth/login", j{"email": email, "password": "wrong"}).Status]++
		}
		require.Len(s.t, counts, 2)
		for _, e := range s.entries(0) {
			want[e]++
		}
		require.Equal(s.t, map[entry]int{
			{"", "session.refused", "account", email, "{}", callerAddress}:             counts[http.StatusUnauthorized],
			{"", "access.throttled", "route", "POST /auth/login", "{}", callerAddress}: 1,
		}, want)
	})
}

// TestAudit_list reads the log over HTTP.
func TestAudit_list(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		start := time.Date(2031, 2, 3, 4, 5, 6, 789e6, time.UTC)
		s.stop(start)
		admin := s.as(domain.RoleAdmin)
		admin.addr = caller
		category := admin.post("/products/categories", j{"name": "Electronics"}).wants(http.StatusCreated).text("id")
		s.stop(start.Add(time.Second))
		product := admin.post("/products", j{"name": "iPhone 12", "category": "Electronics", "quantity": 10}).wants(http.StatusCreated).text("id")
		s.stop(start.Add(2 * time.Second))
		s.anonymous().post("/auth/login", j{"email": "Nobody@example.com", "password": "x"}).wants(http.StatusUnauthorized)
		s.stop(start.Add(3 * time.Second))
		user := s.as(domain.RoleUser)
		user.patch("/products/quantity/"+product, j{"delta": -1}).wants(http.StatusOK)
		user.delete("/products/" + product).wants(http.StatusForbidden)
		admin.delete("/users/" + user.user.ID.String()).wants(http.StatusNoContent)

		line := func(seq int, user any, action, kind, name, address, details, at string) j {
			return j{
				"seq": float64(seq), "user": user, "action": action, "target": j{"kind": kind, "name": name}, "address": address,
				"details": parseJSON(s.t, details), "createdAt": "2031-02-03T04:05:" + at + "Z",
			}
		}
		uid := user.user.ID.String()
		lines := []any{ // the newest first; whoever is gone keeps the name
			line(6, who(admin), "user.deleted", "user", uid, callerAddress, `{"email": "`+user.user.Email+`", "role": "User"}`, "09.789"),
			line(5, who(user), "access.refused", "route", "DELETE /products/:id", "192.0.2.1", `{}`, "09.789"),
			line(4, who(user), "product.adjusted", "product", product, "192.0.2.1", `{"delta": -1}`, "09.789"),
			line(3, nil, "session.refused", "account", "nobody@example.com", "192.0.2.1", `{}`, "08.789"),
			line(2, who(admin), "product.created", "product", product, callerAddress, `{"name": "iPhone 12", "quantity": 10}`, "07.789"),
			line(1, who(admin), "category.created", "category", category, callerAddress, `{"name": "Electronics"}`, "06.789"),
		}
		list := func(query string, want ...int) j {
			s.t.Helper()
			body := admin.get("/audit" + query).wants(http.StatusOK).json()
			require.Equal(s.t, body["page"].(float64)*body["pageSize"].(float64) < body["totalItems"].(float64), body["nextCursor"] != nil, query)
			delete(body, "nextCursor")
			require.ElementsMatch(s.t, []string{"audit", "page", "pageSize", "totalItems", "totalPages"}, slices.Collect(maps.Keys(body)))
			expected := []any{}
			for _, seq := range want {
				expected = append(expected, lines[len(lines)-seq])
			}
			for _, l := range body["audit"].([]any) {
				require.Regexp(s.t, `^[0-9a-f-]{36}$`, l.(j)["id"])
				delete(l.(j), "id")
				for key, value := range l.(j)["details"].(j) { // written as they are, not as floats
					if n, ok := value.(float64); ok {
						l.(j)["details"].(j)[key] = json.Number(fmt.Sprint(n))
					}
				}
			}
			require.Equal(s.t, expected, body["audit"], query)
			return body
		}
		all := []int{6, 5, 4, 3, 2, 1}
		list("", all...)
		list("?sort=-createdAt", all...)
		list("?sort=createdAt", 1, 2, 3, 4, 5, 6)
		for _, c := range []struct {
			query          string
			page, size, of float64
			want           []int
			pages          float64
		}{
			{"?pageSize=4", 1, 4, 6, []int{6, 5, 4, 3}, 2}, {"?pageSize=4&page=2", 2, 4, 6, []int{2, 1}, 2}, {"?pageSize=4&page=3", 3, 4, 6, nil, 2},
			{"?pageSize=1&page=2&sort=createdAt", 2, 1, 6, []int{2}, 6}, {"?page=2147483647&pageSize=100", 2147483647, 100, 6, nil, 1},
			{"?user=" + uid + "&pageSize=1", 1, 1, 2, []int{5}, 2},
		} {
			body := list(c.query, c.want...)
			delete(body, "audit")
			require.Equal(s.t, j{"page": c.page, "pageSize": c.size, "totalItems": c.of, "totalPages": c.pages}, body, c.query)
		}
		q := url.QueryEscape
		for query, want := range map[string][]int{
			"?user=" + uid: {5, 4}, "?user=" + strings.ToUpper(uid): {5, 4}, "?user=" + admin.user.ID.String(): {6, 2, 1}, "?user=" + unknownID: nil,
			"?action=product.created": {2}, "?action=PRODUCT.created": nil, "?action=product": nil, "?action=%25": nil, "?action=product_created": nil,
			"?target=" + product: {4, 2}, "?target=nobody@example.com": {3}, "?target=" + q("DELETE /products/:id"): {5}, "?target=x' OR '1'='1": nil, "?target=" + uid: {6},
			"?from=2031-02-03T04:05:08.789Z": {6, 5, 4, 3}, "?from=2031-02-03T04:05:08.790Z": {6, 5, 4}, "?from=2031-02-03T04:05:08Z": {6, 5, 4, 3}, "?from=2031-02-03T04:05:08.7891Z": {6, 5, 4},
			"?to=2031-02-03T04:05:08.789Z": {2, 1}, "?to=2031-02-03T04:05:08.790Z": {3, 2, 1}, "?to=2031-02-03T04:05:09Z": {3, 2, 1},
			"?from=" + q("2031-02-03T06:05:08.789+02:00") + "&to=" + q("2031-02-03T01:05:09.789-03:00"): {3},
			"?from=2032-01-01T00:00:00Z": nil, "?to=2000-01-01T00:00:00Z": nil, "?from=2031-02-03T04:05:09Z&to=2031-02-03T04:05:07Z": nil,
			"?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59.999Z": all, "?from=2000-02-29T00:00:00Z": all,
			"?user=" + uid + "&action=product.adjusted&target=" + product + "&from=2031-02-03T04:05:09Z&to=2031-02-03T04:05:10Z": {4},
			"?user=" + uid + "&action=product.created": nil, "?user=": all, "?action=&target=&from=&to=": all, "?nonsense=x": all,
		} {
			list(strings.ReplaceAll(query, " ", "%20"), want...)
		}

		for query, fields := range map[string][]string{
			"?user=x": {"user"}, "?user=" + strings.ReplaceAll(uid, "-", ""): {"user"}, "?user={" + uid + "}": {"user"}, "?user=" + uid + "&user=" + uid: {"user"},
			"?from=yesterday": {"from"}, "?from=2031-02-03": {"from"}, "?from=2031-02-30T00:00:00Z": {"from"}, "?from=2031-02-03T04:05:06": {"from"}, "?to=1": {"to"}, "?to=2031-02-03T24:00:00Z": {"to"},
			"?to=2031-02-03T06:05:08+02:00": {"to"}, "?from=2000-01-01T00:00:00Z&from=2000-01-01T00:00:00Z": {"from"}, "?action=a&action=b": {"action"}, "?target=%00": {"target"},
			"?action=%ff": {"action"}, "?target=" + strings.Repeat("x", 1000): {"target"}, "?sort=action": {"sort"}, "?sort=seq": {"sort"}, "?page=0": {"page"}, "?pageSize=101": {"pageSize"},
			"?user=x&from=x&to=x&action=%0a&target=%0a&page=x&pageSize=x&sort=x": {"user", "from", "to", "action", "target", "page", "pageSize", "sort"},
			"?%zz": {"request"},
		} {
			admin.get("/audit"+query).refuses(http.StatusBadRequest, fields...)
		}
		list("", all...) // nothing of that is told of
		s.anonymous().get("/audit").refuses(http.StatusUnauthorized, "authorization")
		for _, role := range domain.Roles[1:] {
			if role != domain.RoleUser {
				s.as(role).get("/audit?user=x").refuses(http.StatusForbidden, "authorization")
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			a := admin.do(method, "/audit", nil)
			a.refuses(http.StatusMethodNotAllowed, "request")
			require.Equal(s.t, "GET, HEAD", a.Header.Get("Allow"))
		}
	})
}

// column gives what a query finds, which is one text a row.
func (s *server) column(query string) []string {
	s.t.Helper()
	rows, err := s.db().QueryContext(s.t.Context(), query)
	require.NoError(s.t, err)
	defer func() { _ = rows.Close() }()
	var texts []string
	for rows.Next() {
		var text string
		require.NoError(s.t, rows.Scan(&text))
		texts = append(texts, text)
	}
	require.NoError(s.t, rows.Err())
	return texts
}

// TestAudit_noSecrets calls every route with what it needs and looks for all that is secret in the log.
func TestAudit_noSecrets(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		secrets := map[string]bool{goodPassword: true, "correct horse battery": true, "Wr0ng" + goodPassword: true, "eyJ": true, "$argon2": true}
		text := regexp.MustCompile(`"(?i:accessToken|refreshToken|token|password|currentPassword|newPassword)":"([^"]+)"`)
		note := func(texts ...string) {
			for _, t := range texts {
				for _, found := range text.FindAllStringSubmatch(t, -1) {
					secrets[found[1]] = true
				}
			}
		}
		for _, d := range deeds {
			call, _ := d.ready(s)
			note(call().Body)
			note(call().Body) // most are refused now
		}
		user := s.as(domain.RoleUser)
		s.at(caller).do(http.MethodPost, "/auth/login", j{"email": user.user.Email, "password": "Wr0ng" + goodPassword}).wants(http.StatusUnauthorized)
		user.put("/auth/password", j{"currentPassword": "Wr0ng" + goodPassword, "newPassword": goodPassword}).wants(http.StatusBadRequest)
		for _, c := range s.users {
			secrets[c.access], secrets[c.refresh] = true, true
		}
		for _, e := range s.events() {
			note(string(e.Data))
		}
		for _, query := range []string{"SELECT hash FROM refresh_tokens", "SELECT token_hash FROM one_time_tokens", "SELECT password_hash FROM users WHERE password_hash IS NOT NULL"} {
			for _, hash := range s.column(query) {
				secrets[hash] = true
			}
		}
		require.Greater(t, len(secrets), 50)
		log := strings.Join(s.rows("SELECT * FROM audit_log"), "\n") + s.as(domain.RoleAdmin).get("/audit?pageSize=100").wants(http.StatusOK).Body
		for secret := range secrets {
			require.NotContains(t, log, secret)
		}
		s.unbroken()
	})
}

// try runs a statement on the database, beside the server.
func (s *server) try(statement string) error {
	s.t.Helper()
	driver, source := "pgx", s.url
	if path, embedded := strings.CutPrefix(s.url, "sqlite://"); embedded {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(s.t, err)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(s.t.Context(), statement)
	return err
}

// TestAppendOnly has the database itself refuse to change what happened.
func TestAppendOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.order(s.product("iPhone 12", "Electronics", 10), 3, domain.OrderCompleted)
		for table, set := range map[string]string{"audit_log": "details = '{}'", "movements": "delta = delta + 1", "order_steps": "to_state = to_state"} {
			statements := []string{"UPDATE " + table + " SET " + set, "DELETE FROM " + table, "DELETE FROM " + table + " WHERE created_at > '1970-01-01'"}
			if !s.store.Embedded() {
				statements = append(statements, "TRUNCATE "+table, "TRUNCATE "+table+" CASCADE", "TRUNCATE users CASCADE", "WITH x AS (DELETE FROM "+table+" RETURNING 1) SELECT * FROM x")
			}
			before := s.rows("SELECT * FROM " + table)
			require.NotEmpty(t, before)
			for _, statement := range statements {
				require.ErrorContains(t, s.try(statement), "is append-only", statement)
			}
			require.Equal(t, before, s.rows("SELECT * FROM "+table))
		}
	})
}

// forge removes what keeps the log from being changed, as whoever owns the database can, and gives back how to undo what is done then.
func (s *server) forge() (undo func()) {
	s.t.Helper()
	if s.store.Embedded() {
		s.exec("DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete")
	} else {
		s.exec("DROP TRIGGER audit_log_append_only ON audit_log")
	}
	s.exec("CREATE TABLE kept_log AS SELECT * FROM audit_log")
	s.exec("CREATE TABLE kept_head AS SELECT * FROM audit_head")
	return func() {
		s.exec("DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept_log; DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM kept_head")
	}
}

// rehash writes a line's hash anew, as whoever knows how it is made can.
func (s *server) rehash(seq int64) {
	s.t.Helper()
	page := domain.Page{Number: 1, Size: 100, Sort: domain.Sort{Field: "createdAt"}}
	lines, _, err := s.store.Audit.List(s.t.Context(), domain.AuditFilter{Page: page})
	require.NoError(s.t, err)
	before, line := lines[seq-2].Hash, lines[seq-1]
	line.Follow(seq, before)
	s.exec(fmt.Sprintf("UPDATE audit_log SET hash = '%s' WHERE seq = %d", line.Hash, seq))
}

// TestAudit_forged finds what was done to the log past the database's own guard.
func TestAudit_forged(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.order(s.product("iPhone 12", "Electronics", 10), 3, domain.OrderCompleted) // 5 lines
		s.anonymous().post("/auth/login", j{"email": "nobody@example.com", "password": "x"}).wants(http.StatusUnauthorized)
		s.unbroken()
		require.Len(s.t, s.entries(0), 6)
		undo := s.forge()
		insert := "INSERT INTO audit_log SELECT %d, '" + unknownID + "', created_at, user_id, action, target_kind, target, address, details, hash FROM audit_log WHERE seq = 6"
		for _, c := range []struct {
			name, statement string
			rehash          int64
			fault           string
		}{
			{"id", "UPDATE audit_log SET id = '" + unknownID + "' WHERE seq = 3", 0, "line 3 was changed"},
			{"time", "UPDATE audit_log SET created_at = '2020-01-01 00:00:00+00:00' WHERE seq = 3", 0, "line 3 was changed"},
			{"nobody", "UPDATE audit_log SET user_id = NULL WHERE seq = 3", 0, "line 3 was changed"},
			{"somebody", "UPDATE audit_log SET user_id = (SELECT id FROM users LIMIT 1) WHERE seq = 6", 0, "line 6 was changed"},
			{"action", "UPDATE audit_log SET action = 'order.deleted' WHERE seq = 3", 0, "line 3 was changed"},
			{"kind", "UPDATE audit_log SET target_kind = 'user' WHERE seq = 3", 0, "line 3 was changed"},
			{"target", "UPDATE audit_log SET target = 'x' WHERE seq = 3", 0, "line 3 was changed"},
			{"address", "UPDATE audit_log SET address = '127.0.0.1' WHERE seq = 3", 0, "line 3 was changed"},
			{"details", "UPDATE audit_log SET details = '{}' WHERE seq = 2", 0, "line 2 was changed"},
			{"hash", "UPDATE audit_log SET hash = 'x' WHERE seq = 3", 0, "line 3 was changed"},
			{"first", "UPDATE audit_log SET target = 'x' WHERE seq = 1", 0, "line 1 was changed"},
			{"last", "UPDATE audit_log SET target = 'x' WHERE seq = 6", 0, "line 6 was changed"},
			{"border_of_fields", "UPDATE audit_log SET target = 'xcreated', target_kind = '', action = 'x' WHERE seq = 1", 0, "line 1 was changed"},
			{"all", "UPDATE audit_log SET address = 'x'", 0, "line 1 was changed"},
			{"rehashed", "UPDATE audit_log SET target = 'x' WHERE seq = 3", 3, "line 4 was changed"},
			{"last_rehashed", "UPDATE audit_log SET target = 'x' WHERE seq = 6", 6, "the end of the log does not fit its last line"},
			{"without_middle", "DELETE FROM audit_log WHERE seq = 3", 0, "line 3 is missing"},
			{"without_first", "DELETE FROM audit_log WHERE seq = 1", 0, "line 1 is missing"},
			{"without_last", "DELETE FROM audit_log WHERE seq = 6", 0, "the lines after 5 are missing; there should be 6"},
			{"without_end", "DELETE FROM audit_log WHERE seq > 2", 0, "the lines after 2 are missing; there should be 6"},
			{"without_all", "DELETE FROM audit_log", 0, "the lines after 0 are missing; there should be 6"},
			{"closed_up", "DELETE FROM audit_log WHERE seq = 5; UPDATE audit_log SET seq = 5 WHERE seq = 6; UPDATE audit_head SET seq = 5", 0, "line 5 was changed"},
			{"closed_up_rehashed", "DELETE FROM audit_log WHERE seq = 5; UPDATE audit_log SET seq = 5 WHERE seq = 6; UPDATE audit_head SET seq = 5", 5, "the end of the log does not fit its last line"},
			{"exchanged", "UPDATE audit_log SET seq = 100 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3; UPDATE audit_log SET seq = 3 WHERE seq = 100", 0, "line 2 was changed"},
			{"one_more", fmt.Sprintf(insert, 7), 0, "1 line(s) stand outside the chain"},
			{"one_more_and_end", fmt.Sprintf(insert, 7) + "; UPDATE audit_head SET seq = 7", 0, "line 7 was changed"},
			{"one_before", fmt.Sprintf(insert, 0), 0, "1 line(s) stand outside the chain"},
			{"end_before", "UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit_log WHERE seq = 5)", 0, "1 line(s) stand outside the chain"},
			{"end_behind", "UPDATE audit_head SET seq = 7", 0, "the lines after 6 are missing; there should be 7"},
			{"end_changed", "UPDATE audit_head SET hash = 'x'", 0, "the end of the log does not fit its last line"},
			{"no_end", "DELETE FROM audit_head", 0, "its end is not known"},
		} {
			s.run(c.name, func(t *testing.T) {
				s.exec(c.statement)
				if c.rehash != 0 {
					s.rehash(c.rehash)
				}
				_, fault, err := s.store.Audit.Verify(t.Context())
				require.NoError(t, err)
				undo()
				require.Equal(t, c.fault, fault)
				s.unbroken()
			})
		}
	})
}

// TestAudit_long looks at a log that is read in several pieces.
func TestAudit_long(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		const lines = 2001
		for _, n := range []int{1, 999, 1001} {
			require.NoError(t, s.store.InTx(t.Context(), func(tx *repository.Store) error {
				for i := range n {
					tx.Audit.Add(domain.NewAuditEntry(domain.Stranger("x"), "test", domain.AuditTarget{Kind: "line", Name: fmt.Sprint(i)}, nil, s.now().UTC().Truncate(time.Millisecond)))
				}
				return nil
			}))
			s.unbroken()
		}
		require.Len(t, s.entries(0), lines)
		undo := s.forge()
		for _, seq := range []int{1, 1000, 1001, 2000, 2001} {
			for statement, fault := range map[string]string{"UPDATE audit_log SET target = 'x' WHERE seq = %d": "line %d was changed", "DELETE FROM audit_log WHERE seq = %d": "line %d is missing"} {
				if seq == lines && strings.HasPrefix(statement, "DELETE") {
					fault = "the lines after 2000 are missing; there should be %d"
				}
				s.exec(fmt.Sprintf(statement, seq))
				_, found, err := s.store.Audit.Verify(t.Context())
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf(fault, seq), found)
				undo()
			}
		}
	})
}

// TestAudit_fiftyAtOnce has fifty write at the same moment, and the log be checked meanwhile.
func TestAudit_fiftyAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, item := s.as(domain.RoleAdmin), s.product("iPhone 12", "Electronics", 1000)
		user := s.as(domain.RoleReadonlyUser)
		told, done, watched := len(s.entries(0)), make(chan struct{}), make(chan string, 1)
		go func() {
			for {
				_, fault, err := s.store.Audit.Verify(context.WithoutCancel(t.Context()))
				select {
				case <-done:
					watched <- fault
					return
				default:
				}
				if err != nil || fault != "" {
					watched <- fmt.Sprint(fault, err)
					return
				}
			}
		}()
		want := map[string]int{}
		answers := atOnce(50, func(i int) answer {
			switch i % 5 {
			case 0:
				return admin.post("/products/categories", j{"name": fmt.Sprint("category ", i)})
			case 1:
				return admin.patch("/products/quantity/"+item, j{"delta": 1})
			case 2:
				return admin.post("/products/orders", j{"itemId": item, "client": "x", "description": "", "quantity": 1})
			case 3:
				return user.delete("/products/" + item)
			}
			return admin.post("/products/categories", j{"name": "Electronics"})
		})
		close(done)
		require.Equal(t, map[int]int{http.StatusOK: 10, http.StatusCreated: 20, http.StatusForbidden: 10, http.StatusConflict: 10}, tally(answers))
		require.Empty(t, <-watched)
		for _, e := range s.entries(told) {
			want[e.action]++
		}
		require.Equal(t, map[string]int{"category.created": 10, "product.adjusted": 10, "order.placed": 10, "access.refused": 10}, want)
		s.unbroken()
	})
}
