package repository

import (
	"slices"

	"gorm.io/gorm"
)

// Handles gives the two ways into the database.
func (s *Store) Handles() (read, write *gorm.DB) { return s.read, s.write }

// LeftOut gives the tables that no backup holds.
func LeftOut() []string { return slices.Clone(leftOut) }
