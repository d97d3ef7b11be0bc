package domain

import (
	"time"

	"github.com/google/uuid"
)

// MaxQuantity is the largest quantity that a caller may give. A cancellation may give back beyond it.
const MaxQuantity = 1_000_000_000

// Category groups products. A deleted one is kept for the products that old orders still show.
type Category struct {
	ID        uuid.UUID
	Name      string
	NameKey   string // folded: unique among those not deleted, and the order of the list
	CreatedAt time.Time
	DeletedAt *time.Time
	Products  int64 `gorm:"->"` // how many it holds; filled by List
}

// NewCategory makes a category of a trimmed name.
func NewCategory(name string, now time.Time) Category {
	return Category{ID: NewID(), Name: name, NameKey: Fold(name), CreatedAt: now}
}

// Product is something in stock. Its quantity is changed by movements alone. A deleted one is kept for the
// orders and movements that name it.
type Product struct {
	ID           uuid.UUID
	Name         string
	NameKey      string // folded, for search and order
	CategoryID   uuid.UUID
	CategoryName string `gorm:"->"`
	Quantity     int64
	Description  string
	SKU          *string // what the owner calls it in the books; unique among those not deleted, without regard to case
	SKUKey       *string // folded
	ReorderLevel *int64  // the quantity at which it must be ordered again
	SearchKey    string  // name, description and SKU, folded
	Image        *string // the picture's file name
	Version      int64   // rises with every change
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DeletedAt    *time.Time
}

// NewProduct makes a product without stock; a movement brings the first.
func NewProduct(name, description string, category Category, image *string, now time.Time) Product {
	p := Product{ID: NewID(), Image: image, Version: 1, CreatedAt: now}
	p.Describe(name, description, category, now)
	return p
}

// Describe sets name, description and category.
func (p *Product) Describe(name, description string, category Category, now time.Time) {
	p.Name, p.NameKey = name, Fold(name)
	p.Description = description
	p.CategoryID, p.CategoryName = category.ID, category.Name
	p.UpdatedAt = now
	p.index()
}

// Label sets what the books say of a product: its SKU and its reorder level, or nil for none.
func (p *Product) Label(sku *string, reorderLevel *int64) {
	p.SKU, p.SKUKey, p.ReorderLevel = sku, nil, reorderLevel
	if sku != nil {
		key := Fold(*sku)
		p.SKUKey = &key
	}
	p.index()
}

func (p *Product) index() {
	p.SearchKey = p.NameKey + "\n" + Fold(p.Description)
	if p.SKUKey != nil {
		p.SearchKey += "\n" + *p.SKUKey
	}
}

// Low says whether the product must be ordered again. One without a reorder level never is.
func (p Product) Low() bool { return p.ReorderLevel != nil && p.Quantity <= *p.ReorderLevel }

// SKUTaken makes the KindConflict of a SKU that another product has.
func SKUTaken(sku string) *Error {
	return Conflict("sku", "The item with SKU '%s' already exists", sku)
}

// ProductFilter narrows a list of products. Empty fields do not narrow.
type ProductFilter struct {
	Page     Page
	Search   string // part of name, description or SKU, without regard to case
	Category string // a category's name, without regard to case
	Low      *bool  // only those that are low, or only those that are not
}

// MovementReason says why stock changed.
type MovementReason string

// The reasons of a movement.
const (
	MovementCreated  MovementReason = "Created"  // the product's first count
	MovementAdjusted MovementReason = "Adjusted" // counted or changed by hand
	MovementReserved MovementReason = "Reserved" // taken by an order's approval
	MovementReleased MovementReason = "Released" // given back by an order's cancellation or deletion
)

// Movement is one line of a product's stock ledger. Lines are only ever added; a product's quantity is their sum.
type Movement struct {
	ID             uuid.UUID
	ProductID      uuid.UUID
	ProductVersion int64 // the product's after the movement: the ledger's order
	Delta          int64
	QuantityAfter  int64
	ReorderLevel   *int64 `gorm:"-"` // the product's when the movement was applied; not written down
	Reason         MovementReason
	OrderID        *uuid.UUID
	UserID         *uuid.UUID // nil for the command line
	Username       *string    `gorm:"->"`
	Note           string
	CreatedAt      time.Time
}

// Move brings the product to what a movement makes of it, and has the movement say so. It returns a KindConflict on `quantity` if the product has too
// little.
func (p *Product) Move(m *Movement) error {
	if p.Quantity+m.Delta < 0 {
		return TooLittleStock("quantity", -m.Delta, *p)
	}
	p.Quantity += m.Delta
	p.Version++
	p.UpdatedAt = m.CreatedAt
	m.QuantityAfter, m.ProductVersion = p.Quantity, p.Version
	return nil
}

// NewMovement makes a movement that is still to be applied: ProductVersion, QuantityAfter and ReorderLevel are set then.
// The command line acts as uuid.Nil.
func NewMovement(product uuid.UUID, delta int64, reason MovementReason, by uuid.UUID, now time.Time) Movement {
	m := Movement{ID: NewID(), ProductID: product, Delta: delta, Reason: reason, CreatedAt: now}
	if by != uuid.Nil {
		m.UserID = &by
	}
	return m
}
