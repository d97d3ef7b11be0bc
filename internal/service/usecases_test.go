package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

// useCase is one thing that changes what is stored.
type useCase struct {
	name   string
	lowest domain.Role // who may; empty where nobody needs to be anybody
	writes []string    // in its transaction, as TABLE OPERATION
	aside  []string    // tables that are written whether or not the transaction succeeds
	events []domain.EventType
	// arrange makes what the use case needs and gives the call, which can be repeated until it succeeds.
	arrange func(w *world) func(a actor) error
}

var useCases = []useCase{
	{
		name: "invite somebody new", lowest: domain.RoleManager, events: []domain.EventType{domain.EventUserInvited},
		writes: []string{"users INSERT", "one_time_tokens INSERT", "outbox INSERT"},
		arrange: func(w *world) func(actor) error {
			in := invitee(domain.RoleReadonlyUser)
			return func(a actor) error { return w.auth.Invite(w.ctx, a.Actor, in, nil, nil) }
		},
	},
	{
		name: "invite a draft again", lowest: domain.RoleManager, events: []domain.EventType{domain.EventUserInvited},
		writes: []string{"users UPDATE", "one_time_tokens UPDATE", "one_time_tokens INSERT", "outbox INSERT"},
		arrange: func(w *world) func(actor) error {
			in := invitee(domain.RoleUser)
			in.Email = w.draft(domain.RoleReadonlyUser).Email
			return func(a actor) error { return w.auth.Invite(w.ctx, a.Actor, in, nil, nil) }
		},
	},
	{
		name: "register", writes: []string{"one_time_tokens UPDATE", "users UPDATE", "sessions INSERT", "refresh_tokens INSERT"},
		arrange: func(w *world) func(actor) error {
			w.draft(domain.RoleUser)
			secret, name := w.lastEvent().Token, "user_"+serial()
			return func(actor) error {
				_, err := w.auth.Register(w.ctx, domain.Stranger(address), secret, name, goodPassword, nil)
				return err
			}
		},
	},
	{
		name: "log in", writes: []string{"sessions INSERT", "refresh_tokens INSERT"}, aside: []string{"login_failures"},
		arrange: func(w *world) func(actor) error {
			u := w.user(domain.RoleUser)
			return func(actor) error {
				_, err := w.auth.Login(w.ctx, domain.Stranger(address), u.Email, goodPassword, "", nil)
				return err
			}
		},
	},
	{
		name: "refresh", writes: []string{"refresh_tokens UPDATE", "sessions UPDATE", "refresh_tokens INSERT"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleUser)
			w.advance(1e9)
			return func(actor) error {
				_, err := w.auth.Refresh(w.ctx, domain.Stranger(address), a.access, a.refresh, nil)
				return err
			}
		},
	},
	{
		name: "log out", writes: []string{"sessions UPDATE"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleReadonlyUser)
			return func(actor) error { return w.auth.Logout(w.ctx, a.Actor) }
		},
	},
	{
		name: "change the own password", writes: []string{"users UPDATE", "sessions UPDATE", "one_time_tokens UPDATE"}, aside: []string{"login_failures"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleReadonlyUser)
			w.session(a.user)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), a.user.Email, nil))
			return func(actor) error {
				return w.auth.ChangePassword(w.ctx, a.Actor, goodPassword, "an entirely new one", nil)
			}
		},
	},
	{
		name: "forget the password", writes: []string{"one_time_tokens UPDATE", "one_time_tokens INSERT", "outbox INSERT"}, events: []domain.EventType{domain.EventPasswordReset},
		arrange: func(w *world) func(actor) error {
			u := w.user(domain.RoleUser)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), u.Email, nil))
			return func(actor) error { return w.auth.Forgot(w.ctx, domain.Stranger(address), u.Email, nil) }
		},
	},
	{
		name: "reset the password", writes: []string{"one_time_tokens UPDATE", "users UPDATE", "sessions UPDATE"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleUser)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), a.user.Email, nil))
			secret := w.lastEvent().Token
			return func(actor) error {
				return w.auth.Reset(w.ctx, domain.Stranger(address), secret, "an entirely new one", nil)
			}
		},
	},
	{
		name: "change a user's name and role", lowest: domain.RoleUser, writes: []string{"users UPDATE"},
		arrange: func(w *world) func(actor) error {
			u := w.user(domain.RoleReadonlyUser)
			in := service.Invitee{Email: strings.ToUpper(u.Email), FirstName: "New", LastName: "Name", Role: domain.RoleUser}
			return func(a actor) error { return w.users.Update(w.ctx, a.Actor, u.ID, in, nil) }
		},
	},
	{
		name: "change a user's email", lowest: domain.RoleUser, events: []domain.EventType{domain.EventEmailChanged},
		writes: []string{"users UPDATE", "sessions UPDATE", "one_time_tokens UPDATE", "outbox INSERT"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleReadonlyUser)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), a.user.Email, nil))
			in := invitee(domain.RoleReadonlyUser)
			return func(b actor) error { return w.users.Update(w.ctx, b.Actor, a.user.ID, in, nil) }
		},
	},
	{
		name: "change a draft's email", lowest: domain.RoleUser, events: []domain.EventType{domain.EventEmailChanged, domain.EventUserInvited},
		writes: []string{"users UPDATE", "one_time_tokens UPDATE", "one_time_tokens INSERT", "outbox INSERT"},
		arrange: func(w *world) func(actor) error {
			u, in := w.draft(domain.RoleReadonlyUser), invitee(domain.RoleReadonlyUser)
			return func(a actor) error { return w.users.Update(w.ctx, a.Actor, u.ID, in, nil) }
		},
	},
	{
		name: "delete a user", lowest: domain.RoleUser, writes: []string{"users UPDATE", "sessions UPDATE", "one_time_tokens UPDATE"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleReadonlyUser)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), a.user.Email, nil))
			return func(b actor) error { return w.users.Delete(w.ctx, b.Actor, a.user.ID) }
		},
	},
	{
		name: "create a category", lowest: domain.RoleManager, writes: []string{"categories INSERT"},
		arrange: func(w *world) func(actor) error {
			name := "Category " + serial()
			return func(a actor) error {
				_, err := w.categories.Create(w.ctx, a.Actor, name, nil, nil)
				return err
			}
		},
	},
	{
		name: "delete a category", lowest: domain.RoleManager, writes: []string{"products UPDATE", "categories UPDATE", "pictures"},
		arrange: func(w *world) func(actor) error {
			c := w.category()
			w.product(c, 1, picture(1))
			w.product(c, 2, picture(2))
			return func(a actor) error { return w.categories.Delete(w.ctx, a.Actor, c.Name) }
		},
	},
	{
		name: "create a product", lowest: domain.RoleUser, writes: []string{"products INSERT", "products UPDATE", "movements INSERT", "pictures"},
		arrange: func(w *world) func(actor) error {
			in := service.ProductInput{Name: "New", Category: w.category().Name, Quantity: new(int64(5)), Image: picture(1)}
			return func(a actor) error {
				_, err := w.products.Create(w.ctx, a.Actor, in, nil, nil)
				return err
			}
		},
	},
	{
		name: "change a product", lowest: domain.RoleUser, writes: []string{"products UPDATE", "movements INSERT", "pictures"},
		arrange: func(w *world) func(actor) error {
			p := w.product(w.category(), 5, picture(1))
			in := service.ProductInput{Name: "New", Category: w.category().Name, Quantity: new(int64(7)), Image: picture(2)}
			return func(a actor) error {
				_, err := w.products.Update(w.ctx, a.Actor, p.ID, in, domain.Expectation{}, nil)
				return err
			}
		},
	},
	{
		name: "adjust the stock", lowest: domain.RoleUser, writes: []string{"products UPDATE", "movements INSERT"},
		arrange: func(w *world) func(actor) error {
			p := w.product(w.category(), 5, nil)
			return func(a actor) error {
				_, err := w.products.Adjust(w.ctx, a.Actor, p.ID, service.Adjustment{Delta: new(int64(-2)), Note: "broken"}, domain.Expectation{}, nil)
				return err
			}
		},
	},
	{
		name: "delete a product", lowest: domain.RoleManager, writes: []string{"products UPDATE", "pictures"},
		arrange: func(w *world) func(actor) error {
			p := w.product(w.category(), 5, picture(1))
			return func(a actor) error { return w.products.Delete(w.ctx, a.Actor, p.ID, domain.Expectation{}) }
		},
	},
	{
		name: "place an order", lowest: domain.RoleUser, writes: []string{"orders INSERT", "order_steps INSERT"},
		arrange: func(w *world) func(actor) error {
			in := service.NewOrder{ItemID: w.product(w.category(), 5, nil).ID, Client: "Client", Quantity: 2, State: domain.OrderPending}
			return func(a actor) error {
				_, err := w.orders.Place(w.ctx, a.Actor, in, nil, nil)
				return err
			}
		},
	},
	{
		name: "change an order", lowest: domain.RoleManager, writes: []string{"orders UPDATE"},
		arrange: func(w *world) func(actor) error {
			o := w.order(w.product(w.category(), 5, nil), 2, domain.OrderPending)
			return func(a actor) error {
				_, err := w.orders.Edit(w.ctx, a.Actor, o.ID, service.OrderText{Client: "Other", Quantity: 3}, domain.Expectation{}, nil)
				return err
			}
		},
	},
	move(domain.OrderDraft, domain.OrderPending, domain.RoleUser),
	move(domain.OrderDraft, domain.OrderCancelled, domain.RoleUser),
	move(domain.OrderPending, domain.OrderCancelled, domain.RoleUser),
	move(domain.OrderPending, domain.OrderReady, domain.RoleManager, "products UPDATE", "movements INSERT"),
	move(domain.OrderReady, domain.OrderCompleted, domain.RoleManager),
	move(domain.OrderReady, domain.OrderCancelled, domain.RoleManager, "products UPDATE", "movements INSERT"),
	{
		name: "delete an order", lowest: domain.RoleAdmin, writes: []string{"orders UPDATE"},
		arrange: func(w *world) func(actor) error {
			o := w.order(w.product(w.category(), 5, nil), 2, domain.OrderPending)
			return func(a actor) error { return w.orders.Delete(w.ctx, a.Actor, o.ID, domain.Expectation{}) }
		},
	},
	{
		name: "delete an approved order", lowest: domain.RoleAdmin, writes: []string{"orders UPDATE", "products UPDATE", "movements INSERT"},
		arrange: func(w *world) func(actor) error {
			o := w.order(w.product(w.category(), 5, nil), 2, domain.OrderReady)
			return func(a actor) error { return w.orders.Delete(w.ctx, a.Actor, o.ID, domain.Expectation{}) }
		},
	},
	{
		name: "operator: create an Admin", writes: []string{"users INSERT"},
		arrange: func(w *world) func(actor) error {
			email := invitee("").Email
			return func(actor) error {
				_, err := w.operator.CreateAdmin(w.ctx, email, goodPassword)
				return err
			}
		},
	},
	{
		name: "operator: reset a password", writes: []string{"users UPDATE", "sessions UPDATE", "one_time_tokens UPDATE"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleAdmin)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), a.user.Email, nil))
			return func(actor) error {
				_, err := w.operator.ResetPassword(w.ctx, a.user.Email, "an entirely new one")
				return err
			}
		},
	},
	{
		name: "operator: remove a user", writes: []string{"users UPDATE", "sessions UPDATE", "one_time_tokens UPDATE"},
		arrange: func(w *world) func(actor) error {
			a := w.as(domain.RoleAdmin)
			w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), a.user.Email, nil))
			return func(actor) error { return w.operator.Remove(w.ctx, a.user.Email) }
		},
	},
}

