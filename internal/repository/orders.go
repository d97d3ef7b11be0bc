package repository

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Orders is the table of orders and of their history. Deleted ones are found by no method.
type Orders struct {
	table
	joined *joined[uuid.UUID, *domain.Order]                 // nil on SQLite and in transactions
	lists  *joined[domain.OrderFilter, pageOf[domain.Order]] // nil in transactions
	totals *totals                                           // of searches; nil in transactions
}

// OrderNotFound is the KindNotFound of an order that does not exist.
func OrderNotFound(id uuid.UUID) error {
	return domain.NotFound("id", "The transaction with id '%s' does not exist", id)
}

// orderRow is an order beside its product.
type orderRow struct {
	domain.Order
	Product domain.Product `gorm:"embedded;embeddedPrefix:item_"`
}

const selectOrder = `o.*, p.id AS item_id, p.name AS item_name, p.quantity AS item_quantity, p.description AS item_description, p.image AS item_image,
	p.sku AS item_sku, p.reorder_level AS item_reorder_level, p.version AS item_version, p.created_at AS item_created_at, p.updated_at AS item_updated_at, p.deleted_at AS item_deleted_at, c.name AS item_category_name`

// shownOrder are the columns that scanOrder reads: all but the folded keys.
const shownOrder = "o.id, o.product_id, o.client, o.description, o.quantity, o.state, o.version, o.created_by, o.created_at, o.updated_at, o.deleted_at, " + shownProduct

func scanOrder(o *domain.Order, r row) error {
	var state string
	p := &o.Item
	err := r.Scan(&o.ID, &o.ProductID, &o.Client, &o.Description, &o.Quantity, &state, &o.Version, &o.CreatedBy, &o.CreatedAt, &o.UpdatedAt, &o.DeletedAt,
		&p.ID, &p.Name, &p.CategoryName, &p.Quantity, &p.Description, &p.SKU, &p.ReorderLevel, &p.Image, &p.Version, &p.CreatedAt, &p.UpdatedAt, &p.DeletedAt)
	o.State = domain.OrderState(state)
	return err
}

// listedOrder are the columns that scanListedOrder reads: those that a list shows of an order and its product. The others would cost a third of a page.
const listedOrder = "o.id, o.client, o.description, o.quantity, o.state, o.created_at, o.updated_at, p.id, p.name, c.name, p.quantity, p.image, p.deleted_at"

func scanListedOrder(o *domain.Order, r row) error {
	var state string
	p := &o.Item
	err := r.Scan(&o.ID, &o.Client, &o.Description, &o.Quantity, &state, &o.CreatedAt, &o.UpdatedAt, &p.ID, &p.Name, &p.CategoryName, &p.Quantity, &p.Image, &p.DeletedAt)
	o.State = domain.OrderState(state)
	return err
}

func (r orderRow) order() domain.Order {
	o := r.Order
	o.Item = r.Product
	return o
}

var ordersByID = lookup[domain.Order]{
	query: "SELECT " + shownOrder + " FROM orders o JOIN products p ON p.id = o.product_id JOIN categories c ON c.id = p.category_id WHERE o.deleted_at IS NULL",
	id:    "o.id", scan: scanOrder, idOf: func(o *domain.Order) uuid.UUID { return o.ID },
}

// ByID gives an order with its product to show, without their folded keys. It returns KindNotFound on `id`.
func (t Orders) ByID(ctx context.Context, id uuid.UUID) (domain.Order, error) {
	o, err := t.joined.or(ordersByID.one)(t.reader(ctx), id)
	if err != nil {
		return domain.Order{}, fail("load order", err)
	}
	if o == nil {
		return domain.Order{}, OrderNotFound(id)
	}
	return *o, nil
}

// Lock is ByID for an order that is about to be changed: others who want to change it wait until the transaction ends.
func (t Orders) Lock(ctx context.Context, id uuid.UUID) (domain.Order, error) {
	locked, err := t.LockAll(ctx, []uuid.UUID{id})
	if err != nil {
		return domain.Order{}, err
	}
	if len(locked) == 0 {
		return domain.Order{}, OrderNotFound(id)
	}
	return byOrderID(t.write.WithContext(ctx), id)
}

