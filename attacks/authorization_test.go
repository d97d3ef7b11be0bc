package attacks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// scene is what a case tries to change.
type scene struct {
	category, product       string
	draft, pending, ready   string // orders
	admin, manager, user    *client
	readonly                *client
	paths                   []string // where all that can be read
	unused, unusedOfNothing string   // a product and a category that nothing hinders to delete
}

func (s *server) scene(t *testing.T) scene {
	t.Helper()
	w := scene{category: s.category(t), unusedOfNothing: s.category(t), unused: s.product(t, 3)}
	w.product = s.admin.post(t, "/products", j{"name": "Scenery", "category": w.category, "quantity": 100, "description": "x", "image": pictureText(t)}).wants(t, http.StatusCreated).text(t, "id")
	w.draft, w.pending, w.ready = s.order(t, w.product, 1, "Draft"), s.order(t, w.product, 2, "Pending"), s.order(t, w.product, 3, "Ready")
	w.admin, w.manager, w.user, w.readonly = s.newUser(t, admin), s.newUser(t, manager), s.newUser(t, user), s.newUser(t, readonlyUser)
	for _, c := range []*client{w.admin, w.manager, w.user, w.readonly} {
		w.paths = append(w.paths, "/users/"+c.id)
	}
	for _, product := range []string{w.product, w.unused} {
		w.paths = append(w.paths, "/products/"+product, "/products/"+product+"/movements")
	}
	for _, order := range []string{w.draft, w.pending, w.ready} {
		w.paths = append(w.paths, "/products/orders/"+order, "/products/orders/"+order+"/history")
	}
	return w
}

