package attacks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// attackStock: however many act at once, nothing is sold twice, given back twice or made from nothing.
func attackStock(t *testing.T, s *server) {
	move := func(t *testing.T, order, to string) answer {
		t.Helper()
		return s.admin.patch(t, "/products/orders/state/"+order, j{"transition": to})
	}
	state := func(t *testing.T, order string) string {
		t.Helper()
		return s.admin.get(t, "/products/orders/"+order).wants(t, http.StatusOK).text(t, "state")
	}
	t.Run("race/forty approvals for twenty", func(t *testing.T) {
		product := s.product(t, 100)
		orders := make([]string, 40)
		for i := range orders {
			orders[i] = s.order(t, product, 5, "Pending")
		}
		answers := race(len(orders), func(i int) answer { return move(t, orders[i], "Ready") })
		require.Equal(t, map[int]int{http.StatusOK: 20, http.StatusConflict: 20}, tally(answers))
		for _, a := range answers {
			if a.Status == http.StatusConflict {
				a.refuses(t, http.StatusConflict, "quantity")
			}
		}
		require.Zero(t, s.stock(t, product))
	})
	for _, c := range []struct {
		name, from, to string
		left           int
	}{{"approve", "Pending", "Ready", 93}, {"cancel an approved one", "Ready", "Cancelled", 100}, {"complete", "Ready", "Completed", 93}, {"reject", "Pending", "Cancelled", 100}, {"hand in", "Draft", "Pending", 100}} {
		t.Run("race/twenty "+c.name+" one order", func(t *testing.T) {
			product := s.product(t, 100)
			order := s.order(t, product, 7, c.from)
			answers := race(20, func(int) answer { return move(t, order, c.to) })
			require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusConflict: 19}, tally(answers))
			require.Equal(t, c.left, s.stock(t, product))
			require.Equal(t, c.to, state(t, order))
		})
	}
	t.Run("race/cancel and complete", func(t *testing.T) {
		for range 5 {
			product := s.product(t, 10)
			order := s.order(t, product, 4, "Ready")
			answers := race(10, func(i int) answer { return move(t, order, []string{"Cancelled", "Completed"}[i%2]) })
			require.Equal(t, 1, tally(answers)[http.StatusOK])
			require.Equal(t, map[string]int{"Cancelled": 10, "Completed": 6}[state(t, order)], s.stock(t, product))
		}
	})
	t.Run("race/approve and cancel", func(t *testing.T) {
		for range 5 {
			product := s.product(t, 10)
			order := s.order(t, product, 4, "Pending")
			race(10, func(i int) answer { return move(t, order, []string{"Cancelled", "Ready"}[i%2]) })
			require.Equal(t, map[string]int{"Cancelled": 10, "Ready": 6}[state(t, order)], s.stock(t, product))
		}
	})
	t.Run("race/approve and delete the order", func(t *testing.T) {
		for range 5 {
			product := s.product(t, 10)
			order := s.order(t, product, 4, "Pending")
			answers := race(6, func(i int) answer {
				if i%2 == 0 {
					return s.admin.delete(t, "/products/orders/"+order)
				}
				return move(t, order, "Ready")
			})
			require.Equal(t, 1, tally(answers)[http.StatusNoContent])
			s.admin.get(t, "/products/orders/"+order).refuses(t, http.StatusNotFound, "id")
			require.Equal(t, 10, s.stock(t, product), "what was taken came back")
		}
	})
	t.Run("race/approve and edit", func(t *testing.T) {
		for range 5 {
			product := s.product(t, 10)
			order := s.order(t, product, 1, "Pending")
			race(6, func(i int) answer {
				if i%2 == 0 {
					return s.admin.put(t, "/products/orders/"+order, j{"client": "x", "quantity": 8 + i/2})
				}
				return move(t, order, "Ready")
			})
			taken := s.admin.get(t, "/products/orders/"+order).json(t)["quantity"].(float64)
			require.Equal(t, "Ready", state(t, order))
			require.Equal(t, 10-int(taken), s.stock(t, product))
			move(t, order, "Cancelled").wants(t, http.StatusOK)
			require.Equal(t, 10, s.stock(t, product))
		}
	})
	t.Run("race/take fifty of twenty", func(t *testing.T) {
		product := s.product(t, 20)
		answers := race(50, func(int) answer { return s.staff[user].patch(t, "/products/quantity/"+product, j{"delta": -1}) })
		require.Equal(t, map[int]int{http.StatusOK: 20, http.StatusConflict: 30}, tally(answers))
		require.Zero(t, s.stock(t, product))
	})
	t.Run("race/take and approve", func(t *testing.T) {
		product := s.product(t, 10)
		orders := make([]string, 15)
		for i := range orders {
			orders[i] = s.order(t, product, 1, "Pending")
		}
		answers := race(30, func(i int) answer {
			if i%2 == 0 {
				return move(t, orders[i/2], "Ready")
			}
			return s.admin.patch(t, "/products/quantity/"+product, j{"delta": -1})
		})
		require.Equal(t, map[int]int{http.StatusOK: 10, http.StatusConflict: 20}, tally(answers))
		require.Zero(t, s.stock(t, product))
	})
	t.Run("race/count and approve", func(t *testing.T) {
		product := s.product(t, 10)
		orders := make([]string, 8)
		for i := range orders {
			orders[i] = s.order(t, product, 2, "Pending")
		}
		race(16, func(i int) answer {
			if i%2 == 0 {
				return move(t, orders[i/2], "Ready")
			}
			return s.admin.patch(t, "/products/quantity/"+product, j{"quantity": i})
		})
		s.stock(t, product)
	})
	t.Run("race/orders crosswise", func(t *testing.T) {
		a, b := s.product(t, 1000), s.product(t, 1000)
		orders := make([]string, 24)
		for i := range orders {
			orders[i] = s.order(t, []string{a, b}[i%2], 1, "Pending")
		}
		race(48, func(i int) answer { return move(t, orders[i%24], []string{"Ready", "Cancelled"}[i/24]) })
		held := map[string]int{}
		for i, order := range orders {
			if state(t, order) == "Ready" {
				held[[]string{a, b}[i%2]]++
			}
		}
		require.Equal(t, []int{1000 - held[a], 1000 - held[b]}, []int{s.stock(t, a), s.stock(t, b)})
	})
	t.Run("race/delete the product and order it", func(t *testing.T) {
		for range 5 {
			product := s.product(t, 10)
			answers := race(8, func(i int) answer {
				if i == 3 {
					return s.admin.delete(t, "/products/"+product)
				}
				return s.admin.post(t, "/products/orders", j{"itemId": product, "client": "x", "quantity": 1})
			})
			made := 0
			for i, a := range answers {
				if i != 3 && a.Status == http.StatusCreated {
					made++
				}
			}
			if answers[3].Status == http.StatusNoContent {
				require.Zero(t, made, "an open order of a deleted product")
			} else {
				answers[3].refuses(t, http.StatusConflict, "id")
			}
		}
	})
	t.Run("race/delete the product and approve", func(t *testing.T) {
		product := s.product(t, 10)
		order := s.order(t, product, 1, "Pending")
		answers := race(10, func(i int) answer {
			if i == 0 {
				return move(t, order, "Ready")
			}
			return s.admin.delete(t, "/products/"+product)
		})
		require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusConflict: 9}, tally(answers))
		require.Equal(t, 9, s.stock(t, product))
	})
	t.Run("race/delete the category and fill it", func(t *testing.T) {
		for range 5 {
			category := s.category(t)
			answers := race(8, func(i int) answer {
				if i == 3 {
					return s.admin.delete(t, "/products/categories/"+category)
				}
				return s.admin.post(t, "/products", j{"name": "x", "category": category, "quantity": 1})
			})
			answers[3].wants(t, http.StatusNoContent)
			for _, a := range answers {
				if a.Status == http.StatusCreated { // before the category went, and then with it
					s.admin.get(t, "/products/"+a.text(t, "id")).refuses(t, http.StatusNotFound, "id")
				}
			}
		}
	})
	t.Run("race/one category name for twenty", func(t *testing.T) {
		name := s.unique("Ärger")
		answers := race(20, func(i int) answer {
			return s.admin.post(t, "/products/categories", j{"name": []string{name, strings.ToUpper(name)}[i%2]})
		})
		require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 19}, tally(answers))
	})

	states := []string{"Draft", "Pending", "Ready", "Completed", "Cancelled"}
	drawn := map[string]bool{"Draft Pending": true, "Draft Cancelled": true, "Pending Ready": true, "Pending Cancelled": true, "Ready Completed": true, "Ready Cancelled": true}
	steady := s.product(t, 100)
	for _, from := range states {
		order := s.order(t, steady, 2, from)
		paths := []string{"/products/orders/" + order, "/products/orders/" + order + "/history", "/products/" + steady, "/products/" + steady + "/movements"}
		for _, to := range states {
			if drawn[from+" "+to] {
				continue
			}
			t.Run("step/"+from+" to "+to, func(t *testing.T) {
				s.unchanged(t, func() { move(t, order, to).refuses(t, http.StatusConflict, "transition") }, paths...)
			})
		}
		for _, bad := range []string{`"ready"`, `"READY"`, `"Ready "`, `"Approved"`, `""`, "null", "2", `["Ready"]`, `{"to":"Ready"}`, `"Ready\u0000"`, "true"} {
			t.Run("step/"+from+" to "+bad, func(t *testing.T) {
				s.unchanged(t, func() {
					s.admin.patch(t, paths[0][:len("/products/orders")]+"/state/"+order, `{"transition":`+bad+`}`).refuses(t, http.StatusBadRequest, "transition")
				}, paths...)
			})
		}
		for name, body := range map[string]j{"more": {"client": "x", "quantity": 50}, "less": {"client": "x", "quantity": 1}} {
			if from == "Draft" || from == "Pending" {
				continue
			}
			t.Run("step/"+from+" edited to "+name, func(t *testing.T) {
				s.unchanged(t, func() { s.admin.put(t, paths[0], body).wants(t, http.StatusConflict) }, paths...)
			})
		}
	}

	t.Run("much/more than there is", func(t *testing.T) {
		product := s.product(t, 10)
		s.unchanged(t, func() {
			for _, quantity := range []int{11, 1000000000} {
				s.admin.post(t, "/products/orders", j{"itemId": product, "client": "x", "quantity": quantity}).refuses(t, http.StatusConflict, "quantity")
			}
			s.admin.patch(t, "/products/quantity/"+product, j{"delta": -11}).refuses(t, http.StatusConflict, "delta")
			s.admin.patch(t, "/products/quantity/"+product, j{"delta": -1000000000}).refuses(t, http.StatusConflict, "delta")
			s.admin.patch(t, "/products/quantity/"+product, j{"delta": 1000000000}).refuses(t, http.StatusConflict, "delta")
		}, "/products/"+product)
	})
	t.Run("much/given back beyond the limit", func(t *testing.T) {
		product := s.product(t, 1000000000)
		orders := []string{s.order(t, product, 1000000000, "Ready")}
		s.admin.patch(t, "/products/quantity/"+product, j{"quantity": 1000000000}).wants(t, http.StatusOK)
		orders = append(orders, s.order(t, product, 1000000000, "Ready"))
		s.admin.patch(t, "/products/quantity/"+product, j{"quantity": 1000000000}).wants(t, http.StatusOK)
		for _, order := range orders {
			move(t, order, "Cancelled").wants(t, http.StatusOK)
		}
		require.Equal(t, 3000000000, s.stock(t, product))
		s.admin.patch(t, "/products/quantity/"+product, j{"delta": 1}).refuses(t, http.StatusConflict, "delta")
		s.admin.patch(t, "/products/quantity/"+product, j{"delta": -1}).wants(t, http.StatusOK)
	})
	t.Run("much/back and forth", func(t *testing.T) {
		product := s.product(t, 10)
		for range 10 {
			order := s.order(t, product, 10, "Ready")
			move(t, order, "Cancelled").wants(t, http.StatusOK)
			s.admin.delete(t, "/products/orders/"+order).wants(t, http.StatusNoContent)
			s.admin.delete(t, "/products/orders/"+order).refuses(t, http.StatusNotFound, "id")
		}
		require.Equal(t, 10, s.stock(t, product))
	})
	t.Run("much/a completed order gives nothing back when it is deleted", func(t *testing.T) {
		product := s.product(t, 10)
		order := s.order(t, product, 4, "Completed")
		s.admin.delete(t, "/products/orders/"+order).wants(t, http.StatusNoContent)
		require.Equal(t, 6, s.stock(t, product))
	})
	t.Run("much/an update without quantity leaves the stock", func(t *testing.T) {
		product := s.product(t, 10)
		category := s.admin.get(t, "/products/"+product).text(t, "category")
		race(10, func(i int) answer {
			if i%2 == 0 {
				return s.admin.put(t, "/products/"+product, j{"name": fmt.Sprint("renamed ", i), "category": category})
			}
			return s.admin.patch(t, "/products/quantity/"+product, j{"delta": -1})
		})
		require.Equal(t, 5, s.stock(t, product))
	})

	attackKeys(t, s)
	attackVersions(t, s)
}