// LockAll gives those of the orders that there are, in the order of their ids and without their products, and locks them: others who want to change
// one wait until the transaction ends.
func (t Orders) LockAll(ctx context.Context, ids []uuid.UUID) ([]domain.Order, error) {
	var orders []domain.Order
	where, arg := oneOf(t.write, "id", ids)
	err := t.write.WithContext(ctx).Raw("SELECT * FROM orders WHERE "+where+" AND deleted_at IS NULL ORDER BY id"+rowLock(t.write, forUpdate), arg).Scan(&orders).Error
	if err != nil {
		return nil, fail("lock orders", err)
	}
	return orders, nil
}

func byOrderID(db *gorm.DB, id uuid.UUID) (domain.Order, error) {
	var row orderRow
	done := db.Raw(`SELECT `+selectOrder+` FROM orders o JOIN products p ON p.id = o.product_id JOIN categories c ON c.id = p.category_id
		WHERE o.id = ? AND o.deleted_at IS NULL`, id).Scan(&row)
	if done.Error != nil {
		return domain.Order{}, fail("load order", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.Order{}, OrderNotFound(id)
	}
	return row.order(), nil
}

var orderListing = listing[domain.Order]{
	table: "orders o", id: "o.id", joins: " JOIN products p ON p.id = o.product_id JOIN categories c ON c.id = p.category_id", late: true, selection: listedOrder, scan: scanListedOrder,
	sorts: map[string]sorting[domain.Order]{
		"createdAt": {"o.created_at", func(o domain.Order) any { return o.CreatedAt }},
		"updatedAt": {"o.updated_at", func(o domain.Order) any { return o.UpdatedAt }},
		"client":    {"o.client_key", func(o domain.Order) any { return domain.Fold(o.Client) }},
		"quantity":  {"o.quantity", func(o domain.Order) any { return o.Quantity }},
		"state":     {"o.state", func(o domain.Order) any { return string(o.State) }},
	},
	idOf: func(o domain.Order) uuid.UUID { return o.ID },
}

// List gives one page of orders with their products, of both what a list shows, and how much there is beside it.
func (t Orders) List(ctx context.Context, f domain.OrderFilter) ([]domain.Order, domain.Extent, error) {
	page, err := t.lists.or(t.list)(t.reader(ctx), f)
	return page.unless("list orders", err)
}

func (t Orders) list(db *gorm.DB, f domain.OrderFilter) (pageOf[domain.Order], error) {
	var state piece
	if f.State != "" {
		state = newPiece("o.state = ?", f.State)
	}
	w := wanted{Page: f.Page, where: orderWhere(f, state)}
	s := orderListing.sorts[f.Page.Sort.Field]
	byFilter := newPiece("SELECT o.id, "+s.column+" AS v FROM orders o WHERE "+w.where.sql, w.where.args...)
	switch {
	case f.Search != "":
		indexed, err := hasPieces(db, domain.Fold(f.Search))
		if err != nil {
			return pageOf[domain.Order]{}, err
		}
		w.few, w.valued = byFilter, true
		if !indexed {
			break
		}
		w.few, w.valued = foundOrders(db, f, state), f.Page.Sort.Field == "createdAt"
		if f.Category == "" {
			break
		}
		many, err := plenty(db, foundOrders(db, domain.OrderFilter{Search: f.Search}, piece{}))
		if err != nil {
			return pageOf[domain.Order]{}, err
		}
		if many { // fewer are in the category
			w.few, w.valued = ordersIn(db, f.Category, s.column, orderWhere(domain.OrderFilter{Search: f.Search}, state)), true
		}
	case f.Category != "":
		w.few, w.valued = ordersIn(db, f.Category, s.column, orderWhere(domain.OrderFilter{}, state)), true
	default:
		var counts piece
		if f.State != "" {
			counts = newPiece("state = ?", f.State)
		}
		w.total = newPiece("SELECT CAST(COALESCE(SUM(n), 0) AS bigint) FROM order_counts"+counts.clause(), counts.args...)
		switch {
		case f.State == "" || f.Page.Sort.Field == "state":
		case f.Page.Sort.Field == "createdAt":
			w.within = "o.state"
			w.where = orderWhere(f, one(db, w.within, "?", f.State))
		default: // have no index within a state
			w.few, w.valued = byFilter, true
		}
	}
	if w.few.sql != "" && f.State == "" {
		w.search, w.texts = search{text: domain.Fold(f.Search), category: domain.Fold(f.Category)}, orderTexts
	}
	l := orderListing
	l.totals = t.totals
	return l.read(db, w)
}

// orderTexts selects how the texts stand by which orders are found: their own, and those of products, of which one without an order adds nothing.
var orderTexts = newPiece("SELECT (SELECT CAST(COALESCE(SUM(n), 0) AS bigint) FROM text_changes) AS changed, " +
	"(SELECT CAST(COALESCE(SUM(n), 0) AS bigint) FROM order_counts) AS listed")

// orderWhere is what a filter asks of an order o. What it asks of the product is asked for each order by itself, so that no plan begins with all products.
func orderWhere(f domain.OrderFilter, state piece) piece {
	conditions := []piece{newPiece("o.deleted_at IS NULL"), state}
	if f.Search != "" {
		like := contains(f.Search)
		conditions = append(conditions, newPiece(`(o.search_key LIKE `+untold+` ESCAPE '\' OR (SELECT p.name_key FROM products p WHERE p.id = o.product_id) LIKE `+untold+` ESCAPE '\')`, like, like))
	}
	if f.Category != "" {
		conditions = append(conditions, inCategory("(SELECT p.category_id FROM products p WHERE p.id = o.product_id)", f.Category))
	}
	return all(conditions...)
}

// foundOrders selects the orders that have the text, and then those whose product has it in its name, by the index of its pieces, with when they were made.
func foundOrders(db *gorm.DB, f domain.OrderFilter, state piece) piece {
	like := contains(f.Search)
	where := orderWhere(domain.OrderFilter{Category: f.Category}, state)
	byText := newPiece(`o.search_key LIKE `+untold+` ESCAPE '\'`, like)
	byName := newPiece(`o.search_key NOT LIKE `+untold+` ESCAPE '\'`, like)
	if db.Name() == sqliteName {
		byText, byName = all(byText, where), all(newPiece(`p.name_key LIKE `+untold+` ESCAPE '\'`, like), byName, where)
		return newPiece("SELECT o.id, o.created_at AS v FROM order_texts(?) s CROSS JOIN orders o ON o.rowid = s.rowid WHERE "+byText.sql+
			" UNION ALL SELECT o.id, o.created_at FROM product_texts(?) s CROSS JOIN products p ON p.rowid = s.rowid CROSS JOIN orders o ON o.product_id = p.id WHERE "+byName.sql,
			slices.Concat([]any{matching(f.Search)}, byText.args, []any{matching(f.Search)}, byName.args)...)
	}
	texts := hasText("s.text", f.Search)
	names := texts
	if state.sql != "" || f.Category != "" {
		texts = all(texts, newPiece("(SELECT "+where.sql+" FROM orders o WHERE o.id = s.order_id)", where.args...))
	}
	byName = all(where, byName)
	return newPiece("SELECT s.order_id AS id, s.created_at AS v FROM order_texts s WHERE "+texts.sql+
		` UNION ALL SELECT o.id, o.created_at FROM (SELECT s.product_id FROM product_texts s WHERE `+names.sql+` AND split_part(s.text, E'\n', 1) LIKE `+untold+` ESCAPE '\' OFFSET 0) s
			CROSS JOIN LATERAL (SELECT o.id, o.created_at FROM orders o WHERE o.product_id = s.product_id AND `+byName.sql+" OFFSET 0) o",
		slices.Concat(texts.args, names.args, []any{like}, byName.args)...)
}

// ordersIn selects the orders of a category's products, deleted ones too, for which the condition holds, with a column.
func ordersIn(db *gorm.DB, category, column string, where piece) piece {
	in := inCategory("category_id", category)
	products := "SELECT id FROM products WHERE deleted_at IS NULL AND " + in.sql + " UNION ALL SELECT id FROM products WHERE deleted_at IS NOT NULL AND " + in.sql
	args := slices.Concat(in.args, in.args, where.args)
	if db.Name() == sqliteName {
		return newPiece("SELECT o.id, "+column+" AS v FROM ("+products+") p CROSS JOIN orders o ON o.product_id = p.id WHERE "+where.sql, args...)
	}
	return newPiece("SELECT o.id, o.v FROM ("+products+") of CROSS JOIN LATERAL (SELECT o.id, "+column+" AS v FROM orders o WHERE o.product_id = of.id AND "+where.sql+" OFFSET 0) o", args...)
}

// After gives up to n of the orders that the filter leaves, by id, beginning behind the one named; uuid.Nil is before all. What it costs does not
// rise with what came before.
func (t Orders) After(ctx context.Context, f domain.OrderFilter, last uuid.UUID, n int) ([]domain.Order, error) {
	var rows []orderRow
	db := t.reader(ctx)
	var state piece
	if f.State != "" {
		state = newPiece(byIDAlone(db, "o.state")+" = ?", f.State)
	}
	where := orderWhere(f, state)
	err := db.Raw("SELECT "+selectOrder+" FROM orders o"+orderListing.joins+" WHERE "+where.sql+" AND o.id > ? ORDER BY o.id LIMIT ?", append(where.args, last, n)...).Scan(&rows).Error
	if err != nil {
		return nil, fail("read orders", err)
	}
	return ordersOf(rows), nil
}

func ordersOf(rows []orderRow) []domain.Order {
	orders := make([]domain.Order, len(rows))
	for i, r := range rows {
		orders[i] = r.order()
	}
	return orders
}

// placed is an order with the first line of its history.
type placed struct {
	domain.Order
	first domain.OrderStep
}

var orderColumns = columns[placed]{
	col("id", "uuid", func(p placed) uuid.UUID { return p.ID }),
	col("product_id", "uuid", func(p placed) uuid.UUID { return p.ProductID }),
	col("client", "text", func(p placed) string { return p.Client }),
	col("client_key", "text", func(p placed) string { return p.ClientKey }),
	col("description", "text", func(p placed) string { return p.Description }),
	col("search_key", "text", func(p placed) string { return p.SearchKey }),
	col("quantity", "bigint", func(p placed) int64 { return p.Quantity }),
	col("state", "text", func(p placed) string { return string(p.State) }),
	col("version", "bigint", func(p placed) int64 { return p.Version }),
	col("created_by", "uuid", func(p placed) *uuid.UUID { return p.CreatedBy }),
	col("created_at", "timestamptz", func(p placed) time.Time { return p.CreatedAt }),
	col("updated_at", "timestamptz", func(p placed) time.Time { return p.UpdatedAt }),
}

var placedColumns = append(orderColumns[:len(orderColumns):len(orderColumns)],
	col("step_id", "uuid", func(p placed) uuid.UUID { return p.first.ID }),
	col("step_at", "timestamptz", func(p placed) time.Time { return p.first.CreatedAt }),
)

var stepColumns = columns[domain.OrderStep]{
	col("id", "uuid", func(s domain.OrderStep) uuid.UUID { return s.ID }),
	col("order_id", "uuid", func(s domain.OrderStep) uuid.UUID { return s.OrderID }),
	col("order_version", "bigint", func(s domain.OrderStep) int64 { return s.OrderVersion }),
	col("from_state", "text", func(s domain.OrderStep) *string { return (*string)(s.FromState) }),
	col("to_state", "text", func(s domain.OrderStep) string { return string(s.ToState) }),
	col("user_id", "uuid", func(s domain.OrderStep) *uuid.UUID { return s.UserID }),
	col("created_at", "timestamptz", func(s domain.OrderStep) time.Time { return s.CreatedAt }),
}

// Create stores orders, each together with the first line of its history, which stands at the same place.
func (t Orders) Create(ctx context.Context, orders []domain.Order, first []domain.OrderStep) error {
	if len(orders) == 0 {
		return nil
	}
	rows := make([]placed, len(orders))
	for i, o := range orders {
		rows[i] = placed{o, first[i]}
	}
	done := placedColumns.write(ctx, t.write, rows, orderColumns.insert("orders")+" RETURNING id", nil,
		`INSERT INTO order_steps (id, order_id, order_version, to_state, user_id, created_at)
		SELECT step_id, id, version, state, created_by, step_at FROM given`, "given.id")
	if done.Error != nil {
		return fail("create orders", done.Error)
	}
	return nil
}

// SaveStates writes the states that steps, each of another order, lead to, and the lines of their histories, if the orders still stand where they were
// read: in the state and version before. It returns KindConflict on `transition` if someone else moved one of them first, which the text says of the first.
func (t Orders) SaveStates(ctx context.Context, steps []domain.OrderStep) error {
	if len(steps) == 0 {
		return nil
	}
	done := stepColumns.write(ctx, t.write, steps,
		`UPDATE orders SET state = given.to_state, version = given.order_version, updated_at = given.created_at FROM given
		WHERE orders.id = given.order_id AND orders.state = given.from_state AND orders.version = given.order_version - 1 AND orders.deleted_at IS NULL
		RETURNING orders.id`, nil, stepColumns.insert("order_steps"), "given.order_id")
	if done.Error != nil {
		return fail("move orders", done.Error)
	}
	if done.RowsAffected != int64(len(steps)) {
		return domain.IllegalTransition(*steps[0].FromState, steps[0].ToState)
	}
	return nil
}

// SaveText writes client, description and quantity, if the order still is as it was read: in the version before. It returns
// KindConflict on `request` if someone else changed it first.
func (t Orders) SaveText(ctx context.Context, o domain.Order) error {
	done := t.write.WithContext(ctx).Model(&domain.Order{}).Where("id = ? AND version = ? AND deleted_at IS NULL", o.ID, o.Version-1).
		UpdateColumns(map[string]any{
			"client": o.Client, "client_key": o.ClientKey, "description": o.Description, "search_key": o.SearchKey, "quantity": o.Quantity,
			"version": o.Version, "updated_at": o.UpdatedAt,
		})
	return changedMeanwhile("update order", done)
}

// Delete hides an order, if it still is in the version in which it was read. It returns KindConflict on `request` if someone else changed it first.
func (t Orders) Delete(ctx context.Context, o domain.Order, now time.Time) error {
	done := t.write.WithContext(ctx).Model(&domain.Order{}).Where("id = ? AND version = ? AND deleted_at IS NULL", o.ID, o.Version).
		UpdateColumns(map[string]any{"deleted_at": now, "version": o.Version + 1})
	return changedMeanwhile("delete order", done)
}

func changedMeanwhile(what string, done *gorm.DB) error {
	if done.Error != nil {
		return fail(what, done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.Conflict("request", "The transaction was changed by someone else meanwhile")
	}
	return nil
}

// History gives an order's steps, the first one first. An order has four at most.
func (t Orders) History(ctx context.Context, order uuid.UUID) ([]domain.OrderStep, error) {
	steps := []domain.OrderStep{}
	err := t.reader(ctx).Raw(`SELECT s.*, u.username FROM order_steps s LEFT JOIN users u ON u.id = s.user_id
		WHERE s.order_id = ? ORDER BY s.order_version`, order).Scan(&steps).Error
	if err != nil {
		return nil, fail("list order history", err)
	}
	return steps, nil
}

// CountOpen counts the open orders of a product.
func (t Orders) CountOpen(ctx context.Context, product uuid.UUID) (int64, error) {
	return t.countOpen(ctx, "product_id = ?", product)
}

// CountOpenIn counts the open orders of all products of a category.
func (t Orders) CountOpenIn(ctx context.Context, category uuid.UUID) (int64, error) {
	return t.countOpen(ctx, "product_id IN (SELECT id FROM products WHERE category_id = ? AND deleted_at IS NULL)", category)
}

func (t Orders) countOpen(ctx context.Context, where string, arg any) (int64, error) {
	var n int64
	err := t.write.WithContext(ctx).Model(&domain.Order{}).Where("deleted_at IS NULL AND state IN ?", domain.OpenOrderStates).Where(where, arg).Count(&n).Error
	if err != nil {
		return 0, fail("count open orders", err)
	}
	return n, nil
}
