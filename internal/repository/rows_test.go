package repository_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// TestRows_everyColumn reads a product and an order with all there is to read, and with nothing that may be missing, outside of a transaction and in one.
func TestRows_everyColumn(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, u := b.category("Phönes \u2028 ☎"), b.user("jane", domain.RoleUser)
		full := domain.NewProduct("iPhone \"12\"", "ü\n\x01", phones, new("a.png"), now)
		full.Label(new("Ä-1"), new(int64(3)))
		bare := domain.NewProduct("x", "", phones, nil, now)
		for _, p := range []domain.Product{full, bare} {
			b.ok(b.Products.Create(b.ctx, p))
			o := b.order(domain.Product{ID: p.ID, Name: p.Name, Quantity: 5}, domain.OrderPending, u)
			o.Item = p
			read := func(s *repository.Store) error {
				found, err := s.Products.ByID(b.ctx, p.ID)
				b.ok(err)
				require.Equal(t, shown(p), found)
				order, err := s.Orders.ByID(b.ctx, o.ID)
				b.ok(err)
				require.Equal(t, shownOrder(o), order)
				return nil
			}
			b.ok(read(b.Store))
			b.ok(b.InTx(b.ctx, read))
		}
	})
}

// TestRows_faults are told as those of every other statement.
func TestRows_faults(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 1)
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		_, err := b.Products.ByID(ctx, p.ID)
		require.ErrorIs(t, err, context.Canceled)
		found, err := b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		require.Equal(t, shown(p), found, "the connection is as good as before")

		b.ok(b.exec("ALTER TABLE products RENAME COLUMN image TO picture"))
		_, err = b.Products.ByID(b.ctx, p.ID)
		require.ErrorContains(t, err, "load product")
		b.ok(b.exec("ALTER TABLE products RENAME COLUMN picture TO image"))
		found, err = b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		require.Equal(t, shown(p), found)
	})
}

// TestRows_connectionsThatDied in the pool are replaced, all of them, and no reader notices.
func TestRows_connectionsThatDied(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 1)
		read := func(int) error {
			_, err := b.Products.ByID(b.ctx, p.ID)
			return err
		}
		for range 3 {
			for _, err := range together(40, read) {
				require.NoError(t, err)
			}
			b.ok(b.exec("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"))
			for range 20 { // a connection that was used a moment ago is taken as it is; who meets it is told to come again
				if err := read(0); err != nil {
					require.True(t, isKind(err, domain.KindUnavailable), err)
				}
			}
			require.NoError(t, read(0))
		}
	})
}
