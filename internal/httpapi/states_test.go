package httpapi_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// states are those of an order, in the order of the columns of [arrows].
var states = []domain.OrderState{domain.OrderDraft, domain.OrderPending, domain.OrderReady, domain.OrderCompleted, domain.OrderCancelled}

// arrows is the state diagram: for each state where an order stands (the row) and each to go to (the column) who may, or nobody.
var arrows = map[domain.OrderState][5][]domain.Role{
	//                     Draft    Pending  Ready     Completed Cancelled
	domain.OrderDraft:     {nobody, workers, nobody, nobody, workers},
	domain.OrderPending:   {nobody, nobody, managers, nobody, workers},
	domain.OrderReady:     {nobody, nobody, nobody, managers, managers},
	domain.OrderCompleted: {nobody, nobody, nobody, nobody, nobody},
	domain.OrderCancelled: {nobody, nobody, nobody, nobody, nobody},
}

var nobody []domain.Role

// effects is what the steps that move stock write into the ledger, for an order of 3 units of 10.
var effects = map[[2]domain.OrderState][]string{
	{domain.OrderPending, domain.OrderReady}:   {"Reserved -3 7"},
	{domain.OrderReady, domain.OrderCancelled}: {"Released 3 10"},
}

// past is how an order came to where it stands, and what its ledger says.
var past = map[domain.OrderState]struct{ history, ledger []string }{
	domain.OrderDraft:     {[]string{"-Draft"}, nil},
	domain.OrderPending:   {[]string{"-Pending"}, nil},
	domain.OrderReady:     {[]string{"-Pending", "Pending-Ready"}, []string{"Reserved -3 7"}},
	domain.OrderCompleted: {[]string{"-Pending", "Pending-Ready", "Ready-Completed"}, []string{"Reserved -3 7"}},
	domain.OrderCancelled: {[]string{"-Pending", "Pending-Cancelled"}, nil},
}

// TestStates has every role take an order from every state to every state.
func TestStates(t *testing.T) {
	t.Parallel()
	made, moved := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 1, 1, 0, 5, 0, 0, time.UTC)
	each(t, func(_ *testing.T, s *server) {
		for from, row := range arrows {
			for i, may := range row {
				for _, role := range staff {
					s.run(fmt.Sprintf("%s/%s/%s", from, states[i], role), func(t *testing.T) {
						s.stop(made)
						item := s.product("iPhone 12", "Electronics", 10)
						m := mover{order: s.order(item, 3, from), item: item, from: from, to: states[i], by: s.as(role), at: moved}
						s.stop(moved)
						m.check(t, s, may)
					})
				}
			}
		}
	})
}

// mover is somebody who tries a step.
type mover struct {
	order, item string
	from, to    domain.OrderState
	by          *client
	at          time.Time
}

func (m mover) check(t *testing.T, s *server, may []domain.Role) {
	before := s.dump()
	a := m.by.patch("/products/orders/state/"+m.order, j{"transition": m.to})
	switch {
	case m.by.user.Role == domain.RoleReadonlyUser:
		a.refuses(http.StatusForbidden, "authorization")
	case len(may) == 0:
		require.Equal(t, map[string][]string{"transition": {fmt.Sprintf("The transaction cannot go from the state '%s' to the state '%s'", m.from, m.to)}},
			a.refuses(http.StatusConflict, "transition"))
	case !slices.Contains(may, m.by.user.Role):
		a.refuses(http.StatusForbidden, "authorization")
	default:
		a.wants(http.StatusOK)
		m.checkMoved(t, s, a)
		return
	}
	require.Equal(t, before, s.dump())
}

