package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Categories is about the groups of products.
type Categories struct {
	store    *repository.Store
	pictures *Pictures
	clock    clock
}

// NewCategories makes the use cases of /products/categories.
func NewCategories(store *repository.Store, pictures *Pictures, now func() time.Time) *Categories {
	return &Categories{store: store, pictures: pictures, clock: now}
}

// List gives all categories by name, with how many products each holds.
func (s *Categories) List(ctx context.Context, actor domain.Actor) ([]domain.Category, error) {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return nil, err
	}
	return s.store.Categories.List(ctx)
}

// Create makes a category. It returns KindForbidden, KindInvalid for faults, and KindConflict on `name` if there is one of that name.
func (s *Categories) Create(ctx context.Context, actor domain.Actor, name string, attempt *domain.Attempt, faults domain.Faults) (domain.Category, error) {
	if err := actor.Require(domain.ManageCategories); err != nil {
		return domain.Category{}, err
	}
	if err := faults.Err(); err != nil {
		return domain.Category{}, err
	}
	var category domain.Category
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		category = domain.NewCategory(name, now)
		if err := tx.Categories.Create(ctx, category); err != nil {
			return err
		}
		note(tx, actor, domain.AuditCategoryCreated, "category", category.ID.String(), domain.AuditDetails{"name": name}, now)
		return tx.Attempts.Made(ctx, attempt, category.ID)
	})
	if err != nil {
		return domain.Category{}, err
	}
	return category, nil
}

// ByID gives a category. It returns KindNotFound on `name`.
func (s *Categories) ByID(ctx context.Context, actor domain.Actor, id uuid.UUID) (domain.Category, error) {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return domain.Category{}, err
	}
	return s.store.Categories.ByID(ctx, id)
}

// Delete removes a category and all products in it, or nothing. It returns KindForbidden, KindNotFound on `name`, and KindConflict on
// `name` while a product in it has an open order.
func (s *Categories) Delete(ctx context.Context, actor domain.Actor, name string) error {
	if err := actor.Require(domain.ManageCategories); err != nil {
		return err
	}
	var products []domain.Product
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		category, err := tx.Categories.Lock(ctx, name)
		if err != nil {
			return err
		}
		if products, err = tx.Products.LockAllIn(ctx, category.ID); err != nil {
			return err
		}
		// Counted after the locks are held: an order that was being placed is seen now, and no other can begin.
		open, err := tx.Orders.CountOpenIn(ctx, category.ID)
		if err != nil {
			return err
		}
		if open > 0 {
			return domain.Conflict("name", "The category with name '%s' has items with %d open transaction(s)", category.Name, open)
		}
		if err := tx.Products.DeleteAllIn(ctx, category.ID, now); err != nil {
			return err
		}
		note(tx, actor, domain.AuditCategoryDeleted, "category", category.ID.String(), domain.AuditDetails{"name": category.Name, "products": len(products)}, now)
		return tx.Categories.Delete(ctx, category, now)
	})
	if err != nil {
		return err
	}
	for _, p := range products {
		s.pictures.forget(ctx, p.Image)
	}
	return nil
}
