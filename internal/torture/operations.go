package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"

	"inventoryhub/internal/domain"
)

// operation is one thing that a client can do, and how the API may answer beside 503, 403 for a role that is too low, and 412 for a
// condition that does not hold.
type operation struct {
	name     string
	weight   int
	lowest   domain.Role // who may
	success  int
	refusals []int
	raises   int64 // by how much it may raise the version at most
	do       func(ctx context.Context, c *client, t turn)
}

// turn is a client's step as it was planned. What it hits is what there is when it comes to it.
type turn struct {
	op       *operation
	dice     *rand.Rand
	role     domain.Role
	instance int
	marker   string // a text that no other step uses
}

var (
	logIn = &operation{name: "log in", lowest: domain.RoleReadonlyUser, success: http.StatusOK}

	createCategory = &operation{name: "create category", weight: 3, lowest: domain.RoleManager, success: http.StatusCreated, do: doCreateCategory}
	createProduct  = &operation{name: "create product", weight: 5, lowest: domain.RoleUser, success: http.StatusCreated, refusals: []int{400}, do: doCreateProduct}
	placeOrder     = &operation{name: "place order", weight: 18, lowest: domain.RoleUser, success: http.StatusCreated, refusals: []int{400, 409}, do: doPlaceOrder}
)

// operations are all that clients do by plan.
var operations = []*operation{
	createCategory, createProduct, placeOrder,
	{name: "invite user", weight: 3, lowest: domain.RoleManager, success: http.StatusCreated, do: doInvite},
	{name: "move order", weight: 28, lowest: domain.RoleUser, success: http.StatusOK, refusals: []int{404, 409}, raises: 1, do: doMoveOrder},
	{name: "edit order", weight: 7, lowest: domain.RoleManager, success: http.StatusOK, refusals: []int{404, 409}, raises: 1, do: doEditOrder},
	{name: "delete order", weight: 3, lowest: domain.RoleAdmin, success: http.StatusNoContent, refusals: []int{404, 409}, do: doDeleteOrder},
	{name: "adjust stock", weight: 12, lowest: domain.RoleUser, success: http.StatusOK, refusals: []int{404, 409}, raises: 1, do: doAdjust},
	{name: "update product", weight: 5, lowest: domain.RoleUser, success: http.StatusOK, refusals: []int{400, 404}, raises: 2, do: doUpdateProduct},
	{name: "delete product", weight: 2, lowest: domain.RoleManager, success: http.StatusNoContent, refusals: []int{404, 409}, do: doDeleteProduct},
	{name: "delete category", weight: 1, lowest: domain.RoleManager, success: http.StatusNoContent, refusals: []int{404, 409}, do: doDeleteCategory},
	{name: "read product", weight: 4, lowest: domain.RoleReadonlyUser, success: http.StatusOK, refusals: []int{404}, do: doReadProduct},
	{name: "read order", weight: 4, lowest: domain.RoleUser, success: http.StatusOK, refusals: []int{404}, do: doReadOrder},
	{name: "read movements", weight: 2, lowest: domain.RoleReadonlyUser, success: http.StatusOK, refusals: []int{404}, do: doReadMovements},
	{name: "read history", weight: 2, lowest: domain.RoleUser, success: http.StatusOK, refusals: []int{404}, do: doReadHistory},
	{name: "list products", weight: 1, lowest: domain.RoleReadonlyUser, success: http.StatusOK, do: doList("/products?sort=name", "products")},
	{name: "list orders", weight: 1, lowest: domain.RoleReadonlyUser, success: http.StatusOK, do: doList("/products/orders?sort=-updatedAt", "orders")},
	{name: "list categories", weight: 1, lowest: domain.RoleReadonlyUser, success: http.StatusOK, do: doList("/products/categories", "categories")},
	{name: "read audit log", weight: 1, lowest: domain.RoleAdmin, success: http.StatusOK, do: doReadAudit},
}

