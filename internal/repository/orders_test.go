package repository_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// asItem is a product as orders show it.
func asItem(p domain.Product) domain.Product {
	p.NameKey, p.SearchKey = "", ""
	p.CategoryID = domain.Product{}.CategoryID
	return p
}

// shownOrder is an order without what ByID leaves out.
func shownOrder(o domain.Order) domain.Order {
	o.ClientKey, o.SearchKey, o.Item = "", "", shown(o.Item)
	return o
}

func TestOrders(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		p := domain.NewProduct("iPhone", "blue", b.category("Phones"), new("a.png"), now)
		b.ok(b.Products.Create(b.ctx, p))
		o := b.order(domain.Product{ID: p.ID, Name: p.Name, Quantity: 5}, domain.OrderDraft, u)
		o.Item = asItem(p)
		found, err := b.Orders.ByID(b.ctx, o.ID)
		b.ok(err)
		require.Equal(t, shownOrder(o), found)
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			locked, err := tx.Orders.Lock(b.ctx, o.ID)
			b.ok(err)
			require.Equal(t, o, locked)
			return nil
		}))

		b.ok(o.Edit("New client", "Ünd", 0, now.Add(time.Minute)))
		o.Quantity = 4
		b.ok(b.Orders.SaveText(b.ctx, o))
		found, err = b.Orders.ByID(b.ctx, o.ID)
		b.ok(err)
		require.Equal(t, shownOrder(o), found)
		stale := o
		b.refuses(b.Orders.SaveText(b.ctx, stale), domain.KindConflict, "request")

		from := o.State
		_, err = o.MoveTo(domain.OrderPending, domain.Actor{ID: u.ID, Role: domain.RoleAdmin}, now.Add(time.Hour))
		b.ok(err)
		step := domain.NewOrderStep(o, &from, u.ID, now.Add(time.Hour))
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Orders.SaveStates(b.ctx, []domain.OrderStep{step}) }))
		found, err = b.Orders.ByID(b.ctx, o.ID)
		b.ok(err)
		require.Equal(t, shownOrder(o), found)

		history, err := b.Orders.History(b.ctx, o.ID)
		b.ok(err)
		step.Username = u.Username
		require.Len(t, history, 2)
		require.Equal(t, domain.OrderStep{
			ID: history[0].ID, OrderID: o.ID, OrderVersion: 1, ToState: domain.OrderDraft, UserID: &u.ID, Username: u.Username, CreatedAt: now,
		}, history[0])
		require.Equal(t, step, history[1])
		history, err = b.Orders.History(b.ctx, domain.NewID())
		b.ok(err)
		require.Equal(t, []domain.OrderStep{}, history)
	})
}

func TestOrders_deletedAndUnknown(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p, u := b.product("iPhone", b.category("Phones"), 5), b.user("jane", domain.RoleUser)
		deleted := b.order(p, domain.OrderPending, u)
		stale := deleted
		stale.Version = 7
		b.refuses(b.Orders.Delete(b.ctx, stale, now), domain.KindConflict, "request")
		b.ok(b.Orders.Delete(b.ctx, deleted, now))
		b.refuses(b.Orders.Delete(b.ctx, deleted, now), domain.KindConflict, "request")

		unknown, err := domain.NewOrder(p, "Client", "", 1, domain.OrderPending, u.ID, now)
		b.ok(err)
		for _, o := range []domain.Order{deleted, unknown} {
			_, err := b.Orders.ByID(b.ctx, o.ID)
			b.refuses(err, domain.KindNotFound, "id")
			_, err = b.Orders.Lock(b.ctx, o.ID)
			b.refuses(err, domain.KindNotFound, "id")
			o.Version++
			b.refuses(b.Orders.SaveText(b.ctx, o), domain.KindConflict, "request")
			from := domain.OrderPending
			o.State = domain.OrderReady
			b.refuses(b.Orders.SaveStates(b.ctx, []domain.OrderStep{domain.NewOrderStep(o, &from, u.ID, now)}), domain.KindConflict, "transition")
		}
		_, total, err := b.Orders.List(b.ctx, domain.OrderFilter{Page: first("createdAt")})
		b.ok(err)
		require.Zero(t, total.Total)
		require.Equal(t, 1, b.count("order_steps"), "a step that was not taken is not in the history")
	})
}

