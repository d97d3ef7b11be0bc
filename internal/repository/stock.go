package repository

import (
	"context"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Stock is the ledger of movements, and the only place that writes a product's quantity.
type Stock struct{ table }

// Apply changes a product's quantity by a movement and writes the movement down; it belongs into a transaction. It gives the movement
// with the quantity after it. It returns KindConflict on `quantity` if the product has too little, and KindNotFound on `id` if
// it is gone.
func (t Stock) Apply(ctx context.Context, m domain.Movement) (domain.Movement, error) {
	var after struct{ Quantity, Version int64 }
	done := t.write.WithContext(ctx).Raw(`UPDATE products SET quantity = quantity + ?, version = version + 1, updated_at = ?
		WHERE id = ? AND deleted_at IS NULL AND quantity + ? >= 0 RETURNING quantity, version`, m.Delta, m.CreatedAt, m.ProductID, m.Delta).Scan(&after)
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
	m.QuantityAfter, m.ProductVersion = after.Quantity, after.Version
	if err := t.write.WithContext(ctx).Create(&m).Error; err != nil {
		return domain.Movement{}, fail("write movement", err)
	}
	return m, nil
}

var movementSorts = map[string]string{"createdAt": "m.product_version"}

// List gives one page of a product's ledger and how many lines it has.
func (t Stock) List(ctx context.Context, product uuid.UUID, p domain.Page) ([]domain.Movement, int64, error) {
	q := t.read.WithContext(ctx).Table("movements m").Joins("LEFT JOIN users u ON u.id = m.user_id").Where("m.product_id = ?", product)
	movements, total, err := list[domain.Movement](q, "m.*, u.username", p, movementSorts, "m.id")
	if err != nil {
		return nil, 0, fail("list movements", err)
	}
	return movements, total, nil
}