// checkMoved proves that the step is told everywhere: in the answer, the order, its history, the stock and the ledger.
func (m mover) checkMoved(t *testing.T, s *server, a answer) {
	history, ledger := past[m.from].history, append(past[m.from].ledger, effects[[2]domain.OrderState{m.from, m.to}]...)
	quantity, made := int64(10), "2021-01-01T00:00:00.000Z"
	if n := len(ledger); n > 0 {
		_, err := fmt.Sscanf(ledger[n-1], "%s %d %d", new(string), new(int64), &quantity)
		require.NoError(t, err)
	}
	itemMoved := made
	if len(effects[[2]domain.OrderState{m.from, m.to}]) > 0 {
		itemMoved = "2021-01-01T00:05:00.000Z"
	}
	require.Equal(t, j{
		"id": m.order, "client": "John Doe Enterprises", "description": "", "quantity": 3., "state": string(m.to), "createdAt": made, "updatedAt": "2021-01-01T00:05:00.000Z",
		"item": j{
			"id": m.item, "name": "iPhone 12", "category": "Electronics", "quantity": float64(quantity), "description": "", "imageUrl": nil,
			"createdAt": made, "updatedAt": itemMoved,
		},
	}, a.json())
	admin := s.as(domain.RoleAdmin)
	require.Equal(t, a.json(), admin.get("/products/orders/"+m.order).wants(http.StatusOK).json())
	require.Equal(t, quantity, s.quantity(m.item))
	s.checkLedger(m.item)

	step := func(text, at string, by domain.User) j {
		from, to, _ := cut(text)
		return j{"from": from, "to": to, "user": j{"id": by.ID.String(), "username": *by.Username}, "createdAt": at}
	}
	want := []any{}
	for _, text := range history {
		want = append(want, step(text, made, admin.user))
	}
	want = append(want, step(fmt.Sprintf("%s-%s", m.from, m.to), "2021-01-01T00:05:00.000Z", m.by.user))
	require.Equal(t, want, withoutIDs(admin.get("/products/orders/" + m.order + "/history").wants(http.StatusOK).json()["history"]))

	lines := []string{}
	for _, line := range admin.get("/products/" + m.item + "/movements?sort=createdAt").wants(http.StatusOK).json()["movements"].([]any)[1:] {
		l := line.(j)
		require.Equal(t, m.order, l["orderId"])
		lines = append(lines, fmt.Sprintf("%s %v %v", l["reason"], l["delta"], l["quantityAfter"]))
	}
	require.Equal(t, append([]string{}, ledger...), lines)
}

// cut reads a step that is written as from-to; there is no from when the order was made.
func cut(step string) (from any, to string, ok bool) {
	for _, f := range append([]domain.OrderState{""}, states...) {
		for _, to := range states {
			if string(f)+"-"+string(to) == step {
				if f == "" {
					return nil, string(to), true
				}
				return string(f), string(to), true
			}
		}
	}
	return nil, "", false
}

// withoutIDs takes the ids, which only have to be there, out of a list.
func withoutIDs(list any) []any {
	for _, line := range list.([]any) {
		if line.(j)["id"] != "" {
			delete(line.(j), "id")
		}
	}
	return list.([]any)
}

// TestStates_race has twenty callers make the same step at once: one does, the others hear that the step does not exist any more.
func TestStates_race(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		for from, row := range arrows {
			for i, may := range row {
				if len(may) == 0 {
					continue
				}
				s.run(fmt.Sprintf("%s/%s", from, states[i]), func(t *testing.T) {
					const callers = 20
					item := s.product("iPhone 12", "Electronics", 100)
					order, manager := s.order(item, 3, from), s.as(domain.RoleManager)
					answers := atOnce(callers, func(int) answer { return manager.patch("/products/orders/state/"+order, j{"transition": states[i]}) })
					require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusConflict: callers - 1}, tally(answers))
					for _, a := range answers {
						if a.Status == http.StatusConflict {
							a.refuses(http.StatusConflict, "transition")
						}
					}
					require.Len(t, manager.get("/products/orders/" + order + "/history").json()["history"], len(past[from].history)+1)
					s.checkBooks(t)
				})
			}
		}
	})
}

