package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// goodOrder is an order of three units of an item.
func goodOrder(item string) raw {
	return raw{"itemId": strconv.Quote(item), "client": `"John Doe Enterprises"`, "description": `"Will buy 5 IPhones in lease"`, "quantity": "3", "initialState": `"Draft"`}
}

// TestOrders_fields gives every field of an order, when it is placed and when it is changed, every kind of value.
func TestOrders_fields(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		item, manager := s.product("iPhone 12", "Electronics", domain.MaxQuantity), s.as(domain.RoleManager)
		for _, to := range []struct {
			name, method, path string
			status             int
		}{
			{"place", http.MethodPost, "/products/orders", http.StatusCreated},
			{"edit", http.MethodPut, "/products/orders/" + s.order(item, 3, domain.OrderPending), http.StatusOK},
		} {
			send := func(field string) func(string) answer {
				return func(value string) answer {
					return manager.do(to.method, to.path, goodOrder(item).with(raw{field: value}))
				}
			}
			for field, faults := range map[string][]fault{
				"client": badLines("client", 200), "description": badDescriptions(2000),
				"quantity": append(badQuantities("quantity", 1), fault{"", "The quantity is required"}, fault{"null", "The quantity is required"}),
			} {
				s.run(to.name+"/bad_"+field, func(t *testing.T) { s.checkFaults(t, field, faults, send(field)) })
			}
			for field, texts := range map[string]map[string]string{"client": goodLines(200), "description": goodDescriptions(2000)} {
				s.run(to.name+"/good_"+field, func(t *testing.T) {
					for value, kept := range texts {
						made := send(field)(value).wants(to.status).json()
						require.Equal(t, kept, made[field])
						require.Equal(t, made, manager.get("/products/orders/"+made["id"].(string)).wants(http.StatusOK).json())
					}
				})
			}
			s.run(to.name+"/good_quantity", func(t *testing.T) {
				for value, kept := range map[string]float64{"1": 1, "1000000000": 1e9} {
					require.Equal(t, kept, send("quantity")(value).wants(to.status).json()["quantity"])
				}
			})
			s.run(to.name+"/unknown_fields", func(t *testing.T) {
				made := manager.do(to.method, to.path, goodOrder(item).with(raw{"id": strconv.Quote(unknownID), "state": `"Completed"`, "createdAt": "1", "item": `{"quantity": 1}`, "Client": "5"})).
					wants(to.status).json()
				require.NotEqual(t, unknownID, made["id"])
				require.Contains(t, []string{"Draft", "Pending"}, made["state"])
			})
		}
		s.run("place/bad_itemId", func(t *testing.T) {
			missing := func(id string) string { return "The item with id '" + id + "' does not exist" }
			gone := s.product("iPhone 11", "Electronics", 10)
			s.as(domain.RoleAdmin).delete("/products/" + gone).wants(http.StatusNoContent)
			s.checkFaults(t, "itemId", []fault{
				{"", "The item id is required"}, {"null", "The item id is required"}, {`""`, "The item id is required"}, {"5", "The item id must be a text"},
				{`["` + item + `"]`, "The item id must be a text"}, {strconv.Quote(unknownID), missing(unknownID)}, {strconv.Quote(gone), missing(gone)}, {`"iPhone 12"`, missing("iPhone 12")},
				{strconv.Quote("{" + item + "}"), missing("{" + item + "}")}, {strconv.Quote(" " + item), missing(" " + item)}, {`"\u0000"`, missing("?")},
				{strconv.Quote(strings.Repeat("x", 101)), missing(strings.Repeat("x", 100) + "…")}, {"\"\xff\"", "The item id is not valid UTF-8"},
			}, func(value string) answer {
				return manager.post("/products/orders", goodOrder(item).with(raw{"itemId": value}))
			})
		})
		s.run("place/bad_initialState", func(t *testing.T) {
			var faults []fault
			for _, state := range []string{"Ready", "Completed", "Cancelled"} {
				faults = append(faults, fault{strconv.Quote(state), "The state '" + state + "' cannot be an initial state"})
			}
			for _, state := range []string{"Blatnoi", "draft", "PENDING", " Draft", "Draft,Pending"} {
				faults = append(faults, fault{strconv.Quote(state), "The state '" + state + "' is not valid"})
			}
			faults = append(faults, fault{"5", "The initial state must be a text"}, fault{"[]", "The initial state must be a text"}, fault{"\"\xff\"", "The initial state is not valid UTF-8"})
			s.checkFaults(t, "initialState", faults, func(value string) answer {
				return manager.post("/products/orders", goodOrder(item).with(raw{"initialState": value}))
			})
		})
		s.run("place/good_initialState", func(t *testing.T) {
			for value, state := range map[string]string{"": "Pending", "null": "Pending", `"Pending"`: "Pending", `"Draft"`: "Draft"} {
				require.Equal(t, state, manager.post("/products/orders", goodOrder(item).with(raw{"initialState": value})).wants(http.StatusCreated).text("state"))
			}
		})
		s.run("place/all_faults_at_once", func(t *testing.T) {
			before := s.dump()
			bad := raw{"itemId": strconv.Quote(unknownID), "client": `"\n"`, "description": "5", "quantity": "0", "initialState": `"Completed"`}.with(nil)
			require.Equal(t, map[string][]string{
				"itemId":       {"The item with id '" + unknownID + "' does not exist"},
				"client":       {"The client must be one line of valid UTF-8 without control characters"},
				"description":  {"The description must be a text"},
				"quantity":     {"The quantity must be at least 1"},
				"initialState": {"The state 'Completed' cannot be an initial state"},
			}, manager.post("/products/orders", bad).refuses(http.StatusBadRequest, "itemId", "client", "description", "quantity", "initialState"))
			require.Equal(t, before, s.dump())
		})
		s.run("edit/all_faults_at_once", func(*testing.T) {
			id := s.order(item, 3, domain.OrderDraft)
			manager.put("/products/orders/"+id, `{"description": "\u0000", "quantity": "3"}`).refuses(http.StatusBadRequest, "client", "description", "quantity")
			manager.put("/products/orders/"+unknownID, `{"description": "\u0000", "quantity": "3"}`).refuses(http.StatusNotFound, "id", "client", "description", "quantity")
		})
		s.run("move/bad_transition", func(t *testing.T) {
			id := s.order(item, 3, domain.OrderPending)
			required, text := "The transition is required", "The transition must be a text"
			s.checkFaults(t, "transition", []fault{
				{"", required}, {"null", required}, {`""`, required}, {"5", text}, {`["Ready"]`, text}, {`"ready"`, "The state 'ready' is not valid"}, {`"Ready "`, "The state 'Ready ' is not valid"},
				{`"Blatnoi"`, "The state 'Blatnoi' is not valid"}, {`"\u0000"`, "The state '?' is not valid"}, {"\"\xff\"", "The transition is not valid UTF-8"},
			}, func(value string) answer {
				return manager.patch("/products/orders/state/"+id, raw{}.with(raw{"transition": value}))
			})
			manager.patch("/products/orders/state/"+unknownID, `{"transition": "x"}`).refuses(http.StatusNotFound, "id", "transition")
		})
	})
}

