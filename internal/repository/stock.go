package repository

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Stock is the ledger of movements, and the only place that writes a product's quantity.
type Stock struct{ table }

// Apply changes a product's quantity by a movement and writes the movement down; it belongs into a transaction. It gives the movement
// with the quantity after it. It returns KindConflict on `quantity` if the product has too little, and KindNotFound on `id` if
// it is gone.
func (t Stock) Apply(ctx context.Context, m domain.Movement) (domain.Movement, error) {
	var after struct {
		Quantity, Version int64
		ReorderLevel      *int64
	}
	done := t.write.WithContext(ctx).Raw(`UPDATE products SET quantity = quantity + ?, version = version + 1, updated_at = ?
		WHERE id = ? AND deleted_at IS NULL AND quantity + ? >= 0 RETURNING quantity, version, reorder_level`, m.Delta, m.CreatedAt, m.ProductID, m.Delta).Scan(&after)
	if done.Error != nil {
		return domain.Movement{}, fail("change stock", done.Error)
	}
	if done.RowsAffected == 0 {
		p, err := byProductID(t.write.WithContext(ctx), m.ProductID)
		if err != nil {
			return domain.Movement{}, err
		}
		return domain.Movement{}, domain.TooLittleStock("quantity", -m.Delta, p)
	}
	m.QuantityAfter, m.ProductVersion, m.ReorderLevel = after.Quantity, after.Version, after.ReorderLevel
	if err := t.write.WithContext(ctx).Create(&m).Error; err != nil {
		return domain.Movement{}, fail("write movement", err)
	}
	return m, nil
}

// ApplyAll is [Stock.Apply] for movements that say themselves which quantity and version of their product they lead to, and that follow from each other
// where several are of one product. It returns KindConflict on `request` if one of the products is not where its first movement begins.
func (t Stock) ApplyAll(ctx context.Context, movements []domain.Movement) error {
	if len(movements) == 0 {
		return nil
	}
	lines, lasts := make([]line, len(movements)), map[uuid.UUID]*line{}
	for i, m := range movements {
		l := &lines[i]
		*l = line{Movement: m, from: m.ProductVersion - 1, sum: m.Delta, last: true}
		if before := lasts[m.ProductID]; before != nil {
			before.last = false
			l.from, l.sum = before.from, before.sum+m.Delta
		}
		lasts[m.ProductID] = l
	}
	done := lineColumns.write(ctx, t.write, lines,
		`UPDATE products SET quantity = products.quantity + given.sum, version = given.product_version, updated_at = given.created_at FROM given
		WHERE given.last AND products.id = given.product_id AND products.deleted_at IS NULL AND products.version = given.version_before
		AND products.quantity + given.sum = given.quantity_after AND products.quantity + given.sum >= 0 RETURNING products.id`,
		nil, movementColumns.insert("movements"), "given.product_id")
	return severalSaved("change stock", len(movements), done)
}

// line is a movement with what it and those of its product before it make together.
type line struct {
	domain.Movement
	from, sum int64 // the product's version before, and the difference
	last      bool
}

var movementColumns = columns[line]{
	col("id", "uuid", func(l line) uuid.UUID { return l.ID }),
	col("product_id", "uuid", func(l line) uuid.UUID { return l.ProductID }),
	col("product_version", "bigint", func(l line) int64 { return l.ProductVersion }),
	col("delta", "bigint", func(l line) int64 { return l.Delta }),
	col("quantity_after", "bigint", func(l line) int64 { return l.QuantityAfter }),
	col("reason", "text", func(l line) string { return string(l.Reason) }),
	col("order_id", "uuid", func(l line) *uuid.UUID { return l.OrderID }),
	col("user_id", "uuid", func(l line) *uuid.UUID { return l.UserID }),
	col("note", "text", func(l line) string { return l.Note }),
	col("created_at", "timestamptz", func(l line) time.Time { return l.CreatedAt }),
}