// move is the use case of one step of an order.
func move(from, to domain.OrderState, lowest domain.Role, stock ...string) useCase {
	return useCase{
		name: "move an order from " + string(from) + " to " + string(to), lowest: lowest, writes: append([]string{"orders UPDATE", "order_steps INSERT"}, stock...),
		arrange: func(w *world) func(actor) error {
			o := w.order(w.product(w.category(), 5, nil), 2, from)
			return func(a actor) error {
				_, err := w.orders.Move(w.ctx, a.Actor, o.ID, to, domain.Expectation{}, nil)
				return err
			}
		},
	}
}

// TestUseCases_permissions has every role try everything: who may not leaves nothing behind.
func TestUseCases_permissions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range useCases {
			if c.lowest == "" {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				w := w.within(t)
				for _, role := range append(slices.Clone(domain.Roles), "", "Root") {
					call := c.arrange(w)
					who := w.as(domain.RoleReadonlyUser)
					if role.AtLeast(domain.RoleReadonlyUser) {
						who = w.as(role)
					} else {
						who.Role = role
					}
					if role.AtLeast(c.lowest) {
						require.NoError(t, call(who), role)
						continue
					}
					before := w.dump()
					w.refuses(call(who), domain.KindForbidden, "authorization")
					require.Equal(t, before, w.dump(), role)
				}
			})
		}
	})
}