// TestOrders_badIDs asks for orders that are not there.
func TestOrders_badIDs(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		deleted := s.order(s.product("iPhone 12", "Electronics", 10), 3, domain.OrderReady)
		s.as(domain.RoleAdmin).delete("/products/orders/" + deleted).wants(http.StatusNoContent)
		checkBadIDs(s, deleted, "transaction", []probe{
			{http.MethodGet, "/products/orders/%s", nil},
			{http.MethodGet, "/products/orders/%s/history", nil},
			{http.MethodPut, "/products/orders/%s", j{"client": "x", "description": "", "quantity": 1}},
			{http.MethodDelete, "/products/orders/%s", nil},
			{http.MethodPatch, "/products/orders/state/%s", j{"transition": "Pending"}},
		})
	})
}

// TestOrders_place looks at the answer and at what else it leaves.
func TestOrders_place(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
		user := s.as(domain.RoleUser)
		s.category("Electronics")
		item := user.post("/products", goodProduct.with(raw{"image": strconv.Quote(base64Picture(1))})).wants(http.StatusCreated).json()
		s.stop(time.Date(2021, 1, 1, 0, 1, 0, 0, time.UTC))
		a := user.post("/products/orders", goodOrder(item["id"].(string)).with(nil)).wants(http.StatusCreated)
		id := a.text("id")
		require.Equal(t, "/products/orders/"+id, a.Header.Get("Location"))
		want := j{
			"id": id, "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 3., "state": "Draft",
			"createdAt": "2021-01-01T00:01:00.000Z", "updatedAt": "2021-01-01T00:01:00.000Z", "item": item,
		}
		require.Equal(t, want, a.json())
		require.Equal(t, want, user.get("/products/orders/"+id).wants(http.StatusOK).json())
		require.Equal(t, []any{j{"from": nil, "to": "Draft", "user": who(user), "createdAt": "2021-01-01T00:01:00.000Z"}},
			withoutIDs(user.get("/products/orders/" + id + "/history").wants(http.StatusOK).json()["history"]))
		want["item"] = j{"id": item["id"], "name": "iPhone 12", "category": "Electronics", "quantity": 10., "imageUrl": item["imageUrl"]}
		require.Equal(t, j{"orders": []any{want}, "page": 1., "pageSize": 10., "totalItems": 1., "totalPages": 1.},
			s.as(domain.RoleReadonlyUser).get("/products/orders").wants(http.StatusOK).json())
		// It takes nothing yet.
		require.EqualValues(t, 10, s.quantity(item["id"].(string)))
		// The item is shown as it is now.
		user.put("/products/"+item["id"].(string), j{"name": "iPhone 13", "category": "Electronics", "quantity": 4, "image": nil}).wants(http.StatusOK)
		shown := user.get("/products/orders/" + id).wants(http.StatusOK).json()["item"].(j)
		require.Equal(t, []any{"iPhone 13", 4., nil}, []any{shown["name"], shown["quantity"], shown["imageUrl"]})
	})
}

