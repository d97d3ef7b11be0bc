package service_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

// refusal says whether an error is one that the data may give while others work on it, and not a fault.
func refusal(err error) bool {
	var e *domain.Error
	return err == nil || (errors.As(err, &e) && e.Kind != domain.KindUnavailable)
}

// TestRaces_everythingAtOnce has eight people do anything to a few products and orders. Whatever came of it, it adds up.
func TestRaces_everythingAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin, seed := w.as(domain.RoleAdmin).Actor, rand.Uint64()
		t.Logf("seed %d", seed)
		var mu sync.Mutex
		var categories []string
		var products, orders []uuid.UUID
		for range 3 {
			c := w.category()
			categories = append(categories, c.Name)
			for range 2 {
				products = append(products, w.product(c, 20, nil).ID)
			}
		}
		one := func(r *rand.Rand, ids *[]uuid.UUID) uuid.UUID {
			mu.Lock()
			defer mu.Unlock()
			if len(*ids) == 0 {
				return uuid.Nil
			}
			return (*ids)[max(0, len(*ids)-1-r.IntN(12))] // mostly the newest, which are still open
		}
		add := func(ids *[]uuid.UUID, id uuid.UUID, err error) error {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				*ids = append(*ids, id)
			}
			return err
		}
		step := func(r *rand.Rand) error {
			category, quantity := categories[r.IntN(len(categories))], int64(1+r.IntN(5))
			switch n := r.IntN(100); {
			case n < 25:
				o, err := w.orders.Place(w.ctx, admin, service.NewOrder{ItemID: one(r, &products), Client: "x", Quantity: quantity, State: domain.OrderPending}, nil, nil)
				return add(&orders, o.ID, err)
			case n < 65:
				to := []domain.OrderState{domain.OrderReady, domain.OrderReady, domain.OrderCompleted, domain.OrderCancelled}[r.IntN(4)]
				_, err := w.orders.Move(w.ctx, admin, one(r, &orders), to, domain.Expectation{}, nil)
				return err
			case n < 70:
				_, err := w.orders.Edit(w.ctx, admin, one(r, &orders), service.OrderText{Client: "y", Quantity: quantity}, domain.Expectation{}, nil)
				return err
			case n < 74:
				return w.orders.Delete(w.ctx, admin, one(r, &orders), domain.Expectation{})
			case n < 82:
				_, err := w.products.Adjust(w.ctx, admin, one(r, &products), service.Adjustment{Delta: new(quantity - 2)}, domain.Expectation{}, nil)
				return err
			case n < 90:
				_, err := w.products.Update(w.ctx, admin, one(r, &products), service.ProductInput{Name: "x", Category: category, Quantity: new(10 * quantity)}, domain.Expectation{}, nil)
				return err
			case n < 94:
				p, err := w.products.Create(w.ctx, admin, service.ProductInput{Name: "x", Category: category, Quantity: &quantity}, nil, nil)
				return add(&products, p.ID, err)
			case n < 97:
				return w.products.Delete(w.ctx, admin, one(r, &products), domain.Expectation{})
			case n < 98:
				return w.categories.Delete(w.ctx, admin, category)
			default:
				_, err := w.categories.Create(w.ctx, admin, category, nil, nil)
				return err
			}
		}
		for _, err := range together(8, func(i int) error {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 60 {
				if err := step(r); !refusal(err) {
					return err
				}
			}
			return nil
		}) {
			w.ok(err)
		}
		w.addsUp()
		require.Greater(t, w.count("movements WHERE reason = 'Reserved'"), 10, "not much was done")
		require.Greater(t, w.count("movements WHERE reason = 'Released'"), 2, "not much was done")
	})
}

// addsUp checks what is always true of stock and orders.
func (w *world) addsUp() {
	w.t.Helper()
	none := func(what, query string) {
		w.t.Helper()
		var n int
		w.ok(w.raw.QueryRowContext(w.ctx, "SELECT COUNT(*) FROM ("+query+") AS broken").Scan(&n))
		require.Zero(w.t, n, what)
	}
	none("stock is below zero", `SELECT 1 FROM products WHERE quantity < 0`)
	none("a quantity is not the sum of its ledger", `SELECT p.id FROM products p LEFT JOIN movements m ON m.product_id = p.id GROUP BY p.id, p.quantity HAVING p.quantity <> COALESCE(SUM(m.delta), 0)`)
	none("a line of a ledger does not follow from those before", `SELECT 1 FROM (SELECT quantity_after, SUM(delta) OVER (PARTITION BY product_id ORDER BY product_version) AS running FROM movements) AS lines WHERE quantity_after <> running`)
	none("an order took or gave back what it should not", `SELECT 1 FROM orders o JOIN (
			SELECT o.id, COALESCE(SUM(CASE m.reason WHEN 'Reserved' THEN -m.delta END), 0) AS taken, COALESCE(SUM(CASE m.reason WHEN 'Released' THEN m.delta END), 0) AS returned
			FROM orders o LEFT JOIN movements m ON m.order_id = o.id GROUP BY o.id) AS s ON s.id = o.id
		WHERE NOT CASE WHEN o.deleted_at IS NULL AND o.state IN ('Ready', 'Completed') THEN taken = o.quantity AND returned = 0
			WHEN o.deleted_at IS NOT NULL AND o.state = 'Completed' THEN taken = o.quantity AND returned = 0
			WHEN o.state IN ('Draft', 'Pending') THEN taken = 0 AND returned = 0
			ELSE taken = returned AND taken IN (0, o.quantity) END`)
	none("a history is broken", `SELECT 1 FROM (SELECT from_state, LAG(to_state) OVER (PARTITION BY order_id ORDER BY order_version) AS before FROM order_steps) AS steps
		WHERE COALESCE(from_state, '') <> COALESCE(before, '')`)
	none("a history ends elsewhere than its order", `SELECT 1 FROM orders o WHERE o.state <> (SELECT to_state FROM order_steps s WHERE s.order_id = o.id ORDER BY order_version DESC LIMIT 1)`)
	none("an open order of a deleted product", `SELECT 1 FROM orders o JOIN products p ON p.id = o.product_id WHERE o.deleted_at IS NULL AND o.state IN ('Draft', 'Pending', 'Ready') AND p.deleted_at IS NOT NULL`)
	none("a product of a deleted category", `SELECT 1 FROM products p JOIN categories c ON c.id = p.category_id WHERE p.deleted_at IS NULL AND c.deleted_at IS NOT NULL`)
}

