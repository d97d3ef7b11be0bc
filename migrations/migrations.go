// Package migrations holds the database schema as SQL files, one folder per engine with the same numbers. It
// knows nothing of who runs them.
package migrations

import "embed"

// Postgres holds the files for PostgreSQL 15 and later, in the folder "postgres".
//
//go:embed postgres/*.sql
var Postgres embed.FS

// SQLite holds the files for SQLite 3.38 and later, in the folder "sqlite".
//
//go:embed sqlite/*.sql
var SQLite embed.FS
