package repository

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
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
	if !create {
		if err := RequireFile(url); err != nil {
			return nil, err
		}
	}
	switch scheme, rest, _ := strings.Cut(url, "://"); scheme {
	case "sqlite":
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

// bringUp is [Migrator.Up] for who does not ask what was done.
func (m *Migrator) bringUp(ctx context.Context) error {
	_, err := m.Up(ctx)
	return err
}

// requireLatest refuses a schema that is not the one that this program knows. It writes nothing.
func (m *Migrator) requireLatest(ctx context.Context) error {
	version, err := schemaVersion(ctx, m.db)
	switch {
	case err != nil:
		return err
	case version < m.latest:
		return fmt.Errorf("the schema is at version %d, this program needs %d: run api migrate up", version, m.latest)
	case version > m.latest:
		return fmt.Errorf("the schema is at version %d, this program knows only %d: use the program that the server runs", version, m.latest)
	}
	return nil
}

// countTables tells of a database whether there is anything in it, and whether we made it.
var countTables = map[bool]string{
	true: `SELECT COUNT(*) AS tables, COUNT(CASE WHEN name = 'goose_db_version' THEN 1 END) AS ours FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`,
	false: `SELECT COUNT(*) AS tables, COUNT(CASE WHEN relname = 'goose_db_version' THEN 1 END) AS ours FROM pg_class
		WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace`,
}

// schemaVersion reads what [Migrator.Version] does, but makes no table for it and is an error for a database without a schema.
func schemaVersion(ctx context.Context, db *gorm.DB) (version int64, err error) {
	var found struct{ Tables, Ours int }
	if err := db.WithContext(ctx).Raw(countTables[db.Name() == sqliteName]).Scan(&found).Error; err != nil {
		return 0, fail("look into the database", err)
	}
	if found.Ours == 0 && found.Tables > 0 {
		return 0, errors.New("this is not a database of Inventory Hub: DATABASE_URL leads to one with other tables")
	}
	if found.Ours > 0 {
		if err := db.WithContext(ctx).Raw("SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Scan(&version).Error; err != nil {
			return 0, fail("read the schema's version", err)
		}
	}
	if version == 0 {
		return 0, errors.New("the database is empty: start the server, or restore a backup")
	}
	return version, nil
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
