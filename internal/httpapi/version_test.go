package httpapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// tag gives an answer's entity tag, which must be a strong one.
func (a answer) tag() string {
	a.t.Helper()
	require.Len(a.t, a.Header.Values("ETag"), 1)
	require.Regexp(a.t, `^"[!#-~]+"$`, a.Header.Get("ETag")) // RFC 9110 section 8.8.3
	return a.Header.Get("ETag")
}

// conditional is a route that honours If-Match.
type conditional struct {
	method, path string
	body         any
}

// conditionals are all of them, for an Admin: of products, then of orders.
var conditionals = []conditional{
	{http.MethodPut, "/products/%s", j{"name": "iPhone 13", "category": "Electronics", "quantity": 20, "description": "changed"}},
	{http.MethodPatch, "/products/quantity/%s", j{"delta": 1}},
	{http.MethodDelete, "/products/%s", nil},
	{http.MethodPut, "/products/orders/%s", j{"client": "Jane", "description": "changed", "quantity": 2}},
	{http.MethodPatch, "/products/orders/state/%s", j{"transition": "Ready"}},
	{http.MethodDelete, "/products/orders/%s", nil},
}

func (c conditional) ofOrder() bool { return strings.Contains(c.path, "orders") }

// thing makes what the route changes, in its second version, and gives its path and the tags of both versions.
func (c conditional) thing(s *server) (id, shown, old, present string) {
	s.t.Helper()
	admin := s.as(domain.RoleAdmin)
	id = s.product("iPhone 12", "Electronics", 10)
	if !c.ofOrder() {
		old = admin.get("/products/" + id).tag()
		return id, "/products/" + id, old, admin.patch("/products/quantity/"+id, j{"delta": 5}).wants(http.StatusOK).tag()
	}
	id = s.order(id, 3, domain.OrderDraft)
	old = admin.get("/products/orders/" + id).tag()
	return id, "/products/orders/" + id, old, admin.patch("/products/orders/state/"+id, j{"transition": "Pending"}).wants(http.StatusOK).tag()
}

// send makes the call with a line of If-Match for each value.
func (c conditional) send(s *server, id string, ifMatch ...string) answer {
	s.t.Helper()
	admin, whole := s.as(domain.RoleAdmin), s.handler
	several := *admin
	several.s = &server{t: s.t, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(ifMatch) > 0 {
			r.Header["If-Match"] = ifMatch
		}
		whole.ServeHTTP(w, r)
	})}
	return several.do(c.method, fmt.Sprintf(c.path, id), c.body)
}

// eachConditional runs a test for each route that honours If-Match, on both engines.
func eachConditional(t *testing.T, test func(t *testing.T, s *server, c conditional)) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		for _, c := range conditionals {
			s.run(c.method+strings.ReplaceAll(strings.ReplaceAll(c.path, "/%s", ""), "/", "_"), func(t *testing.T) { test(t, s, c) })
		}
	})
}

func TestIfMatch_holds(t *testing.T) {
	eachConditional(t, func(t *testing.T, s *server, c conditional) {
		for name, given := range map[string]func(old, present string) []string{
			"none":    func(_, _ string) []string { return nil },
			"right":   func(_, present string) []string { return []string{present} },
			"star":    func(_, _ string) []string { return []string{"*"} },
			"spaces":  func(_, present string) []string { return []string{"  " + present + "\t"} },
			"list":    func(old, present string) []string { return []string{old + ", " + present} },
			"crowded": func(old, present string) []string { return []string{`W/"x",` + old + `,,"other" ,` + present + `,""`} },
			"lines":   func(old, present string) []string { return []string{old, present} },
		} {
			s.run(name, func(t *testing.T) {
				id, shown, old, present := c.thing(s)
				require.NotEqual(t, old, present)
				a := c.send(s, id, given(old, present)...)
				if c.method == http.MethodDelete {
					a.wants(http.StatusNoContent)
					s.as(domain.RoleAdmin).get(shown).wants(http.StatusNotFound)
					return
				}
				next := a.wants(http.StatusOK).tag()
				require.NotContains(t, []string{old, present}, next)
				require.Equal(t, next, s.as(domain.RoleAdmin).get(shown).tag())
				c.send(s, id, present).refuses(http.StatusPreconditionFailed, "request")
				require.Equal(t, next, s.as(domain.RoleAdmin).get(shown).tag())
			})
		}
	})
}