// TestOrders_stock asks for more than there is.
func TestOrders_stock(t *testing.T) {
	t.Parallel()
	tooMany := func(asked, has int) map[string][]string {
		return map[string][]string{"quantity": {fmt.Sprintf("You specified the quantity %d, but the item 'iPhone 12' has only %d unit(s) available", asked, has)}}
	}
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		for _, state := range []domain.OrderState{domain.OrderDraft, domain.OrderPending} {
			s.run("place/"+string(state), func(t *testing.T) {
				item := s.product("iPhone 12", "Electronics", 10)
				body := func(quantity int) j {
					return j{"itemId": item, "client": "x", "quantity": quantity, "initialState": state}
				}
				before := s.dump()
				require.Equal(t, tooMany(11, 10), manager.post("/products/orders", body(11)).refuses(http.StatusConflict, "quantity"))
				require.Equal(t, before, s.dump())
				manager.post("/products/orders", body(10)).wants(http.StatusCreated)
				manager.post("/products/orders", body(10)).wants(http.StatusCreated) // who is first, is told at the approval
			})
			s.run("edit/"+string(state), func(t *testing.T) {
				item := s.product("iPhone 12", "Electronics", 10)
				id := s.order(item, 3, state)
				before := s.dump()
				require.Equal(t, tooMany(11, 10), manager.put("/products/orders/"+id, j{"client": "x", "quantity": 11}).refuses(http.StatusConflict, "quantity"))
				require.Equal(t, before, s.dump())
				manager.put("/products/orders/"+id, j{"client": "x", "quantity": 10}).wants(http.StatusOK)
			})
		}
		s.run("nothing_left", func(t *testing.T) {
			require.Equal(t, tooMany(1, 0), manager.post("/products/orders", j{"itemId": s.product("iPhone 12", "Electronics", 0), "client": "x", "quantity": 1}).
				refuses(http.StatusConflict, "quantity"))
		})
		s.run("approve", func(t *testing.T) {
			item := s.product("iPhone 12", "Electronics", 10)
			first, second := s.order(item, 6, domain.OrderPending), s.order(item, 5, domain.OrderPending)
			approve := func(id string) answer { return manager.patch("/products/orders/state/"+id, j{"transition": "Ready"}) }
			require.EqualValues(t, 4, approve(first).wants(http.StatusOK).json()["item"].(j)["quantity"])
			before := s.dump()
			require.Equal(t, tooMany(5, 4), approve(second).refuses(http.StatusConflict, "quantity"))
			require.Equal(t, before, s.dump())
			manager.patch("/products/quantity/"+item, j{"delta": 1}).wants(http.StatusOK)
			approve(second).wants(http.StatusOK)
			require.Zero(t, s.quantity(item))
			s.checkLedger(item)
		})
	})
}

