package repository

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// migrate brings the schema up to date.
func migrate(ctx context.Context, dialect goose.Dialect, pool *sql.DB, files embed.FS, folder string, options ...goose.ProviderOption) error {
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, pool, sub, options...)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fail("migrate the database", err)
	}
	return nil
}
