package repository_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// TestByID_manyAtOnce: many who look up at the same time each get what they asked for, and what was committed before they asked.
func TestByID_manyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u, phones := b.user("jane", domain.RoleUser), b.category("Phones")
		products, orders := make([]domain.Product, 30), make([]domain.Order, 30)
		for i := range products {
			products[i] = b.product("iPhone "+string(rune('a'+i)), phones, 100)
			orders[i] = b.order(domain.Product{ID: products[i].ID, Quantity: 5}, domain.OrderPending, u)
		}
		for _, said := range together(300, func(i int) string {
			n := rand.IntN(len(products))
			switch i % 5 {
			case 0:
				if _, err := b.Products.ByID(b.ctx, uuid.New()); !isKind(err, domain.KindNotFound) {
					return "found what there is not"
				}
			case 1:
				m, err := b.Stock.Apply(b.ctx, domain.NewMovement(products[n].ID, 1, domain.MovementAdjusted, u.ID, now))
				if err != nil {
					return err.Error()
				}
				if p, err := b.Products.ByID(b.ctx, products[n].ID); err != nil || p.Version < m.ProductVersion {
					return "read what was before"
				}
			case 2:
				if o, err := b.Orders.ByID(b.ctx, orders[n].ID); err != nil || o.ID != orders[n].ID || o.Item.ID != products[n].ID {
					return "another order"
				}
			default:
				if p, err := b.Products.ByID(b.ctx, products[n].ID); err != nil || p.ID != products[n].ID || p.Name != products[n].Name {
					return "another product"
				}
			}
			return ""
		}) {
			require.Empty(t, said)
		}
	})
}

// TestByID_whoeverLeaves is missed by nobody: of many who wait behind a table that is locked some give up, and all others are answered when it is free.
func TestByID_whoeverLeaves(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 1)
		for round := range 3 {
			lock, err := b.raw.BeginTx(b.ctx, nil)
			b.ok(err)
			_, err = lock.ExecContext(b.ctx, "LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
			b.ok(err)
			answers := make(chan error, 200)
			for i := range cap(answers) {
				go func() {
					ctx := b.ctx
					if (i+round)%2 == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(200))*time.Millisecond)
						defer cancel()
					}
					_, err := b.Products.ByID(ctx, p.ID)
					if ctx.Err() != nil && err != nil {
						err = nil // it left
					}
					answers <- err
				}()
			}
			time.Sleep(100 * time.Millisecond) // some have left, others are to leave when it is free
			b.ok(lock.Rollback())
			for range cap(answers) {
				require.NoError(t, <-answers)
			}
			_, err = b.Products.ByID(b.ctx, p.ID)
			b.ok(err)
		}
	})
}

// TestByID_faultsOfOthers: a fault reaches everybody who waits, as a fault, and nobody waits for ever.
func TestByID_faultsOfOthers(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 1)
		b.ok(b.exec("ALTER TABLE products RENAME COLUMN image TO picture"))
		for _, err := range together(50, func(int) error { _, err := b.Products.ByID(b.ctx, p.ID); return err }) {
			require.ErrorContains(t, err, "load product")
		}
		b.ok(b.exec("ALTER TABLE products RENAME COLUMN picture TO image"))
		for _, err := range together(50, func(int) error { _, err := b.Products.ByID(b.ctx, p.ID); return err }) {
			require.NoError(t, err)
		}
	})
}
