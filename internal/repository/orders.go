package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Orders is the table of orders and of their history. Deleted ones are found by no method.
type Orders struct{ table }

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

func (r orderRow) order() domain.Order {
	o := r.Order
	o.Item = r.Product
	return o
}

// ByID gives an order with its product. It returns KindNotFound on `id`.
func (t Orders) ByID(ctx context.Context, id uuid.UUID) (domain.Order, error) {
	return byOrderID(t.reader(ctx), id)
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

var orderSorts = map[string]string{
	"createdAt": "o.created_at", "updatedAt": "o.updated_at", "client": "o.client_key", "quantity": "o.quantity", "state": "o.state",
}

// List gives one page of orders with their products, and how many there are in all.
func (t Orders) List(ctx context.Context, f domain.OrderFilter) ([]domain.Order, int64, error) {
	rows, total, err := list[orderRow](t.matching(ctx, f, "o.state"), selectOrder, f.Page, orderSorts, "o.id")
	if err != nil {
		return nil, 0, fail("list orders", err)
	}
	return ordersOf(rows), total, nil
}

// After gives up to n of the orders that the filter leaves, by id, beginning behind the one named; uuid.Nil is before all. What it costs does not
// rise with what came before.
func (t Orders) After(ctx context.Context, f domain.OrderFilter, last uuid.UUID, n int) ([]domain.Order, error) {
	var rows []orderRow
	err := t.matching(ctx, f, byIDAlone(t.read, "o.state")).Select(selectOrder).Where("o.id > ?", last).Order("o.id").Limit(n).Scan(&rows).Error
	if err != nil {
		return nil, fail("read orders", err)
	}
	return ordersOf(rows), nil
}

// matching narrows the table, with the products, to what the filter leaves.
func (t Orders) matching(ctx context.Context, f domain.OrderFilter, state string) *gorm.DB {
	q := t.reader(ctx).Table("orders o").Joins("JOIN products p ON p.id = o.product_id").
		Joins("JOIN categories c ON c.id = p.category_id").Where("o.deleted_at IS NULL")
	if f.Search != "" {
		like := contains(f.Search)
		q = q.Where(`(o.search_key LIKE ? ESCAPE '\' OR p.name_key LIKE ? ESCAPE '\')`, like, like)
	}
	if f.Category != "" {
		q = q.Where("c.name_key = ? AND c.deleted_at IS NULL", domain.Fold(f.Category))
	}
	if f.State != "" {
		q = q.Where(state+" = ?", f.State)
	}
	return q
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
