package repository_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// miscounted are the categories and states whose kept counts are not what a count says.
const miscounted = `
	SELECT 'category ' || c.name || ': ' || COALESCE(k.n, 0) FROM categories c LEFT JOIN product_counts k ON k.category_id = c.id
		WHERE COALESCE(k.n, 0) <> (SELECT COUNT(*) FROM products p WHERE p.category_id = c.id AND p.deleted_at IS NULL)
	UNION ALL SELECT s.state || ': ' || COALESCE(k.n, 0) FROM (SELECT state FROM order_counts UNION SELECT state FROM orders) s LEFT JOIN order_counts k ON k.state = s.state
		WHERE COALESCE(k.n, 0) <> (SELECT COUNT(*) FROM orders o WHERE o.state = s.state AND o.deleted_at IS NULL)`

func (b *base) countsHold(after string) {
	b.t.Helper()
	require.Empty(b.t, b.strings(miscounted), after)
}

// TestCounts_everyChange counts after each way in which products and orders are made, changed and removed, through the store and around it.
func TestCounts_everyChange(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		phones, lamps, empty := b.category("Phones"), b.category("Lamps"), b.category("Empty")
		var p, q domain.Product
		var o domain.Order
		refused := errors.New("refused")
		inTx := func(f func(tx *repository.Store) error) func() error {
			return func() error { return b.InTx(b.ctx, f) }
		}
		exec := func(statement string, args ...any) func() error {
			return func() error { return b.exec(statement, args...) }
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"a product", func() error { p = b.product("iPhone", phones, 5); return nil }},
			{"another one", func() error { q = b.product("Lamp", lamps, 5); return nil }},
			{"several", func() error {
				return b.Products.CreateAll(b.ctx, []domain.Product{domain.NewProduct("a", "", phones, nil, now), domain.NewProduct("b", "", lamps, nil, now),
					domain.NewProduct("c", "", phones, nil, now)})
			}},
			{"its stock", func() error {
				_, err := b.Stock.Apply(b.ctx, domain.NewMovement(p.ID, 1, domain.MovementAdjusted, u.ID, now))
				p.Version++
				return err
			}},
			{"its description", func() error {
				var err error
				p.Describe("iPhone 2", "", phones, now)
				p.Version, err = b.Products.SaveDescription(b.ctx, p)
				return err
			}},
			{"its category", func() error {
				var err error
				p.Describe("iPhone 3", "", lamps, now)
				p.Version, err = b.Products.SaveDescription(b.ctx, p)
				return err
			}},
			{"several descriptions", func() error {
				p.Describe("iPhone 4", "", phones, now)
				q.Describe("Lamp 2", "", lamps, now)
				defer func() { p.Version++; q.Version++ }()
				return b.Products.SaveDescriptions(b.ctx, []domain.Product{p, q})
			}},
			{"a transaction taken back", inTx(func(tx *repository.Store) error {
				_ = tx.Products.Create(b.ctx, domain.NewProduct("x", "", phones, nil, now))
				return refused
			})},
			{"a savepoint taken back", inTx(func(tx *repository.Store) error {
				b.ok(tx.Products.Create(b.ctx, domain.NewProduct("before", "", phones, nil, now)))
				require.ErrorIs(t, tx.InTx(b.ctx, func(tx *repository.Store) error {
					b.ok(tx.Products.DeleteAllIn(b.ctx, lamps.ID, now))
					b.ok(tx.Products.Create(b.ctx, domain.NewProduct("within", "", lamps, nil, now)))
					return refused
				}), refused)
				return tx.Products.Create(b.ctx, domain.NewProduct("after", "", lamps, nil, now))
			})},
			{"made and deleted in one transaction", inTx(func(tx *repository.Store) error {
				gone := domain.NewProduct("gone", "", empty, nil, now)
				b.ok(tx.Products.Create(b.ctx, gone))
				return tx.Products.Delete(b.ctx, gone.ID, now)
			})},
			{"orders", func() error {
				for _, state := range domain.OrderStates {
					o = b.order(p, state, u)
				}
				o = b.order(p, domain.OrderPending, u)
				return nil
			}},
			{"an order's text", func() error { b.ok(o.Edit("Other", "", 2, now)); return b.Orders.SaveText(b.ctx, o) }},
			{"an order's state", func() error {
				from := o.State
				_, err := o.MoveTo(domain.OrderReady, domain.Actor{ID: u.ID, Role: domain.RoleAdmin}, now)
				b.ok(err)
				return b.Orders.SaveStates(b.ctx, []domain.OrderStep{domain.NewOrderStep(o, &from, u.ID, now)})
			}},
			{"several states", exec("UPDATE orders SET state = 'Ready' WHERE state IN ('Draft', 'Pending')")},
			{"a deleted order", func() error { return b.Orders.Delete(b.ctx, o, now) }},
			{"the state of a deleted order", exec("UPDATE orders SET state = 'Draft' WHERE deleted_at IS NOT NULL")},
			{"an order that comes back", exec("UPDATE orders SET deleted_at = NULL, state = 'Cancelled' WHERE deleted_at IS NOT NULL")},
			{"a deleted product", func() error { return b.Products.Delete(b.ctx, q.ID, now) }},
			{"the category of a deleted product", exec("UPDATE products SET category_id = ? WHERE deleted_at IS NOT NULL", empty.ID.String())},
			{"a product that comes back elsewhere", exec("UPDATE products SET deleted_at = NULL, category_id = ? WHERE deleted_at IS NOT NULL", empty.ID.String())},
			{"all of a category", func() error { return b.Products.DeleteAllIn(b.ctx, phones.ID, now) }},
			{"rows removed", func() error {
				b.ok(b.exec("DELETE FROM orders WHERE id NOT IN (SELECT order_id FROM order_steps)"))
				b.ok(b.exec("INSERT INTO products SELECT * FROM products WHERE 1 = 0"))
				return b.exec("DELETE FROM products WHERE id NOT IN (SELECT product_id FROM movements UNION SELECT product_id FROM orders)")
			}},
		} {
			before := b.strings("SELECT CAST(n AS TEXT) FROM product_counts ORDER BY category_id")
			if err := step.do(); !errors.Is(err, refused) {
				require.NoError(t, err, step.name)
			} else {
				require.Equal(t, before, b.strings("SELECT CAST(n AS TEXT) FROM product_counts ORDER BY category_id"), step.name)
			}
			b.countsHold(step.name)
		}
		require.Equal(t, []int64{1, 0, 2}, []int64{ // not all of them are nothing
			scan[int64](b, "SELECT n FROM product_counts WHERE category_id = ?", empty.ID.String()),
			scan[int64](b, "SELECT n FROM product_counts WHERE category_id = ?", phones.ID.String()),
			scan[int64](b, "SELECT n FROM order_counts WHERE state = 'Cancelled'"),
		})
	})
}