// callers are the roles, the busier ones more often.
var callers = []domain.Role{
	domain.RoleAdmin, domain.RoleAdmin, domain.RoleAdmin, domain.RoleManager, domain.RoleManager, domain.RoleManager, domain.RoleManager,
	domain.RoleUser, domain.RoleUser, domain.RoleUser, domain.RoleUser, domain.RoleReadonlyUser,
}

// perform carries out a step of the plan.
func (c *client) perform(ctx context.Context, step uint64, dice *rand.Rand) {
	op := drawOperation(dice)
	op.do(ctx, c, turn{
		op: op, dice: dice, role: callers[dice.IntN(len(callers))], instance: dice.IntN(c.world.config.Instances),
		marker: fmt.Sprintf("c%d-%d", c.number, step),
	})
}

func drawOperation(dice *rand.Rand) *operation {
	total := 0
	for _, op := range operations {
		total += op.weight
	}
	n := dice.IntN(total)
	i := slices.IndexFunc(operations, func(op *operation) bool {
		n -= op.weight
		return n < 0
	})
	return operations[i]
}

// seedProducts makes what the clients begin with.
func seedProducts(ctx context.Context, c *client) error {
	if err := c.login(ctx); err != nil {
		return err
	}
	for n := range 12 {
		op := createProduct
		if n%4 == 0 {
			op = createCategory
		}
		dice := c.world.config.dice(handsFrom-1, uint64(n))
		op.do(ctx, c, turn{op: op, dice: dice, role: domain.RoleAdmin, marker: fmt.Sprint("seed-", n)})
	}
	return nil
}

// ask sends a call of the turn and checks that the answer is one of those that the operation may have.
func (c *client) ask(ctx context.Context, call call, instance int) answer {
	a := c.send(ctx, call, instance)
	if fault := misfit(call, a); fault != "" {
		c.world.tally.violate("%s %s as %s (%s): %s: %d %.200s", call.method, call.path, call.role, call.id, fault, a.status, a.body)
	}
	return a
}

// misfit says what is wrong with an answer, or nothing.
func misfit(call call, a answer) string {
	may := call.role.AtLeast(call.op.lowest)
	switch {
	case a.status == 0 || a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
		return ""
	case a.status == http.StatusServiceUnavailable:
		return "a 503 without Retry-After"
	case a.status >= http.StatusInternalServerError:
		return "a defect"
	case !may && a.status != http.StatusForbidden:
		return "the role is too low and was not refused"
	case a.status == http.StatusForbidden && may && !call.stepwise:
		return "the role suffices and was refused"
	case a.status == http.StatusPreconditionFailed && call.version == 0:
		return "there was no condition"
	case a.ok() && call.version != 0 && call.op.raises > 0 && (a.version() <= call.version || a.version() > call.version+call.op.raises):
		return fmt.Sprintf("the condition was version %d, the new one is %d", call.version, a.version())
	case a.ok() && a.status != call.op.success:
		return "an unknown success"
	case a.ok(), a.status == http.StatusForbidden, a.status == http.StatusPreconditionFailed, slices.Contains(call.op.refusals, a.status):
		return ""
	case call.key != "" && a.status == http.StatusConflict && a.blames("request"), call.repeated && a.status == http.StatusNotFound:
		return ""
	}
	return "an undocumented answer"
}

// prepare makes the call of a turn. One in four of those that may have a condition has one: the version that anybody saw last.
func (t turn) prepare(c *client, method, path, id string, body map[string]any) call {
	call := call{op: t.op, role: t.role, method: method, path: path, body: body, id: t.marker}
	if conditional := t.dice.IntN(4) == 0; conditional && method != http.MethodGet {
		call.version = c.world.journal.latest(id)
	}
	return call
}

