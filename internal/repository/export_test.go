package repository

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Handles gives the two ways into the database.
func (s *Store) Handles() (read, write *gorm.DB) { return s.read, s.write }

// LeftOut gives the tables that no backup holds.
func LeftOut() []string { return slices.Clone(leftOut) }

// LaggedReads says whether a replica would answer a read of the user.
func (s *Store) LaggedReads(user uuid.UUID) bool {
	return s.replicas.choose(s.OnBehalf(context.Background(), user, true)) != nil
}

// SetMaxLag sets how old what a replica answers may be.
func (s *Store) SetMaxLag(d time.Duration) { s.replicas.maxLag.Store(int64(d)) }

// PlantTotals has all totals that are remembered be another number.
func (s *Store) PlantTotals(n int64) {
	for _, t := range []*totals{s.Products.totals, s.Orders.totals} {
		for key, was := range t.known {
			t.known[key] = total{domain.Extent{Total: n}, was.texts}
		}
	}
}
