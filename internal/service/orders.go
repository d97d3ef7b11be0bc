package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Orders is about who wants how much of what. An approval takes stock, a cancellation gives it back.
type Orders struct {
	store *repository.Store
	clock clock
}

// NewOrders makes the use cases of /products/orders.
func NewOrders(store *repository.Store, now func() time.Time) *Orders {
	return &Orders{store: store, clock: now}
}

// List gives one page of orders and how much there is beside it. It returns KindInvalid for faults, an unknown category among them.
func (s *Orders) List(ctx context.Context, actor domain.Actor, f domain.OrderFilter, faults domain.Faults) ([]domain.Order, domain.Extent, error) {
	if err := s.mayList(ctx, actor, f, faults); err != nil {
		return nil, domain.Extent{}, err
	}
	return s.store.Orders.List(ctx, f)
}

func (s *Orders) mayList(ctx context.Context, actor domain.Actor, f domain.OrderFilter, faults domain.Faults) error {
	if err := actor.Require(domain.ListOrders); err != nil {
		return err
	}
	return checkFilter(ctx, s.store, f.Category, faults)
}

// Export is [Products.Export] for orders.
func (s *Orders) Export(ctx context.Context, actor domain.Actor, f domain.OrderFilter, faults domain.Faults, write func([]domain.Order) error) error {
	if err := s.mayList(ctx, actor, f, faults); err != nil {
		return err
	}
	return export(func(last uuid.UUID) ([]domain.Order, error) { return s.store.Orders.After(ctx, f, last, exportBatch) },
		func(o domain.Order) uuid.UUID { return o.ID }, write)
}

// ByID returns KindForbidden, and KindNotFound on `id`.
func (s *Orders) ByID(ctx context.Context, actor domain.Actor, id uuid.UUID) (domain.Order, error) {
	if err := actor.Require(domain.ReadOrders); err != nil {
		return domain.Order{}, err
	}
	return s.store.Orders.ByID(ctx, id)
}

// History gives the steps that an order took, the first one first. It returns KindForbidden, and KindNotFound on `id`.
func (s *Orders) History(ctx context.Context, actor domain.Actor, id uuid.UUID) ([]domain.OrderStep, error) {
	if _, err := s.ByID(ctx, actor, id); err != nil {
		return nil, err
	}
	return s.store.Orders.History(ctx, id)
}

// NewOrder is what a caller wants.
type NewOrder struct {
	ItemID      uuid.UUID
	Client      string
	Description string
	Quantity    int64
	State       domain.OrderState
}

// Place makes an order. It returns KindForbidden, KindInvalid for faults, an unknown item among them, and KindConflict on `quantity` if the
// item has less.
func (s *Orders) Place(ctx context.Context, actor domain.Actor, in NewOrder, attempt *domain.Attempt, faults domain.Faults) (domain.Order, error) {
	if err := actor.Require(domain.PlaceOrders); err != nil {
		return domain.Order{}, err
	}
	var order domain.Order
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		now, product := s.clock.now(), domain.Product{}
		all := faults.Clone() // the transaction may run twice
		if !all.Has("itemId") {
			var err error
			if product, err = tx.Products.Hold(ctx, in.ItemID); isKind(err, domain.KindNotFound) {
				all.Add("itemId", "The item with id '%s' does not exist", in.ItemID)
			} else if err != nil {
				return err
			}
		}
		if err := all.Err(); err != nil {
			return err
		}
		var err error
		if order, err = domain.NewOrder(product, in.Client, in.Description, in.Quantity, in.State, actor.ID, now); err != nil {
			return err
		}
		note(tx, actor, domain.AuditOrderPlaced, "order", order.ID.String(), domain.AuditDetails{"item": product.ID, "quantity": order.Quantity, "state": order.State}, now)
		if err := tx.Orders.Create(ctx, order, domain.NewOrderStep(order, nil, actor.ID, now)); err != nil {
			return err
		}
		return tx.Attempts.Made(ctx, attempt, order.ID)
	})
	if err != nil {
		return domain.Order{}, err
	}
	return order, nil
}