// TestRaces_approvalsOfTwoProducts, in opposite orders, never get into each other's way.
func TestRaces_approvalsOfTwoProducts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin, c := w.as(domain.RoleAdmin).Actor, w.category()
		products := []domain.Product{w.product(c, 100, nil), w.product(c, 100, nil)}
		var orders [2][]uuid.UUID
		for i, p := range products {
			for range 20 {
				orders[i] = append(orders[i], w.order(p, 1, domain.OrderPending).ID)
			}
		}
		for _, err := range together(4, func(i int) error {
			for k := range 20 {
				for _, which := range []int{i % 2, (i + 1) % 2} {
					for _, to := range []domain.OrderState{domain.OrderReady, domain.OrderCancelled} {
						if _, err := w.orders.Move(w.ctx, admin, orders[which][k], to, domain.Expectation{}, nil); !refusal(err) {
							return err
						}
					}
				}
			}
			return nil
		}) {
			w.ok(err)
		}
		for _, p := range products {
			stored, err := w.store.Products.ByID(w.ctx, p.ID)
			w.ok(err)
			require.EqualValues(t, 100, stored.Quantity)
		}
		w.addsUp()
	})
}

// TestRaces_orderAgainstDeletion: of placing an order and deleting its product, or the product's category, one comes first.
func TestRaces_orderAgainstDeletion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin := w.as(domain.RoleAdmin).Actor
		outcomes := map[string]int{}
		for i := range 12 {
			c := w.category()
			p := w.product(c, 5, nil)
			errs := together(2, func(k int) error {
				switch {
				case k == 0:
					_, err := w.orders.Place(w.ctx, admin, service.NewOrder{ItemID: p.ID, Client: "x", Quantity: 1, State: domain.OrderDraft}, nil, nil)
					return err
				case i%2 == 0:
					return w.products.Delete(w.ctx, admin, p.ID, domain.Expectation{})
				default:
					return w.categories.Delete(w.ctx, admin, c.Name)
				}
			})
			if errs[0] == nil {
				w.refuses(errs[1], domain.KindConflict, []string{"id", "name"}[i%2])
				outcomes["placed"]++
			} else {
				w.refuses(errs[0], domain.KindInvalid, "itemId")
				w.ok(errs[1])
				outcomes["deleted"]++
			}
		}
		t.Log(outcomes)
		w.addsUp()
	})
}

// TestRaces_productAgainstItsCategory: of putting a product into a category and deleting that, one comes first.
func TestRaces_productAgainstItsCategory(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin := w.as(domain.RoleAdmin).Actor
		for i := range 12 {
			c := w.category()
			p := w.product(w.category(), 5, nil)
			in := service.ProductInput{Name: "x", Category: c.Name, Quantity: new(int64(1)), Image: picture(1)}
			errs := together(2, func(k int) (err error) {
				switch {
				case k == 0:
					return w.categories.Delete(w.ctx, admin, c.Name)
				case i%2 == 0:
					_, err = w.products.Create(w.ctx, admin, in, nil, nil)
				default:
					_, err = w.products.Update(w.ctx, admin, p.ID, in, domain.Expectation{}, nil)
				}
				return err
			})
			w.ok(errs[0])
			if errs[1] != nil {
				w.refuses(errs[1], domain.KindInvalid, "category")
			}
		}
		w.addsUp()
		var images []string
		listed, _, err := w.products.List(w.ctx, admin, domain.ProductFilter{Page: domain.Page{Number: 1, Size: 100, Sort: domain.Sort{Field: "name"}}}, nil)
		w.ok(err)
		for _, p := range listed {
			if p.Image != nil {
				images = append(images, *p.Image)
			}
		}
		slices.Sort(images)
		require.Equal(t, len(images), len(w.files()), "the pictures of what is gone are gone")
	})
}