// TestUseCases_allOrNothing has the database refuse each thing that a use case writes, one at a time: what it wrote before is gone, and it
// can be done again. Then it succeeds, writes exactly what it is said to, and announces exactly its events.
func TestUseCases_allOrNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, c := range useCases {
			t.Run(c.name, func(t *testing.T) {
				w := w.within(t)
				call := c.arrange(w)
				who := w.as(domain.RoleAdmin)
				stored := func() map[string][]string {
					all := w.dump()
					for _, table := range c.aside {
						delete(all, table)
					}
					return all
				}
				before := stored()
				tables := map[string]bool{}
				for _, write := range append(slices.Clone(c.writes), "audit_log INSERT", "audit_head UPDATE") {
					table, operation, _ := strings.Cut(write, " ")
					tables[table] = true
					if operation == "" {
						continue
					}
					allow := w.forbid(table, operation)
					err := call(who)
					allow()
					require.ErrorContains(t, err, "forbidden by the test", write)
					require.Equal(t, before, stored(), "%s failed", write)
				}
				announced := len(w.events())
				require.NoError(t, call(who))
				var want []string
				for table := range tables {
					want = append(want, table)
				}
				slices.Sort(want)
				require.Equal(t, want, changed(before, stored()))
				var events []domain.EventType
				for _, e := range w.events()[announced:] {
					events = append(events, e.Type)
				}
				require.Equal(t, c.events, events)
			})
		}
	})
}