// TestOrders_edit changes an order in every state.
func TestOrders_edit(t *testing.T) {
	t.Parallel()
	final := func(state string) map[string][]string {
		return map[string][]string{"state": {"The transaction in the state '" + state + "' can no longer be changed"}}
	}
	gone := map[string][]string{"quantity": {"The quantity of a transaction in the state 'Ready' can no longer be changed"}}
	each(t, func(_ *testing.T, s *server) {
		s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
		manager := s.as(domain.RoleManager)
		for _, c := range []struct {
			state    domain.OrderState
			quantity int
			says     map[string][]string // nothing: it goes
		}{
			{domain.OrderDraft, 3, nil},
			{domain.OrderDraft, 5, nil},
			{domain.OrderPending, 3, nil},
			{domain.OrderPending, 5, nil},
			{domain.OrderReady, 3, nil},
			{domain.OrderReady, 5, gone},
			{domain.OrderReady, 100, gone},
			{domain.OrderCompleted, 3, final("Completed")},
			{domain.OrderCompleted, 5, final("Completed")},
			{domain.OrderCancelled, 3, final("Cancelled")},
			{domain.OrderCancelled, 5, final("Cancelled")},
		} {
			s.run(fmt.Sprintf("%s/%d", c.state, c.quantity), func(t *testing.T) {
				s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
				item := s.product("iPhone 12", "Electronics", 10)
				id := s.order(item, 3, c.state)
				want := s.as(domain.RoleAdmin).get("/products/orders/" + id).wants(http.StatusOK).json()
				before := s.dump()
				s.stop(time.Date(2021, 1, 1, 0, 1, 0, 0, time.UTC))
				a := manager.put("/products/orders/"+id, j{"client": " Main Office Floor 4 ", "description": "x", "quantity": c.quantity})
				if c.says != nil {
					for field := range c.says {
						require.Equal(t, c.says, a.refuses(http.StatusConflict, field))
					}
					require.Equal(t, before, s.dump())
					return
				}
				want["client"], want["description"], want["quantity"], want["updatedAt"] = "Main Office Floor 4", "x", float64(c.quantity), "2021-01-01T00:01:00.000Z"
				require.Equal(t, want, a.wants(http.StatusOK).json())
				require.Equal(t, want, manager.get("/products/orders/"+id).wants(http.StatusOK).json())
				require.EqualValues(t, 1, manager.get("/products/orders?search=floor%204").json()["totalItems"])
				s.checkLedger(item)
				s.as(domain.RoleAdmin).delete("/products/orders/" + id).wants(http.StatusNoContent)
			})
		}
	})
}

// TestOrders_editedReady gives back what was taken, after the rest of the order was edited.
func TestOrders_editedReady(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		item := s.product("iPhone 12", "Electronics", 10)
		id := s.order(item, 3, domain.OrderReady)
		manager.put("/products/orders/"+id, j{"client": "x", "quantity": 3}).wants(http.StatusOK)
		manager.patch("/products/orders/state/"+id, j{"transition": "Cancelled"}).wants(http.StatusOK)
		require.EqualValues(t, 10, s.quantity(item))
		s.checkLedger(item)
	})
}