func TestOrders_showADeletedProductAsItWas(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		c, u := b.category("Phones"), b.user("jane", domain.RoleUser)
		p := b.product("iPhone", c, 5)
		o := b.order(p, domain.OrderCancelled, u)
		b.ok(b.Products.Delete(b.ctx, p.ID, now))
		b.ok(b.Categories.Delete(b.ctx, c, now))
		o.Item = asItem(p)
		o.Item.DeletedAt = &now
		found, err := b.Orders.ByID(b.ctx, o.ID)
		b.ok(err)
		require.Equal(t, shownOrder(o), found)
		listed, _, err := b.Orders.List(b.ctx, domain.OrderFilter{Page: first("createdAt"), Search: "iphone"})
		b.ok(err)
		require.Equal(t, []domain.Order{listedOrder(o)}, listed)
		listed, _, err = b.Orders.List(b.ctx, domain.OrderFilter{Page: first("createdAt"), Category: "Phones"})
		b.ok(err)
		require.Empty(t, listed, "there is no such category any more")
	})
}

// listedOrder is what a list shows of an order.
func listedOrder(o domain.Order) domain.Order {
	p := o.Item
	return domain.Order{
		ID: o.ID, Client: o.Client, Description: o.Description, Quantity: o.Quantity, State: o.State, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
		Item: domain.Product{ID: p.ID, Name: p.Name, CategoryName: p.CategoryName, Quantity: p.Quantity, Image: p.Image, DeletedAt: p.DeletedAt},
	}
}

