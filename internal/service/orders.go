package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

// Orders is about who wants how much of what. An approval takes stock, a cancellation gives it back.
type Orders struct {
	store  *repository.Store
	clock  clock
	places together[placing]
	moves  together[moving]
}

// NewOrders makes the use cases of /products/orders.
func NewOrders(store *repository.Store, now func() time.Time) *Orders {
	s := &Orders{store: store, clock: now}
	s.places = together[placing]{store: store, carryOut: s.place}
	s.moves = together[moving]{store: store, carryOut: s.move}
	return s
}

// List gives one page of orders and how much there is beside it. It returns KindInvalid for faults, an unknown category among them.
func (s *Orders) List(ctx context.Context, actor domain.Actor, f domain.OrderFilter, faults domain.Faults) ([]domain.Order, domain.Extent, error) {
	if err := actor.Require(domain.ListOrders); err != nil {
		return nil, domain.Extent{}, err
	}
	return filtered(ctx, s.store, f.Category, faults, func() ([]domain.Order, domain.Extent, error) { return s.store.Orders.List(ctx, f) })
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

// placing is a call of [Orders.Place].
type placing struct {
	actor   domain.Actor
	in      NewOrder
	attempt *domain.Attempt
	faults  domain.Faults
	order   domain.Order // the result
}

// Place makes an order. It returns KindForbidden, KindInvalid for faults, an unknown item among them, and KindConflict on `quantity` if the
// item has less.
func (s *Orders) Place(ctx context.Context, actor domain.Actor, in NewOrder, attempt *domain.Attempt, faults domain.Faults) (domain.Order, error) {
	if err := actor.Require(domain.PlaceOrders); err != nil {
		return domain.Order{}, err
	}
	placed, err := s.places.do(ctx, placing{actor: actor, in: in, attempt: attempt, faults: faults})
	if err != nil {
		return domain.Order{}, err
	}
	return placed.order, nil
}

func (s *Orders) place(ctx context.Context, tx *repository.Store, batch []*call[placing]) error {
	now := s.clock.now()
	var items []uuid.UUID
	for _, c := range batch {
		if !c.in.faults.Has("itemId") {
			items = append(items, c.in.in.ItemID)
		}
	}
	held, err := byID(tx.Products.HoldAll(ctx, items))
	if err != nil {
		return err
	}
	var orders []domain.Order
	var steps []domain.OrderStep
	for _, c := range batch {
		p := &c.in
		if p.order, c.refused = p.decide(held, now); c.refused != nil {
			continue
		}
		if err := tx.Attempts.Made(ctx, p.attempt, p.order.ID); isKind(err, domain.KindConflict) {
			c.refused = err
			continue
		} else if err != nil {
			return err
		}
		o := p.order
		orders, steps = append(orders, o), append(steps, domain.NewOrderStep(o, nil, p.actor.ID, now))
		note(tx, p.actor, domain.AuditOrderPlaced, "order", o.ID.String(), domain.AuditDetails{"item": o.ProductID, "quantity": o.Quantity, "state": o.State}, now)
	}
	return tx.Orders.Create(ctx, orders, steps)
}

func (p placing) decide(held products, now time.Time) (domain.Order, error) {
	all := p.faults.Clone() // it may be decided twice
	product, exists := held[p.in.ItemID]
	if !exists && !all.Has("itemId") {
		all.Add("itemId", "The item with id '%s' does not exist", p.in.ItemID)
	}
	if err := all.Err(); err != nil {
		return domain.Order{}, err
	}
	return domain.NewOrder(*product, p.in.Client, p.in.Description, p.in.Quantity, p.in.State, p.actor.ID, now)
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

// moving is a call of [Orders.Move].
type moving struct {
	actor    domain.Actor
	id       uuid.UUID
	to       domain.OrderState
	expected domain.Expectation
	faults   domain.Faults

	from     domain.OrderState
	movement *domain.Movement
	order    domain.Order // the result
}

// Move takes an order one step further, with the stock that the step takes or gives back. It returns KindForbidden if the role is too low for
// the step, KindNotFound on `id`, KindInvalid for faults, and KindConflict on `transition` if there is no such step (any more) and on
// `quantity` if the item has too little.
func (s *Orders) Move(ctx context.Context, actor domain.Actor, id uuid.UUID, to domain.OrderState, expected domain.Expectation, faults domain.Faults) (domain.Order, error) {
	if err := actor.Require(domain.MoveOrders); err != nil {
		return domain.Order{}, err
	}
	moved, err := s.moves.do(ctx, moving{actor: actor, id: id, to: to, expected: expected, faults: faults})
	if err != nil {
		return domain.Order{}, err
	}
	return moved.order, nil
}

// move holds the orders and then the products whose stock moves, each in the order of their ids, before it writes anything: two who do likewise never
// wait for each other.
func (s *Orders) move(ctx context.Context, tx *repository.Store, batch []*call[moving]) error {
	now := s.clock.now()
	taken, held, shown, err := s.step(ctx, tx, batch, now)
	if err != nil {
		return err
	}
	var movements []domain.Movement
	var steps []domain.OrderStep
	for _, c := range taken {
		m := &c.in
		product, exists := held[m.order.ProductID]
		if !exists {
			product, exists = shown[m.order.ProductID]
		}
		if !exists {
			c.refused = repository.ProductNotFound(m.order.ProductID)
			continue
		}
		if m.movement != nil {
			before := *product
			if c.refused = product.Move(m.movement); c.refused != nil {
				continue
			}
			movements = append(movements, *m.movement)
			if err := warn(tracing.Within(ctx, c.ctx), tx, before, *product, now); err != nil {
				return err
			}
		}
		m.order.Item = *product
		steps = append(steps, domain.NewOrderStep(m.order, &m.from, m.actor.ID, now))
		note(tx, m.actor, domain.AuditOrderMoved, "order", m.id.String(), domain.AuditDetails{"from": m.from, "to": m.to}, now)
	}
	if err := tx.Stock.ApplyAll(ctx, movements); err != nil {
		return err
	}
	return tx.Orders.SaveStates(ctx, steps)
}

// step lets each order take its step, as far as that does not depend on the stock. It gives the calls that may be carried out, the products that they
// move, which are held, and those that they only show.
func (s *Orders) step(ctx context.Context, tx *repository.Store, batch []*call[moving], now time.Time) (taken []*call[moving], held, shown products, err error) {
	ids := make([]uuid.UUID, len(batch))
	for i, c := range batch {
		ids[i] = c.in.id
	}
	locked, err := tx.Orders.LockAll(ctx, ids)
	if err != nil {
		return nil, nil, nil, err
	}
	orders := make(map[uuid.UUID]domain.Order, len(locked))
	for _, o := range locked {
		orders[o.ID] = o
	}
	seen := map[uuid.UUID]bool{}
	var hold, show []uuid.UUID
	for _, c := range batch {
		m := &c.in
		if c.apart = seen[m.id]; c.apart { // what it finds is not known yet
			continue
		}
		seen[m.id] = true
		if c.refused = m.decide(orders, now); c.refused != nil {
			continue
		}
		taken = append(taken, c)
		if m.movement == nil {
			show = append(show, m.order.ProductID)
		} else {
			hold = append(hold, m.order.ProductID)
		}
	}
	if held, err = byID(tx.Products.LockAll(ctx, hold)); err != nil {
		return nil, nil, nil, err
	}
	shown, err = byID(tx.Products.Shown(ctx, show))
	return taken, held, shown, err
}

func (m *moving) decide(orders map[uuid.UUID]domain.Order, now time.Time) (err error) {
	order, exists := orders[m.id]
	if !exists {
		return m.faults.Beside(repository.OrderNotFound(m.id))
	}
	if err := m.expected.Check(order.Version); err != nil {
		return err
	}
	if err := m.faults.Err(); err != nil {
		return err
	}
	m.from = order.State
	if m.movement, err = order.MoveTo(m.to, m.actor, now); err != nil {
		return err
	}
	m.order = order
	return nil
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