// OrderText is what may be changed of an order without moving it.
type OrderText struct {
	Client      string
	Description string
	Quantity    int64
}

// Edit changes what an order says. It returns KindForbidden, KindNotFound on `id`, KindInvalid for faults, and KindConflict on `state` for a final
// order, on `quantity` if the item has less or has given it already, and on `request` if someone else changed the order meanwhile.
func (s *Orders) Edit(ctx context.Context, actor domain.Actor, id uuid.UUID, in OrderText, expected domain.Expectation, faults domain.Faults) (domain.Order, error) {
	if err := actor.Require(domain.EditOrders); err != nil {
		return domain.Order{}, err
	}
	return s.change(ctx, id, expected, faults, func(tx *repository.Store, order *domain.Order, now time.Time) error {
		before := order.Quantity
		if err := order.Edit(in.Client, in.Description, in.Quantity, now); err != nil {
			return err
		}
		note(tx, actor, domain.AuditOrderEdited, "order", id.String(), domain.AuditDetails{"quantity": []int64{before, order.Quantity}}, now)
		return tx.Orders.SaveText(ctx, *order)
	})
}

// Move takes an order one step further, with the stock that the step takes or gives back. It returns KindForbidden if the role is too low for
// the step, KindNotFound on `id`, KindInvalid for faults, and KindConflict on `transition` if there is no such step (any more) and on
// `quantity` if the item has too little.
func (s *Orders) Move(ctx context.Context, actor domain.Actor, id uuid.UUID, to domain.OrderState, expected domain.Expectation, faults domain.Faults) (domain.Order, error) {
	if err := actor.Require(domain.MoveOrders); err != nil {
		return domain.Order{}, err
	}
	return s.change(ctx, id, expected, faults, func(tx *repository.Store, order *domain.Order, now time.Time) error {
		from := order.State
		movement, err := order.MoveTo(to, actor, now)
		if err != nil {
			return err
		}
		if err := tx.Orders.SaveState(ctx, *order, domain.NewOrderStep(*order, &from, actor.ID, now)); err != nil {
			return err
		}
		note(tx, actor, domain.AuditOrderMoved, "order", id.String(), domain.AuditDetails{"from": from, "to": to}, now)
		if movement == nil {
			return nil
		}
		if err := move(ctx, tx, &order.Item, *movement); err != nil {
			return err
		}
		before := order.Item // as it was when the stock moved: the order was held since it was read, the product was not
		before.Quantity -= movement.Delta
		return warn(ctx, tx, before, order.Item, now)
	})
}

// Delete removes an order; what a Ready one has taken goes back first. It returns KindForbidden, KindNotFound on `id`, and KindConflict on
// `request` if someone else changed the order meanwhile.
func (s *Orders) Delete(ctx context.Context, actor domain.Actor, id uuid.UUID, expected domain.Expectation) error {
	if err := actor.Require(domain.DeleteOrders); err != nil {
		return err
	}
	_, err := s.change(ctx, id, expected, nil, func(tx *repository.Store, order *domain.Order, now time.Time) error {
		if movement := order.Release(actor, now); movement != nil {
			if err := move(ctx, tx, &order.Item, *movement); err != nil {
				return err
			}
		}
		note(tx, actor, domain.AuditOrderDeleted, "order", id.String(), domain.AuditDetails{"state": order.State}, now)
		return tx.Orders.Delete(ctx, *order, now)
	})
	return err
}

// change loads an order, holds it, and lets f change it in the same transaction. It returns KindNotFound on `id`, and KindPrecondition if the
// order is not in the version that was expected.
func (s *Orders) change(ctx context.Context, id uuid.UUID, expected domain.Expectation, faults domain.Faults, f func(tx *repository.Store, order *domain.Order, now time.Time) error) (domain.Order, error) {
	var order domain.Order
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		var err error
		if order, err = tx.Orders.Lock(ctx, id); err != nil {
			return faults.Beside(err)
		}
		if err := expected.Check(order.Version); err != nil {
			return err
		}
		if err := faults.Err(); err != nil {
			return err
		}
		return f(tx, &order, s.clock.now())
	})
	if err != nil {
		return domain.Order{}, err
	}
	return order, nil
}
