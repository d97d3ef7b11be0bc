package repository

import "gorm.io/gorm"

// Handles gives the two ways into the database.
func (s *Store) Handles() (read, write *gorm.DB) { return s.read, s.write }