// forbid makes every statement of a kind on a table fail until allow is called.
func (w *world) forbid(table, operation string) (allow func()) {
	w.t.Helper()
	if w.store.Embedded() {
		w.exec(fmt.Sprintf(`CREATE TRIGGER forbid BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'forbidden by the test'); END`, operation, table))
		return func() { w.exec(`DROP TRIGGER forbid`) }
	}
	w.exec(`CREATE OR REPLACE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'forbidden by the test'; END $$`,
		fmt.Sprintf(`CREATE TRIGGER forbid BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION forbid()`, operation, table))
	return func() { w.exec(fmt.Sprintf(`DROP TRIGGER forbid ON %s`, table)) }
}

// TestUseCases_faultsComeBeforeWriting: whatever the edge found wrong is told, and nothing is written.
func TestUseCases_faultsComeBeforeWriting(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin := w.as(domain.RoleAdmin)
		p := w.product(w.category(), 5, picture(1))
		o, u := w.order(p, 1, domain.OrderPending), w.user(domain.RoleUser)
		w.ok(w.auth.Forgot(w.ctx, domain.Stranger(address), u.Email, nil))
		reset := w.lastEvent().Token
		faults := func() domain.Faults { return domain.Faults{"x": {"The x is wrong"}} }
		input := service.ProductInput{Name: "x", Category: p.CategoryName, Quantity: new(int64(1)), Image: picture(2)}
		for name, call := range map[string]func() error{
			"invite": func() error { return w.auth.Invite(w.ctx, admin.Actor, invitee(domain.RoleUser), nil, faults()) },
			"change password": func() error {
				return w.auth.ChangePassword(w.ctx, domain.Actor{ID: u.ID, Role: domain.RoleUser}, goodPassword, "an entirely new one", faults())
			},
			"forgot": func() error { return w.auth.Forgot(w.ctx, domain.Stranger(address), u.Email, faults()) },
			"reset": func() error {
				return w.auth.Reset(w.ctx, domain.Stranger(address), reset, "an entirely new one", faults())
			},
			"login": func() error {
				_, err := w.auth.Login(w.ctx, domain.Stranger(address), u.Email, goodPassword, "", faults())
				return err
			},
			"refresh": func() error {
				_, err := w.auth.Refresh(w.ctx, domain.Stranger(address), admin.access, admin.refresh, faults())
				return err
			},
			"update a user": func() error { return w.users.Update(w.ctx, admin.Actor, u.ID, invitee(domain.RoleUser), faults()) },
			"category":      func() error { _, err := w.categories.Create(w.ctx, admin.Actor, "x", nil, faults()); return err },
			"product":       func() error { _, err := w.products.Create(w.ctx, admin.Actor, input, nil, faults()); return err },
			"update a product": func() error {
				_, err := w.products.Update(w.ctx, admin.Actor, p.ID, input, domain.Expectation{}, faults())
				return err
			},
			"adjust": func() error {
				_, err := w.products.Adjust(w.ctx, admin.Actor, p.ID, service.Adjustment{}, domain.Expectation{}, faults())
				return err
			},
			"order": func() error {
				_, err := w.orders.Place(w.ctx, admin.Actor, service.NewOrder{ItemID: p.ID, Quantity: 1, State: domain.OrderDraft}, nil, faults())
				return err
			},
			"edit an order": func() error {
				_, err := w.orders.Edit(w.ctx, admin.Actor, o.ID, service.OrderText{Quantity: 1}, domain.Expectation{}, faults())
				return err
			},
			"move": func() error {
				_, err := w.orders.Move(w.ctx, admin.Actor, o.ID, domain.OrderReady, domain.Expectation{}, faults())
				return err
			},
		} {
			t.Run(name, func(t *testing.T) {
				before := w.dump()
				w.refuses(call(), domain.KindInvalid, "x")
				after := w.dump()
				if name == "change password" { // the current one was looked at, as its own fault would be
					after["login_failures"] = before["login_failures"]
				}
				require.Empty(t, changed(before, after))
			})
		}
	})
}