// attackKeys is about Idempotency-Key.
func attackKeys(t *testing.T, s *server) {
	product := s.product(t, 1000)
	body := func() j {
		return j{"itemId": product, "client": s.unique("client"), "quantity": 1}
	}
	place := func(t *testing.T, c *client, body any, key string) answer {
		t.Helper()
		return c.post(t, "/products/orders", body, "Idempotency-Key", key)
	}
	orders := func(t *testing.T, client any) int {
		t.Helper()
		return s.admin.count(t, fmt.Sprint("/products/orders?search=", client))
	}
	t.Run("key/twenty at once", func(t *testing.T) {
		order, key := body(), uuid.NewString()
		answers := race(20, func(int) answer { return place(t, s.admin, order, key) })
		fresh, ids := 0, map[string]bool{}
		for _, a := range answers {
			if a.Status == http.StatusConflict {
				a.refuses(t, http.StatusConflict, "request")
				continue
			}
			ids[a.wants(t, http.StatusCreated).text(t, "id")] = true
			if a.Header.Get("Idempotent-Replayed") == "" {
				fresh++
			}
		}
		require.Equal(t, []int{1, 1, 1}, []int{fresh, len(ids), orders(t, order["client"])})
	})
	t.Run("key/twenty at once with two bodies", func(t *testing.T) {
		one, other, key := body(), body(), uuid.NewString()
		race(20, func(i int) answer { return place(t, s.admin, []j{one, other}[i%2], key) })
		require.Equal(t, 1, orders(t, one["client"])+orders(t, other["client"]))
	})
	t.Run("key/another body", func(t *testing.T) {
		order, key := body(), uuid.NewString()
		place(t, s.admin, order, key).wants(t, http.StatusCreated)
		for _, changed := range []j{order.but(j{"quantity": 2}), order.but(j{"client": nil}), order.but(j{"x": 1}), {}} {
			place(t, s.admin, changed, key).refuses(t, http.StatusUnprocessableEntity, "request")
		}
		s.admin.post(t, "/products/orders", "", "Idempotency-Key", key).refuses(t, http.StatusUnprocessableEntity, "request")
		require.Equal(t, 1, orders(t, order["client"]))
	})
	t.Run("key/another route", func(t *testing.T) {
		name, key := s.unique("category"), uuid.NewString()
		s.admin.post(t, "/products/categories", j{"name": name}, "Idempotency-Key", key).wants(t, http.StatusCreated)
		for _, path := range []string{"/products", "/products/orders", "/auth/invite"} {
			s.admin.post(t, path, j{"name": name}, "Idempotency-Key", key).refuses(t, http.StatusUnprocessableEntity, "request")
		}
	})
	t.Run("key/another caller", func(t *testing.T) {
		order, key := body(), uuid.NewString()
		first := place(t, s.admin, order, key).wants(t, http.StatusCreated).text(t, "id")
		for _, c := range []*client{s.staff[manager], s.staff[user]} {
			a := place(t, c, order, key).wants(t, http.StatusCreated)
			require.NotEqual(t, first, a.text(t, "id"))
			require.Empty(t, a.Header.Get("Idempotent-Replayed"))
		}
	})
	t.Run("key/a caller who may not any more", func(t *testing.T) {
		c, order, key := s.newUser(t, user), body(), uuid.NewString()
		place(t, c, order, key).wants(t, http.StatusCreated)
		s.admin.put(t, "/users/"+c.id, invitee(c.email, readonlyUser)).wants(t, http.StatusNoContent)
		place(t, c, order, key).refuses(t, http.StatusForbidden, "authorization")
		s.admin.delete(t, "/users/"+c.id).wants(t, http.StatusNoContent)
		place(t, c, order, key).refuses(t, http.StatusUnauthorized, "authorization")
	})
	t.Run("key/without a token", func(t *testing.T) {
		order, key := body(), uuid.NewString()
		place(t, s.admin, order, key).wants(t, http.StatusCreated)
		place(t, s.anonymous(), order, key).refuses(t, http.StatusUnauthorized, "authorization")
	})
	t.Run("key/a refusal is repeated", func(t *testing.T) {
		order, key := body().but(j{"quantity": 100000}), uuid.NewString()
		place(t, s.admin, order, key).refuses(t, http.StatusConflict, "quantity")
		again := place(t, s.admin, order, key).refuses(t, http.StatusConflict, "quantity")
		require.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
	})
	t.Run("key/ten invitations are one", func(t *testing.T) {
		email, key := s.unique("once")+"@example.com", uuid.NewString()
		for range 10 {
			s.admin.post(t, "/auth/invite", invitee(email, user), "Idempotency-Key", key).wants(t, http.StatusCreated)
		}
		_, _ = s.invite(t, user) // whose mail is written after all of these
		require.Len(t, s.lettersTo(t, email), 1)
	})
	for name, key := range map[string]string{"empty": "", "256 characters": strings.Repeat("x", 256), "256 wide characters": strings.Repeat("ä", 256), "not UTF-8": "\xff\xfe", "a tab": "a\tb", "10000 characters": strings.Repeat("x", 10000)} {
		t.Run("key/refused "+name, func(t *testing.T) {
			s.unchanged(t, func() { place(t, s.admin, body(), key).refuses(t, http.StatusBadRequest, "request") })
		})
	}
	t.Run("key/two", func(t *testing.T) {
		s.unchanged(t, func() {
			s.admin.post(t, "/products/orders", body(), "Idempotency-Key", "a", "Idempotency-Key", "b").refuses(t, http.StatusBadRequest, "request")
		})
	})
	for name, keys := range map[string][2]string{"case": {"Key-", "key-"}, "255 characters": {strings.Repeat("x", 220), strings.Repeat("y", 220)}, "SQL": {"' OR 1=1--", "' OR 1=2--"}, "wildcards": {"%", "_"}, "spaces inside": {"a b", "a  b"}, "Unicode": {"ä", "a\u0308"}} {
		t.Run("key/apart by "+name, func(t *testing.T) {
			order, suffix := body(), s.unique("-")
			a, b := place(t, s.admin, order, keys[0]+suffix).wants(t, http.StatusCreated), place(t, s.admin, order, keys[1]+suffix).wants(t, http.StatusCreated)
			require.NotEqual(t, a.text(t, "id"), b.text(t, "id"))
		})
	}
	t.Run("key/no way to the answer of a login", func(t *testing.T) {
		key := uuid.NewString()
		login := j{"email": s.staff[readonlyUser].email, "password": goodPassword}
		one := s.anonymous().post(t, "/auth/login", login, "Idempotency-Key", key).wants(t, http.StatusOK)
		other := s.anonymous().post(t, "/auth/login", login, "Idempotency-Key", key).wants(t, http.StatusOK)
		require.NotEqual(t, one.text(t, "refreshToken"), other.text(t, "refreshToken"))
		require.Empty(t, other.Header.Get("Idempotent-Replayed"))
	})
}