func TestOrders_List(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		phone, doll := b.product("iPhöne", b.category("Phones"), 50), b.product("Doll_1", b.category("Toys"), 50)
		made := func(p domain.Product, client, description string, state domain.OrderState) domain.Order {
			o, err := domain.NewOrder(p, client, description, 2, state, u.ID, now)
			b.ok(err)
			b.ok(b.Orders.Create(b.ctx, []domain.Order{o}, []domain.OrderStep{domain.NewOrderStep(o, nil, u.ID, now)}))
			o.Item = asItem(p)
			return listedOrder(o)
		}
		one, two := made(phone, "Ärger AG", "50% now", domain.OrderDraft), made(phone, "Miller", "", domain.OrderReady)
		three := made(doll, "Phone shop", `a\b`, domain.OrderReady)
		for name, c := range map[string]struct {
			filter domain.OrderFilter
			want   []domain.Order
		}{
			"all":                               {domain.OrderFilter{}, []domain.Order{one, two, three}},
			"item name or client":               {domain.OrderFilter{Search: "PH"}, []domain.Order{one, two, three}},
			"item name":                         {domain.OrderFilter{Search: "iPHÖNE"}, []domain.Order{one, two}},
			"client":                            {domain.OrderFilter{Search: "äRGER"}, []domain.Order{one}},
			"description":                       {domain.OrderFilter{Search: "NOW"}, []domain.Order{one}},
			"percent sign":                      {domain.OrderFilter{Search: "%"}, []domain.Order{one}},
			"underscore":                        {domain.OrderFilter{Search: "_"}, []domain.Order{three}},
			"backslash":                         {domain.OrderFilter{Search: `\`}, []domain.Order{three}},
			"category":                          {domain.OrderFilter{Category: "toys"}, []domain.Order{three}},
			"state":                             {domain.OrderFilter{State: domain.OrderReady}, []domain.Order{two, three}},
			"all filters":                       {domain.OrderFilter{State: domain.OrderReady, Category: "PHONES", Search: "mill"}, []domain.Order{two}},
			"search within a state keeps to it": {domain.OrderFilter{State: domain.OrderDraft, Search: "doll"}, nil},
			"nothing":                           {domain.OrderFilter{State: domain.OrderCompleted}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				c.filter.Page = first("createdAt")
				listed, total, err := b.Orders.List(b.ctx, c.filter)
				require.NoError(t, err)
				require.EqualValues(t, len(c.want), total.Total)
				require.NotNil(t, listed)
				require.ElementsMatch(t, c.want, listed)
			})
		}
	})
}

func TestOrders_sorts(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		u, p := b.user("jane", domain.RoleUser), b.product("iPhone", b.category("Phones"), 50)
		made := func(client, description string, quantity int64, state domain.OrderState, created, updated time.Duration) domain.Order {
			o, err := domain.NewOrder(p, client, description, quantity, state, u.ID, now.Add(created))
			b.ok(err)
			o.UpdatedAt = now.Add(updated)
			b.ok(b.Orders.Create(b.ctx, []domain.Order{o}, []domain.OrderStep{domain.NewOrderStep(o, nil, u.ID, now)}))
			o.Item = asItem(p)
			return listedOrder(o)
		}
		one := made("zoo", "z", 10, domain.OrderReady, 0, time.Hour)
		two := made("Älter", "", 9, domain.OrderPending, time.Second, time.Minute)
		three := made("Zoo", "a", 9, domain.OrderCancelled, 2*time.Second, time.Second)
		sorts(b, map[string][]domain.Order{
			"createdAt": {one, two, three},
			"updatedAt": {three, two, one},
			"client":    {one, three, two}, // equal ones by id, whatever their descriptions
			"quantity":  {two, three, one},
			"state":     {three, two, one},
		}, func(page domain.Page) ([]domain.Order, domain.Extent, error) {
			return b.Orders.List(b.ctx, domain.OrderFilter{Page: page})
		})
	})
}

func TestOrders_CountOpen(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, u := b.category("Phones"), b.user("jane", domain.RoleUser)
		one, two := b.product("one", phones, 5), b.product("two", phones, 5)
		other := b.product("other", b.category("Toys"), 5)
		for _, state := range domain.OrderStates {
			b.order(one, state, u)
			b.order(other, state, u)
			b.ok(b.Orders.Delete(b.ctx, b.order(one, state, u), now))
		}
		b.order(two, domain.OrderDraft, u)
		for _, c := range []struct {
			want  int64
			count func() (int64, error)
		}{
			{3, func() (int64, error) { return b.Orders.CountOpen(b.ctx, one.ID) }},
			{1, func() (int64, error) { return b.Orders.CountOpen(b.ctx, two.ID) }},
			{0, func() (int64, error) { return b.Orders.CountOpen(b.ctx, domain.NewID()) }},
			{4, func() (int64, error) { return b.Orders.CountOpenIn(b.ctx, phones.ID) }},
			{0, func() (int64, error) { return b.Orders.CountOpenIn(b.ctx, domain.NewID()) }},
		} {
			n, err := c.count()
			b.ok(err)
			require.Equal(t, c.want, n)
		}
	})
}

// TestOrders_SaveStates_oneWinner has twenty movers who all read the order in the same state, without a lock: what decides is the
// condition of the UPDATE.
func TestOrders_SaveStates_oneWinner(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleAdmin)
		actor := domain.Actor{ID: u.ID, Role: u.Role}
		o := b.order(b.product("iPhone", b.category("Phones"), 5), domain.OrderPending, u)
		targets := []domain.OrderState{domain.OrderReady, domain.OrderCancelled}
		winners := 0
		for _, err := range together(20, func(i int) error {
			o, from := o, o.State
			if _, err := o.MoveTo(targets[i%2], actor, now); err != nil {
				return err
			}
			return b.InTx(b.ctx, func(tx *repository.Store) error {
				return tx.Orders.SaveStates(b.ctx, []domain.OrderStep{domain.NewOrderStep(o, &from, u.ID, now)})
			})
		}) {
			if err == nil {
				winners++
			} else {
				b.refuses(err, domain.KindConflict, "transition")
				require.True(t, strings.Contains(err.Error(), "'Pending'"), err)
			}
		}
		require.Equal(t, 1, winners)
		require.Equal(t, 2, b.count("order_steps"))
		found, err := b.Orders.ByID(b.ctx, o.ID)
		b.ok(err)
		require.EqualValues(t, 2, found.Version)
		require.Contains(t, targets, found.State)
	})
}

func TestOrders_SaveText_oneWinner(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		o := b.order(b.product("iPhone", b.category("Phones"), 5), domain.OrderPending, b.user("jane", domain.RoleAdmin))
		winners := 0
		for _, err := range together(20, func(int) error {
			o := o
			if err := o.Edit("Other", "", 1, now); err != nil {
				return err
			}
			return b.Orders.SaveText(b.ctx, o)
		}) {
			if err == nil {
				winners++
			} else {
				b.refuses(err, domain.KindConflict, "request")
			}
		}
		require.Equal(t, 1, winners)
	})
}