// create carries out a turn that makes something: mostly with a key, and then sometimes twice at once.
func (t turn) create(ctx context.Context, c *client, kind, path string, body map[string]any) {
	made := &creation{kind: kind, marker: t.marker, call: call{op: t.op, role: t.role, method: http.MethodPost, path: path, body: body, id: t.marker}}
	twice := false
	if t.dice.IntN(5) > 0 {
		made.call.key = t.marker
		twice = t.dice.IntN(8) == 0
	}
	c.world.journal.begin(made, twice)
	var second chan struct{}
	if twice {
		second = make(chan struct{})
		go func() {
			defer close(second)
			c.world.journal.answered(made, c.ask(ctx, c.world.journal.attempt(made), t.instance+1))
		}()
	}
	c.try(ctx, made, t.instance)
	if twice {
		<-second
	}
}

// try sends a creation, and keeps it for another try if it has a key and no answer came.
func (c *client) try(ctx context.Context, made *creation, instance int) {
	c.world.journal.answered(made, c.ask(ctx, c.world.journal.attempt(made), instance))
	if c.world.journal.isOpen(made) {
		c.open = append(c.open, made)
	}
}

func doCreateCategory(ctx context.Context, c *client, t turn) {
	t.create(ctx, c, kindCategory, "/products/categories", map[string]any{"name": t.marker})
}

func doInvite(ctx context.Context, c *client, t turn) {
	t.create(ctx, c, kindUser, "/auth/invite", map[string]any{
		"email": t.marker + emailDomain, "firstName": "Jane", "lastName": "Doe", "role": domain.RoleReadonlyUser,
	})
}

func doCreateProduct(ctx context.Context, c *client, t turn) {
	category, ok := c.world.journal.pick(kindCategory, t.dice)
	if !ok {
		t.op = createCategory
		doCreateCategory(ctx, c, t)
		return
	}
	t.create(ctx, c, kindProduct, "/products", map[string]any{
		"name": t.marker, "category": category.marker, "quantity": t.dice.IntN(60), "description": t.marker,
	})
}

func doPlaceOrder(ctx context.Context, c *client, t turn) {
	item, ok := c.world.journal.pick(kindProduct, t.dice)
	if !ok {
		t.op = createProduct
		doCreateProduct(ctx, c, t)
		return
	}
	state := domain.OrderPending
	if t.dice.IntN(3) == 0 {
		state = domain.OrderDraft
	}
	t.create(ctx, c, kindOrder, "/products/orders", map[string]any{
		"itemId": item.id, "client": t.marker, "description": t.marker, "quantity": 1 + t.dice.IntN(8), "initialState": state,
	})
}

// withOrder gives an order to do something to, or places one.
func withOrder(do func(ctx context.Context, c *client, t turn, order target)) func(ctx context.Context, c *client, t turn) {
	return func(ctx context.Context, c *client, t turn) {
		if order, ok := c.world.journal.pick(kindOrder, t.dice); ok {
			do(ctx, c, t, order)
			return
		}
		t.op = placeOrder
		doPlaceOrder(ctx, c, t)
	}
}

// withProduct gives a product to do something to, or makes one.
func withProduct(do func(ctx context.Context, c *client, t turn, item target)) func(ctx context.Context, c *client, t turn) {
	return func(ctx context.Context, c *client, t turn) {
		if item, ok := c.world.journal.pick(kindProduct, t.dice); ok {
			do(ctx, c, t, item)
			return
		}
		t.op = createProduct
		doCreateProduct(ctx, c, t)
	}
}

// goals are where clients try to move orders to, whatever state those are in.
var goals = []domain.OrderState{
	domain.OrderReady, domain.OrderReady, domain.OrderReady, domain.OrderPending, domain.OrderPending, domain.OrderCompleted,
	domain.OrderCancelled, domain.OrderDraft,
}

