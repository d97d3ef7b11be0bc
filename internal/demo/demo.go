// Package demo fills an empty database with a shop that never was, to try the program and to show it. It stands at the edge, and does all of it through
// the use cases, with a clock that it moves itself: ledger, history and audit log are what they would be, had people worked for ninety days.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
)

// Config is what a shop needs.
type Config struct {
	Files       *imagestore.Store
	Hasher      *password.Hasher
	MinPassword int
	Password    string    // of all its users; an empty one is made up
	Now         time.Time // the day after the last one that the shop was open
	Log         *slog.Logger
	Progress    func(text string)
}

// Result is what was made.
type Result struct {
	Users                        []domain.User // one of each role, the highest first
	Generated                    string        // their password, if it was made up
	Categories, Products, Orders int
}

const (
	days   = 90
	orders = 200
	// seed has every shop be the same but for its ids and the day on which it ends. Any number will do.
	seed = 20260101
)

// Fill makes the shop, all or nothing. It returns KindConflict on `database` if that is not empty, and KindInvalid on `password`. No mail is sent of what
// happened in it: nobody was there.
func Fill(ctx context.Context, store *repository.Store, c Config) (Result, error) {
	var made Result
	// The pictures are kept inside of the transaction, for as long as that takes, since nobody else can be at work on an empty database. Those of a
	// shop that was not made are swept later.
	err := store.InTx(ctx, func(tx *repository.Store) error {
		if err := tx.RequireEmpty(ctx); err != nil {
			return err
		}
		s := newShop(tx, c)
		if err := s.open(ctx); err != nil {
			return err
		}
		s.planProducts()
		s.planCounts()
		s.planOrders()
		if err := s.live(ctx); err != nil {
			return err
		}
		made = s.made
		return tx.Outbox.Clear(ctx)
	})
	return made, err
}

// shop is a shop in the making.
type shop struct {
	c    Config
	rand *rand.Rand
	day0 time.Time
	now  time.Time // the moved clock

	operator   *service.Operator
	categories *service.Categories
	products   *service.Products
	orders     *service.Orders

	admin, manager, user domain.Actor
	items                []uuid.UUID
	plan                 []event
	made                 Result
}

// event is something that happens at a time.
type event struct {
	at time.Time
	do func(ctx context.Context) error
}

func newShop(tx *repository.Store, c Config) *shop {
	s := &shop{c: c, rand: rand.New(rand.NewPCG(seed, seed)), day0: c.Now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)} //nolint:gosec // no secret
	clock := func() time.Time { return s.now }
	pictures := service.NewPictures(tx, c.Files, c.Log, clock)
	s.operator = service.NewOperator(tx, c.Hasher, c.MinPassword, clock)
	s.categories = service.NewCategories(tx, pictures, clock)
	s.products = service.NewProducts(tx, pictures, clock)
	s.orders = service.NewOrders(tx, clock)
	return s
}

// at gives a time in the opening hours of a day.
func (s *shop) at(day int) time.Time {
	const opens, open = 8, 9 // o'clock, hours
	return s.day0.AddDate(0, 0, day).Add(opens*time.Hour + time.Duration(s.rand.IntN(open*3600))*time.Second)
}

func (s *shop) hours(least, most int) time.Duration {
	return time.Duration(least)*time.Hour + time.Duration(s.rand.IntN((most-least)*3600))*time.Second
}

func (s *shop) expect(at time.Time, do func(ctx context.Context) error) {
	s.plan = append(s.plan, event{at, do})
}