// TestCounts_together lets many change the same counts in different orders, none of whom may have to begin again because of them.
func TestCounts_together(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		var shelves []domain.Category
		var products []domain.Product
		for i := range 4 {
			shelves = append(shelves, b.category(fmt.Sprint(i)))
			products = append(products, b.product(fmt.Sprint("p", i), shelves[i], 100))
		}
		retries := 0
		b.OnRetry(func() { retries++ })
		const workers, each = 8, 12
		for _, err := range together(workers, func(w int) error {
			chance := rand.New(rand.NewPCG(1, uint64(w)))
			for range each {
				err := b.InTx(b.ctx, func(tx *repository.Store) error {
					first, second := chance.IntN(4), chance.IntN(4)
					a := domain.NewProduct("a", "", shelves[first], nil, now)
					o, err := domain.NewOrder(products[first], "c", "", 1, domain.OrderStates[chance.IntN(5)], u.ID, now)
					if err != nil {
						return err
					}
					if err := errors.Join(tx.Products.Create(b.ctx, a), tx.Orders.Create(b.ctx, []domain.Order{o}, []domain.OrderStep{domain.NewOrderStep(o, nil, u.ID, now)})); err != nil {
						return err
					}
					a.Describe("b", "", shelves[second], now)
					if _, err := tx.Products.SaveDescription(b.ctx, a); err != nil {
						return err
					}
					time.Sleep(time.Duration(chance.IntN(3)) * time.Millisecond)
					if chance.IntN(2) == 0 {
						return tx.Products.Create(b.ctx, domain.NewProduct("c", "", shelves[3-second], nil, now))
					}
					return tx.Orders.Delete(b.ctx, o, now)
				})
				if err != nil {
					return err
				}
			}
			return nil
		}) {
			b.ok(err)
		}
		b.countsHold("the storm")
		require.Zero(t, retries, "transactions waited for each other in a circle")
		require.GreaterOrEqual(t, scan[int](b, "SELECT SUM(n) FROM product_counts"), workers*each+4)
	})
}

// TestCounts_longTransaction makes a product beside a transaction that has made one in the same category and goes on.
func TestCounts_longTransaction(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		phones := b.category("Phones")
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(tx.Products.Create(b.ctx, domain.NewProduct("long", "", phones, nil, now)))
			b.product("short", phones, 1) // would wait for the lock timeout and fail
			require.EqualValues(t, 1, scan[int64](b, "SELECT n FROM product_counts"))
			return nil
		}))
		b.countsHold("both")
		require.EqualValues(t, 2, scan[int64](b, "SELECT n FROM product_counts"))
	})
}

// TestCounts_migration counts what was there before the counts were.
func TestCounts_migration(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u, phones := b.user("jane", domain.RoleUser), b.category("Phones")
		p := b.product("iPhone", phones, 5)
		gone := b.product("gone", phones, 5)
		b.ok(b.Products.Delete(b.ctx, gone.ID, now))
		b.order(p, domain.OrderDraft, u)
		m, err := repository.OpenMigrator(b.ctx, b.url, false)
		b.ok(err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		b.ok(m.To(b.ctx, 5))
		b.ok(b.exec("UPDATE orders SET state = 'Pending'"))
		b.ok(m.To(b.ctx, m.Latest()))
		b.countsHold("the migration")
		require.Equal(t, []uuid.UUID{phones.ID}, ids(b.strings("SELECT category_id FROM product_counts WHERE n = 1"), uuid.MustParse))
		require.Equal(t, []string{"Pending"}, b.strings("SELECT state FROM order_counts WHERE n = 1"))
	})
}