// attackVersions is about If-Match.
func attackVersions(t *testing.T, s *server) {
	product := s.product(t, 100)
	category := s.admin.get(t, "/products/"+product).text(t, "category")
	for _, c := range []struct {
		name string
		path string
		call func(path, tag string, i int) answer
	}{
		{"twenty updates", "/products/" + product, func(path, tag string, i int) answer {
			return s.admin.put(t, path, j{"name": fmt.Sprint("name ", i), "category": category}, "If-Match", tag)
		}},
		{"twenty quantities", "/products/" + product, func(_, tag string, i int) answer {
			return s.admin.patch(t, "/products/quantity/"+product, j{"quantity": i + 1}, "If-Match", tag)
		}},
		{"twenty edits of an order", "/products/orders/" + s.order(t, product, 1, "Pending"), func(path, tag string, i int) answer {
			return s.admin.put(t, path, j{"client": fmt.Sprint("client ", i), "quantity": 1}, "If-Match", tag)
		}},
	} {
		t.Run("version/"+c.name, func(t *testing.T) {
			tag := s.admin.get(t, c.path).wants(t, http.StatusOK).Header.Get("ETag")
			answers := race(20, func(i int) answer { return c.call(c.path, tag, i) })
			require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 19}, tally(answers))
		})
	}
	t.Run("version/an old one of an order", func(t *testing.T) {
		order := s.order(t, product, 1, "Draft")
		path := "/products/orders/" + order
		old := s.admin.get(t, path).Header.Get("ETag")
		s.admin.patch(t, "/products/orders/state/"+order, j{"transition": "Pending"}, "If-Match", old).wants(t, http.StatusOK)
		s.unchanged(t, func() {
			s.admin.patch(t, "/products/orders/state/"+order, j{"transition": "Cancelled"}, "If-Match", old).refuses(t, http.StatusPreconditionFailed, "request")
			s.admin.put(t, path, j{"client": "x", "quantity": 1}, "If-Match", old).refuses(t, http.StatusPreconditionFailed, "request")
			s.admin.delete(t, path, "If-Match", old).refuses(t, http.StatusPreconditionFailed, "request")
		}, path, path+"/history")
	})
	t.Run("version/of what is not there", func(t *testing.T) {
		for _, tag := range []string{"*", `"v1"`} {
			s.admin.delete(t, "/products/"+uuid.NewString(), "If-Match", tag).refuses(t, http.StatusNotFound, "id")
			s.admin.patch(t, "/products/orders/state/"+uuid.NewString(), j{"transition": "Ready"}, "If-Match", tag).refuses(t, http.StatusNotFound, "id")
		}
	})
}
