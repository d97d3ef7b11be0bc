package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"inventoryhub/internal/domain"
)

// Products is the table of products. Deleted ones are found by no method; orders still show them.
type Products struct {
	table
	joined *joined[domain.Product] // nil on SQLite and in transactions
}

func productNotFound(id uuid.UUID) error {
	return domain.NotFound("id", "The item with id '%s' does not exist", id)
}

const selectProduct = "p.*, c.name AS category_name"

// shownProduct are the columns that scanProduct reads: those that are shown; the folded keys are for finding and changing.
const shownProduct = "p.id, p.name, c.name, p.quantity, p.description, p.sku, p.reorder_level, p.image, p.version, p.created_at, p.updated_at, p.deleted_at"

func scanProduct(p *domain.Product, r row) error {
	return r.Scan(&p.ID, &p.Name, &p.CategoryName, &p.Quantity, &p.Description, &p.SKU, &p.ReorderLevel, &p.Image, &p.Version, &p.CreatedAt, &p.UpdatedAt,
		&p.DeletedAt)
}

var productsByID = lookup[domain.Product]{
	query: "SELECT " + shownProduct + " FROM products p JOIN categories c ON c.id = p.category_id WHERE p.deleted_at IS NULL",
	id:    "p.id", scan: scanProduct, idOf: func(p *domain.Product) uuid.UUID { return p.ID },
}

// ByID gives a product to show, without its folded keys. It returns KindNotFound on `id`.
func (t Products) ByID(ctx context.Context, id uuid.UUID) (domain.Product, error) {
	p, exists, err := productsByID.find(t.read.WithContext(ctx), t.joined, id)
	if err != nil {
		return domain.Product{}, fail("load product", err)
	}
	if !exists {
		return domain.Product{}, productNotFound(id)
	}
	return p, nil
}

// Lock is ByID for a product that is about to be changed: others who want to change it wait until the transaction ends.
func (t Products) Lock(ctx context.Context, id uuid.UUID) (domain.Product, error) {
	return t.locked(ctx, id, forUpdate)
}

// Hold is ByID for a product that is about to get an order: nobody deletes it until the transaction ends.
func (t Products) Hold(ctx context.Context, id uuid.UUID) (domain.Product, error) {
	return t.locked(ctx, id, forShare)
}

func (t Products) locked(ctx context.Context, id uuid.UUID, locking clause.Locking) (domain.Product, error) {
	if err := lockRow(t.write.WithContext(ctx), &domain.Product{}, id, locking); err != nil {
		return domain.Product{}, fail("lock product", err)
	}
	return byProductID(t.write.WithContext(ctx), id)
}

func byProductID(db *gorm.DB, id uuid.UUID) (domain.Product, error) {
	var p domain.Product
	done := db.Raw(`SELECT `+selectProduct+` FROM products p JOIN categories c ON c.id = p.category_id
		WHERE p.id = ? AND p.deleted_at IS NULL`, id).Scan(&p)
	if done.Error != nil {
		return domain.Product{}, fail("load product", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.Product{}, productNotFound(id)
	}
	return p, nil
}

var productSorts = map[string]string{
	"name": "p.name_key", "quantity": "p.quantity", "category": "c.name_key", "createdAt": "p.created_at", "updatedAt": "p.updated_at",
}

// List gives one page of products and how many there are in all. It returns KindInvalid on `category` for an unknown one.
func (t Products) List(ctx context.Context, f domain.ProductFilter) ([]domain.Product, int64, error) {
	products, total, err := list[domain.Product](t.matching(ctx, f, "p.category_id"), selectProduct, f.Page, productSorts, "p.id")
	if err != nil {
		return nil, 0, fail("list products", err)
	}
	return products, total, nil
}

// After gives up to n of the products that the filter leaves, by id, beginning behind the one named; uuid.Nil is before all. What it costs does not
// rise with what came before.
func (t Products) After(ctx context.Context, f domain.ProductFilter, last uuid.UUID, n int) ([]domain.Product, error) {
	var products []domain.Product
	err := t.matching(ctx, f, byIDAlone(t.read, "p.category_id")).Select(selectProduct).Where("p.id > ?", last).Order("p.id").Limit(n).Scan(&products).Error
	if err != nil {
		return nil, fail("read products", err)
	}
	return products, nil
}

// matching narrows the table to what the filter leaves.
func (t Products) matching(ctx context.Context, f domain.ProductFilter, categoryID string) *gorm.DB {
	q := t.read.WithContext(ctx).Table("products p").Joins("JOIN categories c ON c.id = p.category_id").Where("p.deleted_at IS NULL")
	if f.Search != "" {
		q = q.Where(`p.search_key LIKE ? ESCAPE '\'`, contains(f.Search))
	}
	if f.Category != "" {
		q = q.Where(categoryID+" = (SELECT id FROM categories WHERE name_key = ? AND deleted_at IS NULL)", domain.Fold(f.Category))
	}
	switch {
	case f.Low == nil:
	case *f.Low:
		q = q.Where("p.quantity <= p.reorder_level")
	default:
		q = q.Where("(p.reorder_level IS NULL OR p.quantity > p.reorder_level)")
	}
	return q
}

// Create stores a product, whose stock must still be empty. It returns KindConflict on `sku` if another product has it.
func (t Products) Create(ctx context.Context, p domain.Product) error {
	return savedProduct("create product", p, t.write.WithContext(ctx).Create(&p).Error)
}

// CreateAll is Create for several products. It returns KindConflict on `request` if one of the SKUs is taken.
func (t Products) CreateAll(ctx context.Context, products []domain.Product) error {
	if len(products) == 0 {
		return nil
	}
	return severalSaved("create products", len(products), t.write.WithContext(ctx).Create(&products))
}

// SaveDescriptions is [Products.SaveDescription] for several products, but for their pictures, which stay. It returns KindConflict on `request` if
// one of them is no longer in the version that it bears, or if one of the SKUs is taken.
func (t Products) SaveDescriptions(ctx context.Context, products []domain.Product) error {
	if len(products) == 0 {
		return nil
	}
	columns := clause.AssignmentColumns([]string{"name", "name_key", "category_id", "description", "sku", "sku_key", "reorder_level", "search_key", "updated_at"})
	// An INSERT that never inserts is the one way to change many rows to different values in one statement that both engines know.
	done := t.write.WithContext(ctx).Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "id"}},
		Where:     clause.Where{Exprs: []clause.Expression{gorm.Expr("products.version = excluded.version AND products.deleted_at IS NULL")}},
		DoUpdates: append(columns, clause.Assignment{Column: clause.Column{Name: "version"}, Value: gorm.Expr("products.version + 1")}),
	}).Create(&products)
	return severalSaved("update products", len(products), done)
}

