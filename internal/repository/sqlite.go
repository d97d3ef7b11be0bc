package repository

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"inventoryhub/migrations"
)

const sqliteName = "sqlite"

// sqliteReaders is how many connections read beside the one that writes.
const sqliteReaders = 4

// openSQLite opens the file, which is made if it is missing.
func openSQLite(ctx context.Context, path string, prepare func(*Migrator, context.Context) error) (*Store, error) {
	m, err := sqliteMigrator(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = m.Close() }()
	if err := prepare(m, ctx); err != nil {
		return nil, err
	}
	read, err := sqliteConn(path, "deferred", sqliteReaders)
	if err != nil {
		return nil, err
	}
	readPool, err := read.DB()
	if err != nil {
		return nil, err
	}
	pool, err := m.db.DB()
	if err != nil {
		return nil, errors.Join(err, readPool.Close())
	}
	m.closers = m.closers[1:] // the connection that writes is the store's now
	s := newStore(read, m.db)
	s.readyLists()
	s.closers = []func() error{readPool.Close, pool.Close}
	return s, nil
}

// sqliteMigrator opens the file, which is made if it is missing. A lock file beside it keeps other processes off until the schema
// is up to date: even switching on the WAL fails for the second of two that start together. The first closer is the connection's, the second the lock's.
func sqliteMigrator(ctx context.Context, path string) (*Migrator, error) {
	if path == "" {
		return nil, errors.New("the database URL sqlite:// names no file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the database's directory: %w", err)
	}
	lock := flock.New(path + ".lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock the database for its start: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would make it readable for everyone
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database file: %w", err), lock.Unlock())
	}
	write, err := sqliteConn(path, "immediate", 1)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	pool, err := write.DB()
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return newMigrator(goose.DialectSQLite3, write, migrations.SQLite, "sqlite", []func() error{pool.Close, lock.Unlock})
}

// leaveWithin is how long a server that was killed may take to let go of its files. One that stops in order lets go before it ends.
const leaveWithin = time.Second

// ReserveForServer keeps other servers off an SQLite database until release, or until this process ends in whatever way; who only works beside the server
// does not ask. On Postgres there may be any number of servers.
func ReserveForServer(ctx context.Context, url string) (release func() error, err error) {
	path, embedded := strings.CutPrefix(url, "sqlite://")
	if !embedded {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the database's directory: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	lock := flock.New(path + ".server.lock")
	switch _, err := lock.TryLockContext(waiting, 20*time.Millisecond); {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil, fmt.Errorf("another server is at work on the database %s, and an SQLite database takes one only", path)
	case err != nil:
		return nil, fmt.Errorf("lock the database for the server: %w", err)
	}
	return lock.Unlock, nil
}

// sqliteConn opens a pool. Transactions that write begin IMMEDIATE, because one that reads first and writes then fails at once
// when another has written in between. synchronous=FULL makes a commit survive a power cut.
func sqliteConn(path, txlock string, conns int) (*gorm.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)" +
		"&_pragma=synchronous(FULL)&_txlock=" + txlock + "&_time_format=sqlite&_timezone=UTC"
	if txlock == "deferred" {
		dsn += "&_pragma=query_only(1)"
	}
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	db, err := gorm.Open(sqliteDialector{pool}, gormConfig())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), pool.Close())
	}
	if err := traceStatements(db); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// sqliteDialector teaches GORM the pure Go driver modernc.org/sqlite. GORM's own SQLite dialect would link a second one
// in C. It makes no tables: the schema is in the migrations.
type sqliteDialector struct{ pool *sql.DB }

// Name is how GORM tells dialects apart.
func (sqliteDialector) Name() string { return sqliteName }

// Initialize registers GORM's statements. FOR UPDATE is left out, which SQLite does not know and, having one writer, does not need.
func (d sqliteDialector) Initialize(db *gorm.DB) error {
	callbacks.RegisterDefaultCallbacks(db, &callbacks.Config{
		CreateClauses: []string{"INSERT", "VALUES", "ON CONFLICT", "RETURNING"},
		QueryClauses:  []string{"SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT"},
		UpdateClauses: []string{"UPDATE", "SET", "FROM", "WHERE", "RETURNING"},
		DeleteClauses: []string{"DELETE", "FROM", "WHERE", "RETURNING"},
	})
	db.ConnPool = d.pool
	return nil
}

// SavePoint marks a point in a transaction.
func (sqliteDialector) SavePoint(tx *gorm.DB, name string) error {
	return tx.Exec("SAVEPOINT " + name).Error
}

// RollbackTo takes back what was done since the point.
func (sqliteDialector) RollbackTo(tx *gorm.DB, name string) error {
	return tx.Exec("ROLLBACK TO SAVEPOINT " + name).Error
}

// Migrator is nil: see the migrations.
func (sqliteDialector) Migrator(*gorm.DB) gorm.Migrator { return nil }

// DataTypeOf is empty: see the migrations.
func (sqliteDialector) DataTypeOf(*schema.Field) string { return "" }

// DefaultValueOf stands for a column that is left to its default.
func (sqliteDialector) DefaultValueOf(*schema.Field) clause.Expression {
	return clause.Expr{SQL: "NULL"}
}

// BindVarTo writes the place of a parameter.
func (sqliteDialector) BindVarTo(w clause.Writer, _ *gorm.Statement, _ any) { _ = w.WriteByte('?') }

// QuoteTo writes a name, part by part.
func (sqliteDialector) QuoteTo(w clause.Writer, name string) {
	_ = w.WriteByte('"')
	for _, c := range []byte(name) {
		switch c {
		case '.':
			_, _ = w.WriteString(`"."`)
		case '"':
			_, _ = w.WriteString(`""`)
		default:
			_ = w.WriteByte(c)
		}
	}
	_ = w.WriteByte('"')
}

// Explain shows a statement with its values, for debugging.
func (sqliteDialector) Explain(s string, vars ...any) string {
	return logger.ExplainSQL(s, nil, `'`, vars...)
}

// Translate turns the engine's refusals into GORM's names for them.
func (sqliteDialector) Translate(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fmt.Errorf("%w: %w", gorm.ErrDuplicatedKey, err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w: %w", gorm.ErrForeignKeyViolated, err)
	case sqlite3.SQLITE_CONSTRAINT_CHECK:
		return fmt.Errorf("%w: %w", gorm.ErrCheckConstraintViolated, err)
	}
	return err
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // the primary code; the rest tells which sort of it
	}
	return 0
}

// sqliteBusy tells a lock that another process held for longer than busy_timeout.
func sqliteBusy(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

// sqliteUnavailable tells faults of the file or its disk.
func sqliteUnavailable(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}