func doMoveOrder(ctx context.Context, c *client, t turn) {
	withOrder(func(ctx context.Context, c *client, t turn, order target) {
		to := goals[t.dice.IntN(len(goals))]
		call := t.prepare(c, http.MethodPatch, "/products/orders/state/"+order.id, order.id, map[string]any{"transition": to})
		call.stepwise = t.role == domain.RoleUser
		floor := c.world.journal.floor(order.id)
		a := c.ask(ctx, call, t.instance)
		c.world.journal.saw(kindOrder, order.id, floor, a)
		c.world.journal.moved(order.id, to, t.role, a)
	})(ctx, c, t)
}

func doEditOrder(ctx context.Context, c *client, t turn) {
	withOrder(func(ctx context.Context, c *client, t turn, order target) {
		body := map[string]any{"client": order.marker, "description": t.marker, "quantity": 1 + t.dice.IntN(8)}
		t.write(ctx, c, kindOrder, order.id, t.prepare(c, http.MethodPut, "/products/orders/"+order.id, order.id, body))
	})(ctx, c, t)
}

func doUpdateProduct(ctx context.Context, c *client, t turn) {
	withProduct(func(ctx context.Context, c *client, t turn, item target) {
		category, ok := c.world.journal.pick(kindCategory, t.dice)
		if !ok {
			category.marker = "none"
		}
		body := map[string]any{"name": item.marker, "category": category.marker, "description": t.marker}
		if t.dice.IntN(2) == 0 {
			body["quantity"] = t.dice.IntN(60)
		}
		t.write(ctx, c, kindProduct, item.id, t.prepare(c, http.MethodPut, "/products/"+item.id, item.id, body))
	})(ctx, c, t)
}

// write makes a call that changes a thing's description to the turn's marker.
func (t turn) write(ctx context.Context, c *client, kind, id string, call call) {
	floor := c.world.journal.floor(id)
	a := c.ask(ctx, call, t.instance)
	c.world.journal.saw(kind, id, floor, a)
	c.world.journal.wrote(id, t.marker, a)
}

func doAdjust(ctx context.Context, c *client, t turn) {
	withProduct(func(ctx context.Context, c *client, t turn, item target) {
		by := adjustment{product: item.id, count: t.dice.IntN(3) == 0, amount: int64(1 + t.dice.IntN(20))}
		body := map[string]any{"note": t.marker}
		if by.count {
			body["quantity"] = by.amount
		} else {
			if t.dice.IntN(2) == 0 {
				by.amount = -by.amount
			}
			body["delta"] = by.amount
		}
		floor := c.world.journal.floor(item.id)
		a := c.ask(ctx, t.prepare(c, http.MethodPatch, "/products/quantity/"+item.id, item.id, body), t.instance)
		c.world.journal.saw(kindProduct, item.id, floor, a)
		c.world.journal.adjusted(t.marker, by, a)
	})(ctx, c, t)
}

func doDeleteOrder(ctx context.Context, c *client, t turn) {
	withOrder(func(ctx context.Context, c *client, t turn, order target) {
		call := t.prepare(c, http.MethodDelete, "/products/orders/"+order.id, order.id, nil)
		c.world.journal.deleted(kindOrder, order.id, c.ask(ctx, call, t.instance))
	})(ctx, c, t)
}

func doDeleteProduct(ctx context.Context, c *client, t turn) {
	withProduct(func(ctx context.Context, c *client, t turn, item target) {
		call := t.prepare(c, http.MethodDelete, "/products/"+item.id, item.id, nil)
		c.world.journal.deleted(kindProduct, item.id, c.ask(ctx, call, t.instance))
	})(ctx, c, t)
}

func doDeleteCategory(ctx context.Context, c *client, t turn) {
	category, ok := c.world.journal.pick(kindCategory, t.dice)
	if !ok {
		t.op = createCategory
		doCreateCategory(ctx, c, t)
		return
	}
	call := call{op: t.op, role: t.role, method: http.MethodDelete, path: "/products/categories/" + category.marker, id: t.marker}
	c.world.journal.deleted(kindCategory, category.id, c.ask(ctx, call, t.instance))
}