func severalSaved(what string, n int, done *gorm.DB) error {
	switch {
	case isDuplicate(done.Error), done.Error == nil && done.RowsAffected != int64(n):
		return domain.Conflict("request", "The items were changed by someone else meanwhile")
	case done.Error != nil:
		return fail(what, done.Error)
	}
	return nil
}

// Named gives the products that have one of the ids or one of the folded SKUs, some of them twice.
func (t Products) Named(ctx context.Context, ids []uuid.UUID, skuKeys []string) ([]domain.Product, error) {
	var all []domain.Product
	for where, names := range map[string]any{"p.id IN ?": ids, "p.sku_key IN ?": skuKeys} {
		var found []domain.Product
		err := t.read.WithContext(ctx).Table("products p").Joins("JOIN categories c ON c.id = p.category_id").Where("p.deleted_at IS NULL").
			Where(where, names).Select(selectProduct).Scan(&found).Error
		if err != nil {
			return nil, fail("load products", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func savedProduct(what string, p domain.Product, err error) error {
	switch {
	case isDuplicate(err) && p.SKU != nil:
		return domain.SKUTaken(*p.SKU)
	case err != nil:
		return fail(what, err)
	}
	return nil
}

// SaveDescription writes everything but the quantity and raises the version, which it gives back. It returns KindConflict on `sku`
// if another product has it, and KindNotFound on `id` if the product is gone.
func (t Products) SaveDescription(ctx context.Context, p domain.Product) (int64, error) {
	var version int64
	done := t.write.WithContext(ctx).Raw(`UPDATE products SET name = ?, name_key = ?, category_id = ?, description = ?, sku = ?, sku_key = ?, reorder_level = ?,
		search_key = ?, image = ?, updated_at = ?, version = version + 1 WHERE id = ? AND deleted_at IS NULL RETURNING version`,
		p.Name, p.NameKey, p.CategoryID, p.Description, p.SKU, p.SKUKey, p.ReorderLevel, p.SearchKey, p.Image, p.UpdatedAt, p.ID).Scan(&version)
	if err := savedProduct("update product", p, done.Error); err != nil {
		return 0, err
	}
	if done.RowsAffected == 0 {
		return 0, productNotFound(p.ID)
	}
	return version, nil
}

// Delete hides a product and forgets its picture. It returns KindNotFound on `id` if it is gone already.
func (t Products) Delete(ctx context.Context, id uuid.UUID, now time.Time) error {
	done := t.write.WithContext(ctx).Model(&domain.Product{}).Where("id = ? AND deleted_at IS NULL", id).
		UpdateColumns(map[string]any{"deleted_at": now, "image": nil})
	if done.Error != nil {
		return fail("delete product", done.Error)
	}
	if done.RowsAffected == 0 {
		return productNotFound(id)
	}
	return nil
}

// LockAllIn gives all products of a category in the order of their ids and locks them, so that two who lock several never wait for each other.
func (t Products) LockAllIn(ctx context.Context, category uuid.UUID) ([]domain.Product, error) {
	var products []domain.Product
	err := t.write.WithContext(ctx).Clauses(forUpdate).Where("category_id = ? AND deleted_at IS NULL", category).Order("id").Find(&products).Error
	if err != nil {
		return nil, fail("lock products", err)
	}
	return products, nil
}

// DeleteAllIn hides all products of a category and forgets their pictures.
func (t Products) DeleteAllIn(ctx context.Context, category uuid.UUID, now time.Time) error {
	err := t.write.WithContext(ctx).Model(&domain.Product{}).Where("category_id = ? AND deleted_at IS NULL", category).
		UpdateColumns(map[string]any{"deleted_at": now, "image": nil}).Error
	if err != nil {
		return fail("delete products", err)
	}
	return nil
}

// UsedImages gives those of the pictures that a product shows.
func (t Products) UsedImages(ctx context.Context, names []string) ([]string, error) {
	var used []string
	err := t.write.WithContext(ctx).Model(&domain.Product{}).Where("image IN ?", names).Pluck("image", &used).Error
	if err != nil {
		return nil, fail("list pictures", err)
	}
	return used, nil
}