var lineColumns = append(movementColumns[:len(movementColumns):len(movementColumns)],
	col("version_before", "bigint", func(l line) int64 { return l.from }),
	col("sum", "bigint", func(l line) int64 { return l.sum }),
	col("last", "boolean", func(l line) bool { return l.last }),
)

var movementListing = listing[domain.Movement]{
	table: "movements m", id: "m.id", joins: " LEFT JOIN users u ON u.id = m.user_id", selection: "m.*, u.username",
	sorts: map[string]sorting[domain.Movement]{"createdAt": {"m.product_version", func(m domain.Movement) any { return m.ProductVersion }}},
	idOf:  func(m domain.Movement) uuid.UUID { return m.ID },
}

// List gives one page of a product's ledger and how much there is beside it.
func (t Stock) List(ctx context.Context, product uuid.UUID, p domain.Page) ([]domain.Movement, domain.Extent, error) {
	page, err := movementListing.read(t.reader(ctx), wanted{Page: p, where: newPiece("m.product_id = ?", product)})
	return page.unless("list movements", err)
}

// After gives up to n movements of all products, by id, beginning behind the one named; uuid.Nil is before all.
func (t Stock) After(ctx context.Context, last uuid.UUID, n int) ([]domain.Movement, error) {
	var movements []domain.Movement
	err := t.reader(ctx).Table("movements m").Joins("LEFT JOIN users u ON u.id = m.user_id").Select("m.*, u.username").
		Where("m.id > ?", last).Order("m.id").Limit(n).Scan(&movements).Error
	if err != nil {
		return nil, fail("read movements", err)
	}
	return movements, nil
}

// Drift is a product whose quantity is not the sum of its ledger. There should be none.
type Drift struct {
	ProductID uuid.UUID
	Name      string
	Quantity  int64
	Ledger    int64 // the sum of the movements
}

// Drifts compares every product, deleted ones too, with its ledger.
func (t Stock) Drifts(ctx context.Context) (products int64, drifts []Drift, err error) {
	if err := t.read.WithContext(ctx).Model(&domain.Product{}).Count(&products).Error; err != nil {
		return 0, nil, fail("count products", err)
	}
	err = t.read.WithContext(ctx).Raw(`SELECT p.id AS product_id, p.name, p.quantity, COALESCE(SUM(m.delta), 0) AS ledger
		FROM products p LEFT JOIN movements m ON m.product_id = p.id GROUP BY p.id, p.name, p.quantity
		HAVING p.quantity <> COALESCE(SUM(m.delta), 0) ORDER BY p.id`).Scan(&drifts).Error
	if err != nil {
		return 0, nil, fail("compare stock", err)
	}
	return products, drifts, nil
}

// Settle writes the movement that makes the ledger's sum the product's quantity again; the quantity stays, and so does everything written before. It gives
// the difference, which is 0 if there was none any more.
func (t Stock) Settle(ctx context.Context, product uuid.UUID, note string, now time.Time) (int64, error) {
	var at struct{ Quantity, Version, Ledger int64 }
	done := t.write.WithContext(ctx).Raw(`UPDATE products SET version = version + 1 WHERE id = ? RETURNING quantity, version,
		(SELECT COALESCE(SUM(m.delta), 0) FROM movements m WHERE m.product_id = products.id) AS ledger`, product).Scan(&at)
	if done.Error != nil {
		return 0, fail("settle stock", done.Error)
	}
	delta := at.Quantity - at.Ledger
	if done.RowsAffected == 0 || delta == 0 {
		return 0, nil
	}
	m := domain.Movement{
		ID: domain.NewID(), ProductID: product, ProductVersion: at.Version, Delta: delta, QuantityAfter: at.Quantity,
		Reason: domain.MovementAdjusted, Note: note, CreatedAt: now,
	}
	if err := t.write.WithContext(ctx).Create(&m).Error; err != nil {
		return 0, fail("write movement", err)
	}
	return delta, nil
}