func doReadProduct(ctx context.Context, c *client, t turn) {
	withProduct(func(ctx context.Context, c *client, t turn, item target) {
		t.read(ctx, c, kindProduct, "/products/"+item.id, item.id)
	})(ctx, c, t)
}

func doReadOrder(ctx context.Context, c *client, t turn) {
	withOrder(func(ctx context.Context, c *client, t turn, order target) {
		t.read(ctx, c, kindOrder, "/products/orders/"+order.id, order.id)
	})(ctx, c, t)
}

func (t turn) read(ctx context.Context, c *client, kind, path, id string) {
	floor := c.world.journal.floor(id)
	c.world.journal.saw(kind, id, floor, c.ask(ctx, t.prepare(c, http.MethodGet, path, id, nil), t.instance))
}

func doReadMovements(ctx context.Context, c *client, t turn) {
	withProduct(func(ctx context.Context, c *client, t turn, item target) {
		a := c.ask(ctx, t.prepare(c, http.MethodGet, "/products/"+item.id+"/movements?sort=createdAt&pageSize=100", item.id, nil), t.instance)
		var page struct {
			Movements []struct{ Delta, QuantityAfter int64 }
		}
		if !c.decode(a, &page) {
			return
		}
		var quantity int64
		for _, m := range page.Movements {
			if quantity += m.Delta; quantity != m.QuantityAfter || quantity < 0 {
				c.world.tally.violate("the ledger of product %s as the API shows it does not add up: %.200s", item.id, a.body)
				return
			}
		}
	})(ctx, c, t)
}

func doReadHistory(ctx context.Context, c *client, t turn) {
	withOrder(func(ctx context.Context, c *client, t turn, order target) {
		a := c.ask(ctx, t.prepare(c, http.MethodGet, "/products/orders/"+order.id+"/history", order.id, nil), t.instance)
		var page struct {
			History []struct{ From, To domain.OrderState }
		}
		if !c.decode(a, &page) {
			return
		}
		var at domain.OrderState // none before the first
		for _, step := range page.History {
			if step.From != at || !slices.Contains(arrows[at], step.To) {
				c.world.tally.violate("the history of order %s as the API shows it is no path of the diagram: %s", order.id, a.body)
				return
			}
			at = step.To
		}
	})(ctx, c, t)
}

// doList reads a page and sees that nothing stands on it twice.
func doList(path, member string) func(ctx context.Context, c *client, t turn) {
	return func(ctx context.Context, c *client, t turn) {
		a := c.ask(ctx, t.prepare(c, http.MethodGet, path, "", nil), t.instance)
		var page map[string]json.RawMessage
		var rows []struct{ ID string }
		if !c.decode(a, &page) || json.Unmarshal(page[member], &rows) != nil {
			return
		}
		seen := map[string]bool{}
		for _, row := range rows {
			if seen[row.ID] {
				c.world.tally.violate("%s shows %s twice", path, row.ID)
			}
			seen[row.ID] = true
		}
	}
}

func doReadAudit(ctx context.Context, c *client, t turn) {
	a := c.ask(ctx, t.prepare(c, http.MethodGet, "/audit?pageSize=50", "", nil), t.instance)
	var page struct{ Audit []struct{ Seq int64 } }
	if !c.decode(a, &page) {
		return
	}
	for i, line := range page.Audit {
		if line.Seq != page.Audit[0].Seq-int64(i) {
			c.world.tally.violate("the audit log as the API shows it has a gap at line %d", line.Seq)
			return
		}
	}
}

// decode reads an answer that tells something, and says whether it does.
func (c *client) decode(a answer, into any) bool {
	if !a.ok() {
		return false
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		c.world.tally.violate("an answer cannot be read: %v: %.200s", err, a.body)
		return false
	}
	return true
}
