package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Categories is the table of categories. Deleted ones are found by no method.
type Categories struct{ table }

// List gives all categories by name, with how many products each holds.
func (t Categories) List(ctx context.Context) ([]domain.Category, error) {
	categories := []domain.Category{}
	err := t.reader(ctx).Raw(`SELECT c.*, COALESCE(k.n, 0) AS products FROM categories c LEFT JOIN product_counts k ON k.category_id = c.id
		WHERE c.deleted_at IS NULL ORDER BY c.name_key, c.id`).Scan(&categories).Error
	if err != nil {
		return nil, fail("list categories", err)
	}
	return categories, nil
}

func categoryNotFound(name string) error {
	return domain.NotFound("name", "The category with name '%s' does not exist", domain.Clip(name))
}

// ByName finds a category without regard to case. It returns KindNotFound on `name`.
func (t Categories) ByName(ctx context.Context, name string) (domain.Category, error) {
	return t.byName(t.read.WithContext(ctx), name)
}

// Lock is ByName for a category that is about to be deleted: nobody puts a product into it until the transaction ends.
func (t Categories) Lock(ctx context.Context, name string) (domain.Category, error) {
	return t.byName(t.write.WithContext(ctx).Clauses(forUpdate), name)
}

// Hold is ByName for a category that is about to get a product: nobody deletes it until the transaction ends.
func (t Categories) Hold(ctx context.Context, name string) (domain.Category, error) {
	return t.byName(t.write.WithContext(ctx).Clauses(forShare), name)
}

// HoldAll is Hold for all categories that have one of the folded names; outside of a transaction it holds nothing.
func (t Categories) HoldAll(ctx context.Context, nameKeys []string) ([]domain.Category, error) {
	var found []domain.Category
	err := t.read.WithContext(ctx).Clauses(forShare).Where("name_key IN ? AND deleted_at IS NULL", nameKeys).Order("id").Find(&found).Error
	if err != nil {
		return nil, fail("load categories", err)
	}
	return found, nil
}

// ByID returns KindNotFound on `name`.
func (t Categories) ByID(ctx context.Context, id uuid.UUID) (domain.Category, error) {
	return takeCategory(t.read.WithContext(ctx).Where("id = ?", id), id.String())
}

func (t Categories) byName(db *gorm.DB, name string) (domain.Category, error) {
	return takeCategory(db.Where("name_key = ?", domain.Fold(name)), name)
}

func takeCategory(db *gorm.DB, name string) (domain.Category, error) {
	var c domain.Category
	err := db.Where("deleted_at IS NULL").Take(&c).Error
	if isNoRow(err) {
		return domain.Category{}, categoryNotFound(name)
	}
	if err != nil {
		return domain.Category{}, fail("load category", err)
	}
	return c, nil
}

// Create stores a category. It returns KindConflict on `name` if there is one of that name.
func (t Categories) Create(ctx context.Context, c domain.Category) error {
	err := t.write.WithContext(ctx).Create(&c).Error
	if isDuplicate(err) {
		return domain.Conflict("name", "The category with name '%s' already exists", c.Name)
	}
	if err != nil {
		return fail("create category", err)
	}
	return nil
}

// Delete hides a category and frees its name. It returns KindNotFound on `name` if it is gone already.
func (t Categories) Delete(ctx context.Context, c domain.Category, now time.Time) error {
	done := t.write.WithContext(ctx).Model(&domain.Category{}).Where("id = ? AND deleted_at IS NULL", c.ID).UpdateColumn("deleted_at", now)
	if done.Error != nil {
		return fail("delete category", done.Error)
	}
	if done.RowsAffected == 0 {
		return categoryNotFound(c.Name)
	}
	return nil
}