// TestOrders_delete deletes an order in every state. What a Ready one took goes back, once; the ledger keeps what happened.
func TestOrders_delete(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		for _, c := range []struct {
			state domain.OrderState
			after int64
			moves []string
		}{
			{domain.OrderDraft, 10, nil},
			{domain.OrderPending, 10, nil},
			{domain.OrderReady, 10, []string{"Released 3", "Reserved -3"}},
			{domain.OrderCompleted, 7, []string{"Reserved -3"}},
			{domain.OrderCancelled, 10, nil},
		} {
			s.run(string(c.state), func(t *testing.T) {
				item := s.product("iPhone 12", "Electronics", 10)
				id := s.order(item, 3, c.state)
				a := admin.delete("/products/orders/" + id).wants(http.StatusNoContent)
				require.Empty(t, a.Body)
				admin.get("/products/orders/"+id).refuses(http.StatusNotFound, "id")
				admin.get("/products/orders/"+id+"/history").refuses(http.StatusNotFound, "id")
				require.Zero(t, admin.get("/products/orders").json()["totalItems"])
				require.Equal(t, c.after, s.quantity(item))
				var moves []string
				for _, line := range admin.get("/products/" + item + "/movements").json()["movements"].([]any) {
					if line.(j)["orderId"] == id {
						moves = append(moves, fmt.Sprintf("%s %v", line.(j)["reason"], line.(j)["delta"]))
					}
				}
				require.Equal(t, c.moves, moves)
				s.checkBooks(t)
			})
		}
		s.run("twenty_at_once", func(t *testing.T) {
			item := s.product("iPhone 12", "Electronics", 10)
			id := s.order(item, 3, domain.OrderReady)
			statuses := tally(together(slices.Repeat([]func() answer{func() answer { return admin.delete("/products/orders/" + id) }}, 20)...))
			require.Equal(t, map[int]int{http.StatusNoContent: 1, http.StatusNotFound: 19}, statuses)
			require.EqualValues(t, 10, s.quantity(item))
			s.checkBooks(t)
		})
	})
}

// TestOrders_list reads lists of orders.
func TestOrders_list(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)) // all are made in the same instant
		reader, admin := s.as(domain.RoleReadonlyUser), s.as(domain.RoleAdmin)
		s.run("empty", func(t *testing.T) {
			require.JSONEq(t, `{"orders": [], "page": 1, "pageSize": 10, "totalItems": 0, "totalPages": 0}`, reader.get("/products/orders").wants(http.StatusOK).Body)
		})
		items := []string{s.product("iPhone 12", "Electronics", 1000), s.product("Table", "äpfel", 1000)}
		var all []j
		for i, client := range []string{"b", "B", "a", "A", "É", "é", "z", "Z", "_", "%", "0", "~", "Å", "ç", "ß", "É", "b", "a", "a ", "aa", "😀", "あ", "Z a", "z A", "x"} {
			id := admin.post("/products/orders", j{"itemId": items[i%2], "client": client, "quantity": []int{3, 20, 100, 9}[i%4], "description": "y", "initialState": states[i%2]}).
				wants(http.StatusCreated).text("id")
			if i%5 == 0 {
				admin.patch("/products/orders/state/"+id, j{"transition": "Cancelled"}).wants(http.StatusOK)
			}
			all = append(all, admin.get("/products/orders/"+id).wants(http.StatusOK).json())
		}
		s.run("pages", func(t *testing.T) {
			listCheck{"/products/orders?", "orders", all, map[string]func(j) string{
				"client": by(folded, "client"), "quantity": by(padded, "quantity"), "state": by(plainly, "state"), "createdAt": by(plainly, "createdAt"),
				"updatedAt": by(plainly, "updatedAt"),
			}}.run(t, reader)
		})
		s.run("filters", func(t *testing.T) {
			for query, n := range map[string]int{
				"state=Cancelled": 5, "state=Draft": 10, "state=Pending": 10, "state=Ready": 0, "state=": 25, "category=electronics": 13, "category=%C3%84PFEL": 12,
				"category=Electronics&state=Draft": 10, "category=Electronics&state=Pending": 0, "search=tAbLe": 12, "search=IPHONE+1": 13, "search=%C3%A9": 3,
				"search=y&state=Pending&category=%C3%A4pfel": 10, "search=electronics": 0, "search=Draft": 0,
			} {
				require.EqualValues(t, n, reader.get("/products/orders?" + query).wants(http.StatusOK).json()["totalItems"], query)
			}
			require.Equal(t, map[string][]string{
				"state": {"The state 'Blatnoi' is not valid"}, "category": {"The category with name 'Toys' does not exist"}, "page": {"The page must be a positive integer"},
			}, reader.get("/products/orders?state=Blatnoi&category=Toys&page=0").refuses(http.StatusBadRequest, "state", "category", "page"))
			for query, field := range map[string]string{
				"state=draft": "state", "state=Draft&state=Ready": "state", "state=%00": "state", "category=%FF": "category", "category=Electronics&category=x": "category", "category=Electronics%20": "category",
			} {
				reader.get("/products/orders?"+query).refuses(http.StatusBadRequest, field)
			}
		})
		s.run("times", func(t *testing.T) {
			s.stop(time.Date(2021, 1, 1, 0, 0, 1, 0, time.UTC))
			admin.put("/products/orders/"+all[1]["id"].(string), j{"client": "changed", "quantity": 1}).wants(http.StatusOK)
			first := func(sort string) any {
				return reader.get("/products/orders?sort=" + sort).wants(http.StatusOK).json()["orders"].([]any)[0].(j)["id"]
			}
			require.Equal(t, all[1]["id"], first("-updatedAt"))
			require.Equal(t, all[24]["id"], first("-createdAt"))
			require.Equal(t, all[0]["id"], first("createdAt"))
		})
		s.run("search", func(t *testing.T) {
			s.category("Search")
			other := s.product("other", "Search", 1000)
			for i, text := range searched {
				body := j{"itemId": other, "client": "thing", "description": "thing", "quantity": i + 1}
				switch i % 3 {
				case 0:
					body["client"] = text
				case 1:
					body["description"] = text
				case 2:
					body["itemId"] = s.product(text, "Search", 1000)
				}
				admin.post("/products/orders", body).wants(http.StatusCreated)
			}
			searchCheck(t, reader, "/products/orders?category=Search&pageSize=100&", "orders", func(o j) string { return searched[int(o["quantity"].(float64))-1] }, searched)
		})
	})
}

