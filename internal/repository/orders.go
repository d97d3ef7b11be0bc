package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Orders is the table of orders and of their history. Deleted ones are found by no method.
type Orders struct {
	table
	joined *joined[domain.Order] // nil on SQLite and in transactions
}

func orderNotFound(id uuid.UUID) error {
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
	o, exists, err := ordersByID.find(t.read.WithContext(ctx), t.joined, id)
	if err != nil {
		return domain.Order{}, fail("load order", err)
	}
	if !exists {
		return domain.Order{}, orderNotFound(id)
	}
	return o, nil
}

// Lock is ByID for an order that is about to be changed: others who want to change it wait until the transaction ends.
func (t Orders) Lock(ctx context.Context, id uuid.UUID) (domain.Order, error) {
	if err := lockRow(t.write.WithContext(ctx), &domain.Order{}, id, forUpdate); err != nil {
		return domain.Order{}, fail("lock order", err)
	}
	return byOrderID(t.write.WithContext(ctx), id)
}

func byOrderID(db *gorm.DB, id uuid.UUID) (domain.Order, error) {
	var row orderRow
	done := db.Raw(`SELECT `+selectOrder+` FROM orders o JOIN products p ON p.id = o.product_id JOIN categories c ON c.id = p.category_id
		WHERE o.id = ? AND o.deleted_at IS NULL`, id).Scan(&row)
	if done.Error != nil {
		return domain.Order{}, fail("load order", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.Order{}, orderNotFound(id)
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
	q := t.read.WithContext(ctx).Table("orders o").Joins("JOIN products p ON p.id = o.product_id").
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

// Create stores an order together with the first line of its history.
func (t Orders) Create(ctx context.Context, o domain.Order, first domain.OrderStep) error {
	if err := t.write.WithContext(ctx).Create(&o).Error; err != nil {
		return fail("create order", err)
	}
	return t.addStep(ctx, first)
}

// SaveState writes the state that an order was moved to, and the line of its history, if the order still stands where it was read:
// in the state and version before. It returns KindConflict on `transition` if someone else moved it first.
func (t Orders) SaveState(ctx context.Context, o domain.Order, made domain.OrderStep) error {
	done := t.write.WithContext(ctx).Model(&domain.Order{}).
		Where("id = ? AND state = ? AND version = ? AND deleted_at IS NULL", o.ID, made.FromState, o.Version-1).
		UpdateColumns(map[string]any{"state": o.State, "version": o.Version, "updated_at": o.UpdatedAt})
	if done.Error != nil {
		return fail("move order", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.IllegalTransition(*made.FromState, o.State)
	}
	return t.addStep(ctx, made)
}

func (t Orders) addStep(ctx context.Context, step domain.OrderStep) error {
	if err := t.write.WithContext(ctx).Create(&step).Error; err != nil {
		return fail("write order history", err)
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
	err := t.read.WithContext(ctx).Raw(`SELECT s.*, u.username FROM order_steps s LEFT JOIN users u ON u.id = s.user_id
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