// TestStates_chaos has everything that can happen to an order, its product and its category happen at once, again and again.
func TestStates_chaos(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, user := s.as(domain.RoleAdmin), s.as(domain.RoleUser)
		done := map[string]int{}
		for round := range 12 {
			category := s.category(unique("Electronics"))
			item := s.product("iPhone 12", category, 10)
			order := s.order(item, 3, states[round%3])
			move := func(to domain.OrderState) func() answer {
				return func() answer { return admin.patch("/products/orders/state/"+order, j{"transition": to}) }
			}
			calls := map[string]func() answer{
				"submit":   move(domain.OrderPending),
				"approve":  move(domain.OrderReady),
				"complete": move(domain.OrderCompleted),
				"cancel":   move(domain.OrderCancelled),
				"edit": func() answer {
					return admin.put("/products/orders/"+order, j{"client": "Main Office", "description": "", "quantity": 8})
				},
				"delete order":    func() answer { return admin.delete("/products/orders/" + order) },
				"delete product":  func() answer { return admin.delete("/products/" + item) },
				"delete category": func() answer { return admin.delete("/products/categories/" + category) },
				"change": func() answer {
					return user.put("/products/"+item, j{"name": "iPhone 12", "category": category, "quantity": 9, "description": ""})
				},
				"take": func() answer { return user.patch("/products/quantity/"+item, j{"delta": -4}) },
				"order": func() answer {
					return user.post("/products/orders", j{"itemId": item, "client": "John", "description": "", "quantity": 2})
				},
				"create": func() answer {
					return user.post("/products", j{"name": "iPhone 13", "category": category, "quantity": 1, "description": ""})
				},
			}
			what := slices.Collect(maps.Keys(calls))
			what = append(what, what...) // twice, since what fails early on may go later
			rand.Shuffle(len(what), func(a, b int) { what[a], what[b] = what[b], what[a] })
			for i, a := range atOnce(len(what), func(i int) answer { return calls[what[i]]() }) {
				require.Contains(t, []int{
					http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict,
				}, a.Status, "%s: %s", what[i], a.Body)
				if a.Status == http.StatusBadRequest {
					// The product or the category that a body names has gone.
					require.Contains(t, []string{"order", "create", "change"}, what[i], a.Body)
				}
				if a.Status < http.StatusBadRequest {
					done[what[i]]++
				}
			}
			s.checkBooks(t)
		}
		require.Greater(t, len(done), 3, "hardly anything went well: %v", done)
	})
}

// checkBooks proves over the whole database what is always true of products, orders and the ledger, deleted ones included. Each query
// looks for what must not be.
func (s *server) checkBooks(t *testing.T) {
	t.Helper()
	for what, query := range map[string]string{
		"quantities that are not the sum of the ledger": `SELECT p.id, p.quantity, SUM(m.delta) FROM products p JOIN movements m ON m.product_id = p.id
			GROUP BY p.id, p.quantity HAVING p.quantity <> SUM(m.delta) OR p.quantity < 0`,
		"products without a ledger": `SELECT id FROM products WHERE id NOT IN (SELECT product_id FROM movements)`,
		"lines that do not follow from those before": `SELECT m.id, m.quantity_after, SUM(b.delta) FROM movements m
			JOIN movements b ON b.product_id = m.product_id AND b.product_version <= m.product_version
			GROUP BY m.id, m.quantity_after HAVING m.quantity_after <> SUM(b.delta) OR m.quantity_after < 0`,
		"orders whose stock does not fit their history": `SELECT o.id, o.state, o.quantity FROM orders o
			LEFT JOIN movements taken ON taken.order_id = o.id AND taken.reason = 'Reserved'
			LEFT JOIN movements back ON back.order_id = o.id AND back.reason = 'Released'
			WHERE (taken.id IS NOT NULL) <> EXISTS (SELECT 1 FROM order_steps WHERE order_id = o.id AND to_state = 'Ready')
				OR (taken.id IS NOT NULL AND taken.delta <> -o.quantity)
				OR (back.id IS NOT NULL AND back.delta <> o.quantity)
				OR (back.id IS NOT NULL) <> (taken.id IS NOT NULL AND (o.state = 'Cancelled' OR (o.state = 'Ready' AND o.deleted_at IS NOT NULL)))`,
		"stock that was moved twice for an order": `SELECT order_id, reason FROM movements WHERE order_id IS NOT NULL GROUP BY order_id, reason HAVING COUNT(*) > 1`,
		"orders that do not stand where their history ends": `SELECT o.id FROM orders o WHERE o.state <>
			(SELECT to_state FROM order_steps s WHERE s.order_id = o.id ORDER BY order_version DESC LIMIT 1)`,
		"steps that do not follow from the one before": `SELECT s.id FROM order_steps s WHERE COALESCE(s.from_state, '') <>
			COALESCE((SELECT to_state FROM order_steps b WHERE b.order_id = s.order_id AND b.order_version < s.order_version ORDER BY order_version DESC LIMIT 1), '')`,
		"open orders of a product that is gone": `SELECT o.id FROM orders o JOIN products p ON p.id = o.product_id
			WHERE o.deleted_at IS NULL AND o.state IN ('Draft', 'Pending', 'Ready') AND p.deleted_at IS NOT NULL`,
		"products of a category that is gone": `SELECT p.id FROM products p JOIN categories c ON c.id = p.category_id
			WHERE p.deleted_at IS NULL AND c.deleted_at IS NOT NULL`,
	} {
		require.Empty(t, s.rows(query), what)
	}
}