// TestOrders_placeOnWhatGoes places orders of a product while it, or its category, is deleted: either the order is refused or the deletion.
func TestOrders_placeOnWhatGoes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, user := s.as(domain.RoleAdmin), s.as(domain.RoleUser)
		for round := range 16 {
			category := s.category(unique("Electronics"))
			item := s.product("iPhone 12", category, 10)
			remove := func() answer { return admin.delete("/products/" + item) }
			if round%2 == 1 {
				remove = func() answer { return admin.delete("/products/categories/" + category) }
			}
			place := func() answer {
				return user.post("/products/orders", j{"itemId": item, "client": "x", "quantity": 1, "initialState": "Draft"})
			}
			counts := tally(together(place, remove, place, remove, place, remove))
			if counts[http.StatusNoContent] > 0 {
				require.Equal(t, map[int]int{http.StatusNoContent: 1, http.StatusNotFound: 2, http.StatusBadRequest: 3}, counts)
			} else {
				require.Equal(t, map[int]int{http.StatusCreated: 3, http.StatusConflict: 3}, counts)
			}
		}
		s.checkBooks(t)
	})
}

// TestOrders_bodies sends what is no JSON object to every route of orders that takes one, and to that of quantities.
func TestOrders_bodies(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		item := s.product("iPhone 12", "Electronics", 10)
		id, admin := s.order(item, 3, domain.OrderDraft), s.as(domain.RoleAdmin)
		good := `{"itemId": "` + item + `", "client": "x", "quantity": 1, "transition": "Pending", "delta": 1`
		for _, to := range []struct{ method, path string }{
			{http.MethodPost, "/products/orders"},
			{http.MethodPut, "/products/orders/" + id},
			{http.MethodPatch, "/products/orders/state/" + id},
			{http.MethodPatch, "/products/quantity/" + item},
		} {
			for _, c := range []struct {
				name, body string
				headers    []string
				status     int
			}{
				{"nothing", "", nil, 400},
				{"list", "[" + good + "}]", nil, 400},
				{"cut", good, nil, 400},
				{"two_values", good + "} {}", nil, 400},
				{"key_twice", good + `, "quantity": 2, "transition": "Ready", "delta": 1}`, nil, 400},
				{"too_large", good + `, "x": "` + strings.Repeat("x", 64<<10) + `"}`, nil, 413},
				{"text", good + "}", []string{"Content-Type", "text/plain"}, 415},
				{"no_type", good + "}", []string{"Content-Type", ""}, 415},
				{"form", "--b--", []string{"Content-Type", "multipart/form-data; boundary=b"}, 415},
				{"compressed", good + "}", []string{"Content-Encoding", "gzip"}, 415},
			} {
				s.run(to.method+" "+to.path+"/"+c.name, func(t *testing.T) {
					before := s.dump()
					admin.do(to.method, to.path, c.body, c.headers...).refuses(c.status, "request")
					require.Equal(t, before, s.dump())
				})
			}
		}
	})
}