func TestIfMatch_doesNotHold(t *testing.T) {
	eachConditional(t, func(t *testing.T, s *server, c conditional) {
		id, shown, old, present := c.thing(s)
		bare := strings.Trim(present, `"`)
		before := s.everything()
		for name, given := range map[string][]string{
			"old": {old}, "weak": {"W/" + present}, "list": {old + `, "x"`}, "lines": {old, "W/" + present}, "unknown": {`"x"`}, "later": {`"v99"`},
			"unquoted": {bare}, "half_quoted": {`"` + bare}, "single_quoted": {"'" + bare + "'"}, "capital": {strings.ToUpper(present)}, "padded": {`"v0` + bare[1:] + `"`},
			"signed": {`"v+` + bare[1:] + `"`}, "spaced": {`" ` + bare + `"`}, "number": {bare[1:]}, "endless": {`"v` + strings.Repeat("9", 400) + `"`}, "zero": {`"v0"`},
			"other_digits": {`"v２"`}, "quoted_star": {`"*"`}, "empty_tag": {`""`}, "empty": {""}, "blank": {" "}, "commas": {",,"}, "nonsense": {"\x00\xff"},
		} {
			s.run(name, func(*testing.T) {
				require.Equal(s.t, map[string][]string{"request": {"It was changed by someone else since you read it"}},
					c.send(s, id, given...).refuses(http.StatusPreconditionFailed, "request"))
			})
		}
		require.Equal(t, before, s.everything())
		require.Equal(t, present, s.as(domain.RoleAdmin).get(shown).tag())
	})
}

// TestIfMatch_missing: what is not there is not found, whatever was expected of it.
func TestIfMatch_missing(t *testing.T) {
	eachConditional(t, func(_ *testing.T, s *server, c conditional) {
		gone, shown, _, present := c.thing(s)
		s.as(domain.RoleAdmin).delete(shown).wants(http.StatusNoContent)
		for _, id := range []string{unknownID, gone, "1"} {
			for _, given := range []string{present, `"v1"`, "*", `W/"v1"`, "x"} {
				c.send(s, id, given).refuses(http.StatusNotFound, "id")
			}
		}
	})
}

// TestIfMatch_twentyAtOnce has twenty editors save what they all read in the same version.
func TestIfMatch_twentyAtOnce(t *testing.T) {
	eachConditional(t, func(t *testing.T, s *server, c conditional) {
		id, shown, _, present := c.thing(s)
		counts := tally(atOnce(20, func(int) answer { return c.send(s, id, present) }))
		if c.method == http.MethodDelete {
			require.Equal(t, map[int]int{http.StatusNoContent: 1, http.StatusNotFound: 19}, counts)
			return
		}
		require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 19}, counts)
		made := s.as(domain.RoleAdmin).get(shown).json()
		for field, want := range map[string]any{"name": "iPhone 13", "quantity": 16., "client": "Jane", "state": "Ready"} {
			if _, changes := c.body.(j)[field]; changes && field != "quantity" {
				require.Equal(t, want, made[field])
			}
		}
		if item := s.product("iPhone 12", "Electronics", 1); !c.ofOrder() {
			s.checkLedger(id)
			s.checkLedger(item)
		}
	})
}

// tags remembers what stood under each tag of one thing.
type tags map[string]string

// see checks that an answer bears a tag, that a thing never looks different under the same one, and that a HEAD has it too.
func (seen tags) see(c *client, path string, a answer, fresh bool) string {
	a.t.Helper()
	tag, body := a.tag(), a.json()
	if item, ok := body["item"].(j); ok { // has a tag of its own
		body = maps.Clone(body)
		body["item"] = item["id"]
	}
	text := fmt.Sprint(body)
	before, known := seen[tag]
	require.NotEqual(a.t, fresh, known, "%s: %s", tag, text)
	if known {
		require.Equal(a.t, before, text)
	}
	seen[tag] = text
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		require.Equal(a.t, tag, c.do(method, path, nil).wants(http.StatusOK).tag())
	}
	return tag
}