// live lets everything happen in its order.
func (s *shop) live(ctx context.Context) error {
	slices.SortStableFunc(s.plan, func(a, b event) int { return a.at.Compare(b.at) })
	for i, e := range s.plan {
		s.now = e.at
		s.c.Progress(fmt.Sprintf("making the shop: event %d of %d", i+1, len(s.plan)))
		if err := e.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open makes the people and the shelves.
func (s *shop) open(ctx context.Context) error {
	s.now = s.day0.Add(8 * time.Hour)
	pass := s.c.Password
	for i, in := range []service.Invitee{
		{Email: "admin@example.com", FirstName: "Alice", LastName: "Moreau", Role: domain.RoleAdmin},
		{Email: "manager@example.com", FirstName: "Marco", LastName: "Rossi", Role: domain.RoleManager},
		{Email: "user@example.com", FirstName: "Uma", LastName: "Patel", Role: domain.RoleUser},
		{Email: "readonly@example.com", FirstName: "Ron", LastName: "Weber", Role: domain.RoleReadonlyUser},
	} {
		user, generated, err := s.operator.CreateUser(ctx, in, pass)
		if err != nil {
			return err
		}
		if generated != "" {
			s.made.Generated, pass = generated, generated
		}
		s.made.Users = append(s.made.Users, user)
		// Addresses that nobody has (RFC 5737).
		actor := domain.Actor{ID: user.ID, Role: user.Role, Address: fmt.Sprintf("192.0.2.%d", 10+i)}
		switch user.Role {
		case domain.RoleAdmin:
			s.admin = actor
		case domain.RoleManager:
			s.manager = actor
		case domain.RoleUser:
			s.user = actor
		}
		s.now = s.now.Add(time.Minute)
	}
	for _, c := range catalogue {
		if _, err := s.categories.Create(ctx, s.manager, c.name, nil, nil); err != nil {
			return err
		}
		s.made.Categories++
		s.now = s.now.Add(time.Minute)
	}
	return nil
}

// planProducts has the shelves filled in the first three days.
func (s *shop) planProducts() {
	n := 0
	for c, shelf := range catalogue {
		for k, kind := range shelf.kinds {
			for v, variant := range kind.variants {
				at := s.day0.AddDate(0, 0, n/100).Add(9*time.Hour + time.Duration(n%100)*4*time.Minute)
				level := int64(5 * (1 + s.rand.IntN(6)))
				quantity := level + 10 + int64(s.rand.IntN(120))
				if n%15 == 7 {
					quantity = int64(s.rand.IntN(int(level) + 1)) // has to be ordered
				}
				sku := fmt.Sprintf("%s-%d%02d", shelf.code, k+1, v+1)
				in := service.ProductInput{
					Name: kind.name + ", " + variant, Category: shelf.name, Description: kind.about, Quantity: &quantity,
					SKU: service.Change[string]{Set: true, Value: &sku}, Reorder: service.Change[int64]{Set: true, Value: &level},
				}
				s.expect(at, func(ctx context.Context) (err error) {
					if in.Image, err = picture(c, k, v); err != nil {
						return err
					}
					product, err := s.products.Create(ctx, s.user, in, nil, nil)
					s.items = append(s.items, product.ID)
					s.made.Products++
					return err
				})
				n++
			}
		}
	}
}

// planCounts has somebody look at what lies on the shelves now and then.
func (s *shop) planCounts() {
	for day := 5; day < days-1; day += 2 {
		s.expect(s.at(day), func(ctx context.Context) error {
			product, err := s.products.ByID(ctx, s.user, s.items[s.rand.IntN(len(s.items))])
			if err != nil {
				return err
			}
			counted := max(0, product.Quantity-int64(s.rand.IntN(3)))
			_, err = s.products.Adjust(ctx, s.user, product.ID, service.Adjustment{Quantity: &counted, Note: "Stocktake"}, domain.Expectation{}, nil)
			return err
		})
	}
}

// life is how an order goes.
type life []domain.OrderState

// lives are those of twenty orders, of which the shop has ten times as many.
var lives = []life{
	{domain.OrderDraft}, {domain.OrderDraft},
	{domain.OrderPending}, {domain.OrderPending}, {domain.OrderDraft, domain.OrderPending},
	{domain.OrderPending, domain.OrderReady}, {domain.OrderPending, domain.OrderReady}, {domain.OrderDraft, domain.OrderPending, domain.OrderReady},
	{domain.OrderPending, domain.OrderReady, domain.OrderCompleted}, {domain.OrderPending, domain.OrderReady, domain.OrderCompleted},
	{domain.OrderPending, domain.OrderReady, domain.OrderCompleted}, {domain.OrderPending, domain.OrderReady, domain.OrderCompleted},
	{domain.OrderPending, domain.OrderReady, domain.OrderCompleted}, {domain.OrderPending, domain.OrderReady, domain.OrderCompleted},
	{domain.OrderDraft, domain.OrderPending, domain.OrderReady, domain.OrderCompleted}, {domain.OrderDraft, domain.OrderPending, domain.OrderReady, domain.OrderCompleted},
	{domain.OrderDraft, domain.OrderPending, domain.OrderReady, domain.OrderCompleted},
	{domain.OrderDraft, domain.OrderCancelled}, {domain.OrderPending, domain.OrderCancelled}, {domain.OrderPending, domain.OrderReady, domain.OrderCancelled},
}

// planOrders has clients come from the fourth day on. What is still open is not old.
func (s *shop) planOrders() {
	for i := range orders {
		states := lives[i%len(lives)]
		day := 4 + i*80/orders
		if slices.Contains(domain.OpenOrderStates, states[len(states)-1]) {
			day = 78 + i%9
		}
		at := s.at(day)
		var id uuid.UUID
		s.expect(at, func(ctx context.Context) (err error) {
			id, err = s.place(ctx, states[0])
			return err
		})
		for _, to := range states[1:] {
			at = at.Add(s.hours(1, 26))
			s.expect(at, func(ctx context.Context) error { return s.move(ctx, id, to) })
		}
	}
}

func (s *shop) place(ctx context.Context, state domain.OrderState) (uuid.UUID, error) {
	for {
		product, err := s.products.ByID(ctx, s.user, s.items[s.rand.IntN(len(s.items))])
		if err != nil {
			return uuid.Nil, err
		}
		if product.Quantity == 0 {
			continue
		}
		order, err := s.orders.Place(ctx, s.user, service.NewOrder{
			ItemID: product.ID, Client: clients[s.rand.IntN(len(clients))], Description: wishes[s.rand.IntN(len(wishes))],
			Quantity: 1 + int64(s.rand.IntN(int(min(product.Quantity, 25)))), State: state,
		}, nil, nil)
		s.made.Orders++
		return order.ID, err
	}
}

func (s *shop) move(ctx context.Context, id uuid.UUID, to domain.OrderState) error {
	actor := s.user
	switch to {
	case domain.OrderReady:
		actor = s.manager
		if err := s.supply(ctx, id); err != nil {
			return err
		}
	case domain.OrderCompleted:
		actor = s.manager
	case domain.OrderCancelled:
		actor = s.admin
	}
	_, err := s.orders.Move(ctx, actor, id, to, domain.Expectation{}, nil)
	return err
}

// supply has more come in if an order could not be approved.
func (s *shop) supply(ctx context.Context, id uuid.UUID) error {
	order, err := s.orders.ByID(ctx, s.manager, id)
	if err != nil || order.Item.Quantity >= order.Quantity {
		return err
	}
	delta := order.Quantity + 40
	_, err = s.products.Adjust(ctx, s.manager, order.ProductID, service.Adjustment{Delta: &delta, Note: "Delivery from the supplier"}, domain.Expectation{}, nil)
	return err
}
