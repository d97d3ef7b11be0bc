package service_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

// watchers makes an Admin and a Manager, and others who are not told of stock.
func (w *world) watchers() (boss actor, told []uuid.UUID) {
	w.t.Helper()
	boss = w.as(domain.RoleAdmin)
	manager, gone := w.user(domain.RoleManager), w.user(domain.RoleManager)
	w.ok(w.store.Users.Delete(w.ctx, gone.ID, w.now()))
	w.user(domain.RoleUser)
	w.user(domain.RoleReadonlyUser)
	w.ok(w.store.Users.Create(w.ctx, domain.NewDraft("draft@example.com", "Drew", "Aft", domain.RoleManager, w.now())))
	return boss, []uuid.UUID{boss.ID, manager.ID}
}

// TestLow takes a product below its level and above it in every way there is, and looks who is told.
func TestLow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		boss, told := w.watchers()
		category := w.category().Name
		p, err := w.products.Create(w.ctx, boss.Actor, service.ProductInput{
			Name: "Nail", Category: category, Quantity: new(int64(10)),
			SKU: service.Change[string]{Set: true, Value: new("N-1")}, Reorder: service.Change[int64]{Set: true, Value: new(int64(5))},
		}, nil, nil)
		w.ok(err)
		put := func(quantity, level *int64) func() error {
			return func() error {
				in := service.ProductInput{Name: "Nail", Category: category, Quantity: quantity, Reorder: service.Change[int64]{Set: true, Value: level}}
				_, err := w.products.Update(w.ctx, boss.Actor, p.ID, in, domain.Expectation{}, nil)
				return err
			}
		}
		adjust := func(delta int64) func() error {
			return func() error {
				_, err := w.products.Adjust(w.ctx, boss.Actor, p.ID, service.Adjustment{Delta: &delta}, domain.Expectation{}, nil)
				return err
			}
		}
		var order domain.Order
		to := func(state domain.OrderState) func() error {
			return func() error {
				_, err := w.orders.Move(w.ctx, boss.Actor, order.ID, state, domain.Expectation{}, nil)
				return err
			}
		}
		for _, step := range []struct {
			name string
			do   func() error
			told bool
		}{
			{"down, but not to the level", adjust(-4), false},
			{"to the level by adjustment", adjust(-1), true},
			{"further down", adjust(-1), false},
			{"further down by PUT", put(new(int64(3)), new(int64(5))), false},
			{"up, but not above", adjust(2), false},
			{"down again", adjust(-1), false},
			{"recovered", adjust(6), false},
			{"down again after it had recovered", put(new(int64(2)), new(int64(5))), true},
			{"the level taken away", put(nil, nil), false},
			{"a level that is above", put(nil, new(int64(2))), true},
			{"the level lowered", put(nil, new(int64(1))), false},
			{"the level raised", put(nil, new(int64(4))), true},
			{"quantity and level at once, both up", put(new(int64(9)), new(int64(8))), false},
			{"quantity and level at once, both down", put(new(int64(7)), new(int64(6))), false},
			{"an order is placed", func() error {
				var err error
				order, err = w.orders.Place(w.ctx, boss.Actor, service.NewOrder{ItemID: p.ID, Client: "x", Quantity: 2, State: domain.OrderPending}, nil, nil)
				return err
			}, false},
			{"it is approved", to(domain.OrderReady), true},
			{"it is cancelled", to(domain.OrderCancelled), false},
			{"a level of 0", put(new(int64(1)), new(int64(0))), false},
			{"the last one goes", adjust(-1), true},
		} {
			before := len(w.events())
			w.ok(step.do())
			events := w.events()[before:]
			if !step.told {
				require.Empty(t, events, step.name)
				continue
			}
			require.Len(t, events, len(told), step.name)
			var subjects []uuid.UUID
			for _, e := range events {
				require.Equal(t, domain.EventStockLow, e.Type)
				subjects = append(subjects, e.Subject)
			}
			require.ElementsMatch(t, told, subjects, step.name)
		}
		before := len(w.events())
		_, err = w.products.Create(w.ctx, boss.Actor, service.ProductInput{Name: "Screw", Category: category, Quantity: new(int64(0)), Reorder: service.Change[int64]{Set: true, Value: new(int64(5))}}, nil, nil)
		w.ok(err)
		require.Len(t, w.events(), before, "who makes a product that is low knows it")
	})
}

// TestLow_race approves twenty orders at once, of which one takes the product to its level.
func TestLow_race(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		boss, told := w.watchers()
		p, err := w.products.Create(w.ctx, boss.Actor, service.ProductInput{
			Name: "Nail", Category: w.category().Name, Quantity: new(int64(40)), Reorder: service.Change[int64]{Set: true, Value: new(int64(17))},
		}, nil, nil)
		w.ok(err)
		orders := make([]domain.Order, 20)
		for i := range orders {
			orders[i], err = w.orders.Place(w.ctx, boss.Actor, service.NewOrder{ItemID: p.ID, Client: "x", Quantity: 2, State: domain.OrderPending}, nil, nil)
			w.ok(err)
		}
		for _, err := range together(len(orders), func(i int) error {
			_, err := w.orders.Move(w.ctx, boss.Actor, orders[i].ID, domain.OrderReady, domain.Expectation{}, nil)
			return err
		}) {
			w.ok(err)
		}
		var subjects []uuid.UUID
		for _, e := range w.events() {
			require.Equal(t, domain.EventStockLow, e.Type)
			subjects = append(subjects, e.Subject)
		}
		require.ElementsMatch(t, told, subjects)
		after, err := w.store.Products.ByID(w.ctx, p.ID)
		w.ok(err)
		require.Zero(t, after.Quantity)
	})
}
