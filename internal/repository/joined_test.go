package repository_test

import (
	"context"
	"math/rand/v2"
	"slices"
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

// TestLists_manyAtOnce: many who read the same lists at the same time each get the list that they asked for, and in it what was committed before they asked.
func TestLists_manyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		names := []string{"Phones", "Toys"}
		in := map[string]domain.Category{names[0]: b.category(names[0]), names[1]: b.category(names[1])}
		doll := b.product("doll", in["Toys"], 1000)
		b.product("iPhone", in["Phones"], 1) // of a list that is empty, the total is read by itself
		newest := domain.Page{Number: 1, Size: domain.MaxPageSize, Sort: domain.Sort{Field: "createdAt", Desc: true}}
		for _, said := range together(300, func(i int) string {
			category := names[i%2]
			switch i % 6 {
			case 0, 1:
				made := domain.NewProduct("thing", "", in[category], nil, now)
				if err := b.Products.Create(b.ctx, made); err != nil {
					return err.Error()
				}
				page, extent, err := b.Products.List(b.ctx, domain.ProductFilter{Page: newest, Category: category})
				if err != nil || extent.Total > domain.MaxPageSize || !slices.ContainsFunc(page, func(p domain.Product) bool { return p.ID == made.ID }) {
					return "read what was before"
				}
			case 2:
				made, err := domain.NewOrder(doll, "Client", "", 1, domain.OrderPending, u.ID, now)
				if err == nil {
					err = b.Orders.Create(b.ctx, []domain.Order{made}, []domain.OrderStep{domain.NewOrderStep(made, nil, u.ID, now)})
				}
				if err != nil {
					return err.Error()
				}
				if page, _, err := b.Orders.List(b.ctx, domain.OrderFilter{Page: newest}); err != nil || !slices.ContainsFunc(page, func(o domain.Order) bool { return o.ID == made.ID }) {
					return "read what was before of orders"
				}
			default:
				page, extent, err := b.Products.List(b.ctx, domain.ProductFilter{Page: newest, Category: category})
				if err != nil || int64(len(page)) != extent.Total || slices.ContainsFunc(page, func(p domain.Product) bool { return p.CategoryName != category }) {
					return "another list"
				}
			}
			return ""
		}) {
			require.Empty(t, said)
		}
	})
}

// joinedReads are the reads in which callers are joined, as what reads a product.
var joinedReads = map[string]func(b *base, ctx context.Context, p domain.Product) error{
	"load product": func(b *base, ctx context.Context, p domain.Product) error {
		_, err := b.Products.ByID(ctx, p.ID)
		return err
	},
	"list products": func(b *base, ctx context.Context, _ domain.Product) error {
		_, _, err := b.Products.List(ctx, domain.ProductFilter{Page: first("createdAt")})
		return err
	},
}

// TestJoined_fewRead sees that of many who want the same two are reading, and the others wait for them.
func TestJoined_fewRead(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 1)
		for what, read := range joinedReads {
			lock, err := b.raw.BeginTx(b.ctx, nil)
			b.ok(err)
			_, err = lock.ExecContext(b.ctx, "LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
			b.ok(err)
			answers := make(chan error, 50)
			for range cap(answers) {
				go func() { answers <- read(b, b.ctx, p) }()
			}
			reading := func() int {
				return scan[int](b, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
			}
			require.Eventually(t, func() bool { return reading() >= 2 }, 5*time.Second, 5*time.Millisecond, what)
			time.Sleep(200 * time.Millisecond) // in which all others would have begun too
			require.Equal(t, 2, reading(), what)
			b.ok(lock.Rollback())
			for range cap(answers) {
				require.NoError(t, <-answers, what)
			}
		}
	})
}

// TestJoined_whoeverLeaves is missed by nobody: of many who wait behind a table that is locked some give up, and all others are answered when it is free.
func TestJoined_whoeverLeaves(t *testing.T) {
	for what, read := range joinedReads {
		t.Run(what, func(t *testing.T) { whoeverLeaves(t, read) })
	}
}

func whoeverLeaves(t *testing.T, read func(*base, context.Context, domain.Product) error) {
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
					err := read(b, ctx, p)
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
			b.ok(read(b, b.ctx, p))
		}
	})
}

// TestJoined_faultsOfOthers: a fault reaches everybody who waits, as a fault, and nobody waits for ever.
func TestJoined_faultsOfOthers(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 1)
		for what, read := range joinedReads {
			b.ok(b.exec("ALTER TABLE products RENAME COLUMN image TO picture"))
			for _, err := range together(50, func(int) error { return read(b, b.ctx, p) }) {
				require.ErrorContains(t, err, what)
			}
			b.ok(b.exec("ALTER TABLE products RENAME COLUMN picture TO image"))
			for _, err := range together(50, func(int) error { return read(b, b.ctx, p) }) {
				require.NoError(t, err)
			}
		}
	})
}