// attackAuthorization: what a role may not, it cannot; nor can anybody reach what is not theirs by the id of it.
func attackAuthorization(t *testing.T, s *server) {
	w := s.scene(t)
	everyone := []string{"", readonlyUser, user, manager, admin}
	for _, c := range []struct {
		name, method, path string
		body               any
		lowest             string // the lowest role that may
	}{
		{"invite", http.MethodPost, "/auth/invite", invitee("evil@example.com", readonlyUser), manager},
		{"change a user", http.MethodPut, "/users/" + w.readonly.id, invitee("evil@example.com", readonlyUser), user},
		{"delete a user", http.MethodDelete, "/users/" + w.readonly.id, nil, user},
		{"create a category", http.MethodPost, "/products/categories", j{"name": "evil"}, manager},
		{"delete a category", http.MethodDelete, "/products/categories/" + w.unusedOfNothing, nil, manager},
		{"create a product", http.MethodPost, "/products", j{"name": "evil", "category": w.category, "quantity": 1}, user},
		{"change a product", http.MethodPut, "/products/" + w.product, j{"name": "evil", "category": w.category, "quantity": 1}, user},
		{"take a picture away", http.MethodPut, "/products/" + w.product, j{"name": "Scenery", "category": w.category, "image": nil}, user},
		{"set a quantity", http.MethodPatch, "/products/quantity/" + w.product, j{"quantity": 1}, user},
		{"change a quantity", http.MethodPatch, "/products/quantity/" + w.product, j{"delta": -1}, user},
		{"delete a product", http.MethodDelete, "/products/" + w.unused, nil, manager},
		{"place an order", http.MethodPost, "/products/orders", j{"itemId": w.product, "client": "evil", "quantity": 1}, user},
		{"read an order", http.MethodGet, "/products/orders/" + w.pending, nil, user},
		{"read an order's history", http.MethodGet, "/products/orders/" + w.pending + "/history", nil, user},
		{"edit an order", http.MethodPut, "/products/orders/" + w.pending, j{"client": "evil", "quantity": 1}, manager},
		{"hand an order in", http.MethodPatch, "/products/orders/state/" + w.draft, j{"transition": "Pending"}, user},
		{"cancel a draft", http.MethodPatch, "/products/orders/state/" + w.draft, j{"transition": "Cancelled"}, user},
		{"reject an order", http.MethodPatch, "/products/orders/state/" + w.pending, j{"transition": "Cancelled"}, user},
		{"approve an order", http.MethodPatch, "/products/orders/state/" + w.pending, j{"transition": "Ready"}, manager},
		{"complete an order", http.MethodPatch, "/products/orders/state/" + w.ready, j{"transition": "Completed"}, manager},
		{"give an approved order back", http.MethodPatch, "/products/orders/state/" + w.ready, j{"transition": "Cancelled"}, manager},
		{"delete an order", http.MethodDelete, "/products/orders/" + w.pending, nil, admin},
		{"delete an approved order", http.MethodDelete, "/products/orders/" + w.ready, nil, admin},
		{"read the audit log", http.MethodGet, "/audit", nil, admin},
		{"read users", http.MethodGet, "/users", nil, readonlyUser}, {"read a user", http.MethodGet, "/users/" + w.readonly.id, nil, readonlyUser}, {"read oneself", http.MethodGet, "/users/me", nil, readonlyUser},
		{"read categories", http.MethodGet, "/products/categories", nil, readonlyUser}, {"read products", http.MethodGet, "/products", nil, readonlyUser}, {"read a product", http.MethodGet, "/products/" + w.product, nil, readonlyUser},
		{"read a ledger", http.MethodGet, "/products/" + w.product + "/movements", nil, readonlyUser}, {"read orders", http.MethodGet, "/products/orders", nil, readonlyUser},
		{"log out", http.MethodPost, "/auth/logout", nil, readonlyUser}, {"change the password", http.MethodPut, "/auth/password", j{"currentPassword": "x", "newPassword": "y"}, readonlyUser},
	} {
		for _, role := range everyone[:slices.Index(everyone, c.lowest)] {
			t.Run(fmt.Sprintf("role/%s as '%s'", c.name, role), func(t *testing.T) {
				caller, status := s.anonymous(), http.StatusUnauthorized
				if role != "" {
					caller, status = s.staff[role], http.StatusForbidden
				}
				s.unchanged(t, func() {
					caller.do(t, c.method, c.path, c.body).refuses(t, status, "authorization")
					caller.do(t, c.method, c.path, c.body, "Idempotency-Key", uuid.NewString(), "If-Match", "*").refuses(t, status, "authorization")
					caller.do(t, c.method, c.path+"?role=Admin&userId="+s.admin.id, c.body, "X-Role", admin, "X-User-Id", s.admin.id, "X-Original-URL", "/healthz", "X-Rewrite-URL", "/healthz").refuses(t, status, "authorization")
				}, w.paths...)
			})
		}
	}

	for _, c := range []struct {
		name         string
		caller, whom *client
	}{
		{"Manager on an Admin", s.staff[manager], w.admin}, {"Manager on a Manager", s.staff[manager], w.manager}, {"Manager on itself", s.staff[manager], s.staff[manager]},
		{"User on an Admin", s.staff[user], w.admin}, {"User on a Manager", s.staff[user], w.manager}, {"User on a User", s.staff[user], w.user}, {"User on itself", s.staff[user], s.staff[user]},
		{"Admin on an Admin", s.admin, w.admin}, {"Admin on itself", s.admin, s.admin},
	} {
		t.Run("rank/"+c.name, func(t *testing.T) {
			path := "/users/" + c.whom.id
			s.unchanged(t, func() {
				c.caller.put(t, path, invitee("evil@example.com", readonlyUser)).refuses(t, http.StatusForbidden, "authorization")
				c.caller.put(t, path, invitee(c.whom.email, c.caller.role)).refuses(t, http.StatusForbidden, "authorization")
				c.caller.put(t, strings.ToUpper(path[:7])+path[7:], invitee("evil@example.com", readonlyUser)).refuses(t, http.StatusNotFound, "request")
				c.caller.delete(t, path).refuses(t, http.StatusForbidden, "authorization")
				c.caller.delete(t, "/users/"+strings.ToUpper(c.whom.id)).refuses(t, http.StatusForbidden, "authorization")
			}, append(w.paths, path)...)
			c.whom.alive(t)
		})
	}
	for _, c := range []struct{ by, of, to string }{{manager, user, admin}, {manager, readonlyUser, admin}, {user, readonlyUser, manager}, {user, readonlyUser, admin}} {
		t.Run(fmt.Sprintf("rank/%s makes a %s a %s", c.by, c.of, c.to), func(t *testing.T) {
			whom := map[string]*client{user: w.user, readonlyUser: w.readonly}[c.of]
			s.unchanged(t, func() {
				s.staff[c.by].put(t, "/users/"+whom.id, invitee(whom.email, c.to)).refuses(t, http.StatusForbidden, "role")
			}, w.paths...)
		})
	}
	for _, c := range []struct{ by, of string }{{manager, admin}, {user, admin}, {user, manager}, {readonlyUser, admin}, {readonlyUser, manager}, {readonlyUser, user}} {
		t.Run(fmt.Sprintf("superiors/%s reads a %s", c.by, c.of), func(t *testing.T) {
			whom := map[string]*client{admin: w.admin, manager: w.manager, user: w.user}[c.of]
			a := s.staff[c.by].get(t, "/users/"+whom.id).refuses(t, http.StatusForbidden, "authorization")
			require.NotContains(t, a.Body, whom.email)
			for _, query := range []string{
				"search=" + whom.email, "search=" + whom.username, "search=" + whom.id, "role=" + c.of, "role=" + c.of + "&status=Active", "role=" + c.of + "&sort=role", "search=" + whom.email[:8] + "&role=" + c.of + "&page=1&pageSize=1",
			} {
				require.Equal(t, 0, s.staff[c.by].count(t, "/users?"+query), query)
			}
			require.Equal(t, 1, s.admin.count(t, "/users?search="+whom.email))
		})
	}
	for _, role := range []string{readonlyUser, user, manager} {
		t.Run("superiors/totals of "+role, func(t *testing.T) {
			may := 0
			for _, below := range everyone[1 : slices.Index(everyone, role)+1] {
				may += s.admin.count(t, "/users?role="+below)
			}
			for _, query := range []string{"", "sort=role", "sort=-role", "search=", "search=example.com", "status=Active&search=@", "pageSize=1&page=1000"} {
				seen := s.staff[role].count(t, "/users?"+query)
				if strings.HasPrefix(query, "status") {
					require.LessOrEqual(t, seen, may, query)
				} else {
					require.Equal(t, may, seen, query)
				}
			}
		})
	}
	t.Run("keys/a list of users tells no email", func(t *testing.T) {
		for _, row := range s.admin.get(t, "/users?pageSize=100").json(t)["users"].([]any) {
			var keys []string
			for key := range row.(map[string]any) {
				keys = append(keys, key)
			}
			require.ElementsMatch(t, []string{"id", "username", "firstName", "lastName", "role", "status", "createdAt"}, keys)
		}
	})
	t.Run("keys/a colleague sees no invitation", func(t *testing.T) {
		email, _ := s.invite(t, readonlyUser)
		require.NotContains(t, s.staff[user].get(t, "/users/"+s.idOf(t, email)).wants(t, http.StatusOK).Body, "invitation")
		require.Contains(t, s.staff[manager].get(t, "/users/"+s.idOf(t, email)).wants(t, http.StatusOK).Body, "invitation")
	})

	for name, value := range map[string]any{
		"password": "Evil password 1", "passwordHash": "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA", "PasswordHash": "x", "status": "Draft", "id": w.user.id, "username": "renamed", "createdAt": "2000-01-01T00:00:00.000Z",
		"deletedAt": "2000-01-01T00:00:00.000Z", "emailKey": adminEmail, "isAdmin": true, "Role": admin, "roles": []string{admin}, "__proto__": j{"role": admin}, "constructor": j{"prototype": j{"role": admin}},
		"sessions": []string{}, "invitation": j{"state": "Sent"}, "permissions": []string{"read the audit log"}, "user": j{"role": admin}, "$set": j{"role": admin},
	} {
		t.Run("assigned to a user/"+name, func(t *testing.T) {
			s.unchanged(t, func() {
				s.staff[user].put(t, "/users/"+w.readonly.id, invitee(w.readonly.email, readonlyUser).but(j{name: value})).wants(t, http.StatusNoContent)
				w.readonly.alive(t)
			}, w.paths...)
		})
	}
	t.Run("assigned to a user/the password is the old one", func(t *testing.T) {
		require.Equal(t, readonlyUser, s.login(t, w.readonly.email, w.readonly.password).role)
	})
	plain := j{"name": "Scenery", "category": w.category, "quantity": 5}
	for name, value := range map[string]any{
		"id": w.product, "imageUrl": "../../etc/passwd", "createdAt": "2000-01-01T00:00:00.000Z", "updatedAt": "2000-01-01T00:00:00.000Z", "deleted": true, "version": 99, "movements": []j{{"delta": 5}}, "Quantity": 1000, "categoryId": uuid.NewString(),
	} {
		t.Run("assigned to a product/"+name, func(t *testing.T) {
			s.unchangedBut(t, w, func() {
				made := s.staff[user].post(t, "/products", plain.but(j{name: value})).wants(t, http.StatusCreated)
				product := made.json(t)
				require.Equal(t, []any{5.0, nil}, []any{product["quantity"], product["imageUrl"]})
				require.NotEqual(t, w.product, product["id"])
				require.NotContains(t, made.Body, "2000-01-01")
				require.NotContains(t, made.Body, "deleted")
				require.Equal(t, 5, s.stock(t, product["id"].(string)))
			})
		})
	}
	for name, value := range map[string]any{
		"id": w.draft, "state": "Completed", "State": "Ready", "item": j{"id": w.unused, "quantity": 1000000}, "createdAt": "2000-01-01T00:00:00.000Z", "createdBy": s.admin.id, "history": []any{}, "version": 9, "price": -1,
	} {
		t.Run("assigned to an order/"+name, func(t *testing.T) {
			s.unchangedBut(t, w, func() {
				body := j{"itemId": w.product, "client": "x", "quantity": 1}
				made := s.staff[user].post(t, "/products/orders", body.but(j{name: value})).wants(t, http.StatusCreated)
				order := made.json(t)
				require.Equal(t, []any{"Pending", 1.0, w.product}, []any{order["state"], order["quantity"], order["item"].(map[string]any)["id"]})
				require.NotEqual(t, w.draft, order["id"])
				edited := s.staff[manager].put(t, "/products/orders/"+order["id"].(string), body.but(j{name: value, "itemId": w.unused})).wants(t, http.StatusOK).json(t)
				require.Equal(t, []any{"Pending", w.product}, []any{edited["state"], edited["item"].(map[string]any)["id"]})
				require.Contains(t, s.admin.get(t, "/products/orders/"+order["id"].(string)+"/history").Body, s.staff[user].id)
			})
		})
	}
	for _, state := range []string{"Ready", "Completed", "Cancelled", "pending", "PENDING", "Approved", "Draft,Pending", " Draft"} {
		t.Run("assigned to an order/initialState "+state, func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.post(t, "/products/orders", j{"itemId": w.product, "client": "x", "quantity": 1, "initialState": state}).refuses(t, http.StatusBadRequest, "initialState")
			}, w.paths...)
		})
	}

	deleted := s.product(t, 1)
	s.admin.delete(t, "/products/"+deleted).wants(t, http.StatusNoContent)
	orderWithID := func(id string) (method, path string, body any) {
		return http.MethodPost, "/products/orders", j{"itemId": id, "client": "x", "quantity": 1}
	}
	for name, id := range map[string]string{
		"a word": "x", "a number": "1", "minus one": "-1", "huge": "99999999999999999999999", "null": "null", "undefined": "undefined", "without hyphens": strings.ReplaceAll(w.product, "-", ""), "in braces": "{" + w.product + "}",
		"a URN": "urn:uuid:" + w.product, "cut": w.product[:35], "longer": w.product + "0", "with a space": w.product + " ", "with NUL": w.product + "\x00", "with SQL": w.product + "' OR '1'='1", "a wildcard": "%", "of other digits": strings.ReplaceAll(w.product, "0", "０"),
		"zeros": uuid.Nil.String(), "all set": "ffffffff-ffff-ffff-ffff-ffffffffffff", "unknown": uuid.NewString(), "deleted": deleted, "a user": w.user.id, "an object": "[object Object]", "invalid UTF-8": "\xff\xfe", "with a line end": w.product + "\nx", "two": w.product + "," + w.unused,
		"a path": "../users/" + w.user.id, "the word me": "me",
	} {
		t.Run("id/"+name, func(t *testing.T) {
			s.unchanged(t, func() {
				escaped := escapeAll(id)
				for _, call := range []struct {
					method, path string
					body         any
				}{
					{http.MethodGet, "/products/" + escaped, nil}, {http.MethodGet, "/products/" + escaped + "/movements", nil}, {http.MethodDelete, "/products/" + escaped, nil}, {http.MethodPatch, "/products/quantity/" + escaped, j{"delta": 1}},
					{http.MethodPut, "/products/" + escaped, plain}, {http.MethodGet, "/products/orders/" + escaped, nil}, {http.MethodGet, "/products/orders/" + escaped + "/history", nil}, {http.MethodDelete, "/products/orders/" + escaped, nil},
					{http.MethodPut, "/products/orders/" + escaped, j{"client": "x", "quantity": 1}}, {http.MethodPatch, "/products/orders/state/" + escaped, j{"transition": "Cancelled"}},
				} {
					s.admin.do(t, call.method, call.path, call.body).refuses(t, http.StatusNotFound, "id")
				}
				if name != "a user" {
					s.admin.get(t, "/users/"+escaped).refuses(t, http.StatusNotFound, "id")
					s.admin.put(t, "/users/"+escaped, invitee("evil@example.com", user)).refuses(t, http.StatusNotFound, "id")
					s.admin.delete(t, "/users/"+escaped).refuses(t, http.StatusNotFound, "id")
				}
				method, path, body := orderWithID(id)
				if name != "invalid UTF-8" { // which JSON cannot bring
					s.admin.do(t, method, path, body).refuses(t, http.StatusBadRequest, "itemId")
				}
			}, w.paths...)
		})
	}
	for name, id := range map[string]string{"an order": w.draft, "a user": w.user.id, "an Admin": s.admin.id} {
		t.Run("id of another kind/"+name+" as a product", func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.get(t, "/products/"+id).refuses(t, http.StatusNotFound, "id")
				s.admin.delete(t, "/products/"+id).refuses(t, http.StatusNotFound, "id")
				method, path, body := orderWithID(id)
				s.admin.do(t, method, path, body).refuses(t, http.StatusBadRequest, "itemId")
			}, w.paths...)
		})
	}
	for name, id := range map[string]string{"a product": w.product, "an order": w.pending} {
		t.Run("id of another kind/"+name+" as a user", func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.get(t, "/users/"+id).refuses(t, http.StatusNotFound, "id")
				s.admin.delete(t, "/users/"+id).refuses(t, http.StatusNotFound, "id")
			}, w.paths...)
		})
	}
	t.Run("id of another kind/a product as an order", func(t *testing.T) {
		s.unchanged(t, func() {
			s.admin.get(t, "/products/orders/"+w.product).refuses(t, http.StatusNotFound, "id")
			s.admin.delete(t, "/products/orders/"+w.product).refuses(t, http.StatusNotFound, "id")
			s.admin.patch(t, "/products/orders/state/"+w.product, j{"transition": "Cancelled"}).refuses(t, http.StatusNotFound, "id")
		}, w.paths...)
	})
	t.Run("id in capitals is the same thing", func(t *testing.T) {
		require.Equal(t, s.admin.get(t, "/products/"+w.product).Body, s.admin.get(t, "/products/"+strings.ToUpper(w.product)).wants(t, http.StatusOK).Body)
		s.staff[user].get(t, "/users/"+strings.ToUpper(w.manager.id)).refuses(t, http.StatusForbidden, "authorization")
	})
}

// unchangedBut lets an attack make something, and sees that what was there before stays as it is.
func (s *server) unchangedBut(t *testing.T, w scene, attack func()) {
	t.Helper()
	look := func() (seen []string) {
		for _, path := range w.paths {
			seen = append(seen, path+" "+s.admin.get(t, path).wants(t, http.StatusOK).Body)
		}
		return seen
	}
	before := look()
	attack()
	require.Equal(t, before, look())
}

// count gives how many things a list has in all.
func (c *client) count(t *testing.T, path string) int {
	t.Helper()
	var list struct{ TotalItems *int }
	require.NoError(t, json.Unmarshal([]byte(c.get(t, path).wants(t, http.StatusOK).Body), &list))
	require.NotNil(t, list.TotalItems)
	return *list.TotalItems
}

// escapeAll percent-encodes every byte.
func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}
