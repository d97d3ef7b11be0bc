package repository

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
)

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string     // of its file
	AppliedAt *time.Time // nil for one that is not applied
}

// Migrator looks at the version of a database's schema and changes it. Its statements may take as long as they need. While one is open
// on an SQLite file, no other process can start on that file.
type Migrator struct {
	db       *gorm.DB
	provider *goose.Provider
	latest   int64
	closers  []func() error
}

// OpenMigrator connects to a database as [Open] does, and leaves its schema alone. A missing SQLite file is an error, unless it shall be made.
func OpenMigrator(ctx context.Context, url string, create bool) (*Migrator, error) {
	switch scheme, rest, _ := strings.Cut(url, "://"); scheme {
	case "sqlite":
		if !create {
			if err := sqliteExists(rest); err != nil {
				return nil, err
			}
		}
		return sqliteMigrator(ctx, rest)
	case "postgres", "postgresql":
		config, err := postgresConfig(url)
		if err != nil {
			return nil, err
		}
		return postgresMigrator(*config)
	}
	return nil, errWhichEngine
}

var errWhichEngine = errors.New("the database URL must begin with sqlite:// or postgres://")

// newMigrator reads the files of an engine. When it fails it closes what it was given.
func newMigrator(dialect goose.Dialect, db *gorm.DB, files embed.FS, folder string, closers []func() error, options ...goose.ProviderOption) (*Migrator, error) {
	m := &Migrator{db: db, closers: closers}
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the migrations: %w", err), m.Close())
	}
	pool, err := db.DB()
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if m.provider, err = goose.NewProvider(dialect, pool, sub, options...); err != nil {
		return nil, errors.Join(fmt.Errorf("read the migrations: %w", err), m.Close())
	}
	for _, s := range m.provider.ListSources() {
		m.latest = max(m.latest, s.Version)
	}
	return m, nil
}

// Close gives the connections back.
func (m *Migrator) Close() error {
	var errs []error
	for _, c := range m.closers {
		errs = append(errs, c())
	}
	m.closers = nil
	return errors.Join(errs...)
}

// Latest is the newest version that this program knows.
func (m *Migrator) Latest() int64 { return m.latest }

// Version is the database's: 0 for one without a schema.
func (m *Migrator) Version(ctx context.Context) (int64, error) {
	version, err := m.provider.GetDBVersion(ctx)
	if err != nil {
		return 0, fail("read the schema's version", err)
	}
	return version, nil
}

// Status lists all migrations that this program knows, oldest first.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	found, err := m.provider.Status(ctx)
	if err != nil {
		return nil, fail("read the schema's version", err)
	}
	all := make([]Migration, len(found))
	for i, s := range found {
		all[i] = Migration{Version: s.Source.Version, Name: path.Base(s.Source.Path)}
		if s.State == goose.StateApplied {
			at := s.AppliedAt.UTC()
			all[i].AppliedAt = &at
		}
	}
	return all, nil
}

// Up applies all that are not applied yet, and gives them.
func (m *Migrator) Up(ctx context.Context) ([]Migration, error) {
	done, err := m.provider.Up(ctx)
	if err != nil {
		return nil, fail("migrate the database", err)
	}
	return applied(done...), nil
}

// Down takes the newest one back, with everything that is in its tables and columns, and gives it. It is an error if none is applied.
func (m *Migrator) Down(ctx context.Context) (Migration, error) {
	done, err := m.provider.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return Migration{}, errors.New("no migration is applied")
	}
	if err != nil {
		return Migration{}, fail("migrate the database", err)
	}
	return applied(done)[0], nil
}

// To brings the schema to a version, upwards or downwards.
func (m *Migrator) To(ctx context.Context, version int64) error {
	at, err := m.Version(ctx)
	if err != nil {
		return err
	}
	move := m.provider.UpTo
	if version < at {
		move = m.provider.DownTo
	}
	if _, err := move(ctx, version); err != nil && !errors.Is(err, goose.ErrNoNextVersion) {
		return fail("migrate the database", err)
	}
	return nil
}

func applied(results ...*goose.MigrationResult) []Migration {
	all := make([]Migration, len(results))
	for i, r := range results {
		all[i] = Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path)}
	}
	return all
}

// sqliteExists keeps a mistyped path from becoming an empty database.
func sqliteExists(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	return nil
}