// TestETag follows a product and an order through all their changes.
func TestETag(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, seen := s.as(domain.RoleAdmin), tags{}
		s.category("Electronics")
		body := j{"name": "iPhone 12", "category": "Electronics", "quantity": 10, "description": ""}
		a := admin.post("/products", body).wants(http.StatusCreated)
		item := a.text("id")
		path := "/products/" + item
		seen.see(admin, path, a, true)
		seen.see(admin, path, admin.get(path), false)
		for _, change := range []j{
			{"quantity": 10}, {"name": "iPhone 13"}, {"quantity": 11}, {"description": "x", "quantity": 12}, {"image": pngPicture(1)}, {"image": pngPicture(2)}, {"image": nil},
		} {
			maps.Copy(body, change)
			seen.see(admin, path, admin.put(path, body).wants(http.StatusOK), true)
			delete(body, "image")
		}
		for _, change := range []j{{"delta": 1}, {"delta": -1}, {"quantity": 20}, {"quantity": 20}} {
			seen.see(admin, path, admin.patch("/products/quantity/"+item, change).wants(http.StatusOK), true)
		}

		orders := map[string]tags{}
		order := func(a answer) {
			t.Helper()
			id := a.text("id")
			if orders[id] == nil {
				orders[id] = tags{}
			}
			orders[id].see(admin, "/products/orders/"+id, a, true)
		}
		place := func() string {
			t.Helper()
			a := admin.post("/products/orders", j{"itemId": item, "client": "John", "description": "", "quantity": 2, "initialState": "Draft"}).wants(http.StatusCreated)
			order(a)
			seen.see(admin, path, admin.get(path), false) // an order alone changes nothing in stock
			return a.text("id")
		}
		for _, steps := range [][]string{{"Pending", "Ready", "Completed"}, {"Pending", "Ready", "Cancelled"}, {"Cancelled"}, {"Pending", "Ready", "deleted"}} {
			id := place()
			order(admin.put("/products/orders/"+id, j{"client": "John", "description": "", "quantity": 3}).wants(http.StatusOK))
			for i, step := range steps {
				if step == "deleted" {
					admin.delete("/products/orders/" + id).wants(http.StatusNoContent)
				} else {
					order(admin.patch("/products/orders/state/"+id, j{"transition": step}).wants(http.StatusOK))
				}
				moves := step == "Ready" || i > 0 && steps[i-1] == "Ready" && step != "Completed"
				seen.see(admin, path, admin.get(path), moves)
			}
		}
		require.Len(t, seen, 1+7+4+5)
		for _, other := range []string{"/products", "/products/orders", path + "/movements", "/products/categories"} {
			require.NotContains(t, admin.get(other).wants(http.StatusOK).Header, "Etag")
		}
	})
}

// TestIfMatch_elsewhere: reading and making depend on no version.
func TestIfMatch_elsewhere(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		item := s.product("iPhone 12", "Electronics", 10)
		for _, c := range []conditional{
			{http.MethodGet, "/products/%s", nil}, {http.MethodPost, "/products/orders", j{"itemId": item, "client": "John", "description": "", "quantity": 2}},
		} {
			a := s.as(domain.RoleAdmin).do(c.method, strings.ReplaceAll(c.path, "%s", item), c.body, "If-Match", `"v99"`)
			require.Contains(s.t, []int{http.StatusOK, http.StatusCreated}, a.Status)
		}
	})
}

// TestIfNoneMatch: whoever has the present version of a product is told so instead of getting it again.
func TestIfNoneMatch(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, user := s.as(domain.RoleAdmin), s.as(domain.RoleReadonlyUser)
		id := s.product("iPhone 12", "Electronics", 10)
		path := "/products/" + id
		old := user.get(path).tag()
		present := admin.patch("/products/quantity/"+id, j{"delta": 5}).wants(http.StatusOK).tag()
		require.NotEqual(t, old, present)
		for given, status := range map[string]int{
			present:                          http.StatusNotModified,
			"W/" + present:                   http.StatusNotModified,
			old + ",W/" + present + ` , "x"`: http.StatusNotModified,
			" * ":                            http.StatusNotModified,
			old:                              http.StatusOK,
			"":                               http.StatusOK,
			strings.Trim(present, `"`):       http.StatusOK,
			"w/" + present:                   http.StatusOK,
			present + "x":                    http.StatusOK,
			`"*"`:                            http.StatusOK,
			old + ", *":                      http.StatusOK, // a star stands alone
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := user.do(method, path, nil, "If-None-Match", given).wants(status)
				require.Equal(t, present, a.tag(), given)
				require.Equal(t, status == http.StatusOK, a.Body != "", given) // net/http keeps it from whoever sent HEAD
				if status == http.StatusNotModified {
					require.Empty(t, a.Header.Get("Content-Type")+a.Header.Get("Content-Length"))
				}
			}
		}
		s.anonymous().do(http.MethodGet, path, nil, "If-None-Match", present).wants(http.StatusUnauthorized)
		admin.delete(path).wants(http.StatusNoContent)
		for _, given := range []string{present, "*"} {
			user.do(http.MethodGet, path, nil, "If-None-Match", given).wants(http.StatusNotFound)
		}
	})
}

// TestIfNoneMatch_ordersAreShownWhole, since their item may have changed without them.
func TestIfNoneMatch_ordersAreShownWhole(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		item := s.product("iPhone 12", "Electronics", 10)
		path := "/products/orders/" + s.order(item, 3, domain.OrderDraft)
		tag := admin.get(path).tag()
		admin.patch("/products/quantity/"+item, j{"delta": 5}).wants(http.StatusOK)
		a := admin.do(http.MethodGet, path, nil, "If-None-Match", tag).wants(http.StatusOK)
		require.Equal(t, 15., a.json()["item"].(map[string]any)["quantity"])
	})
}
