// Package storetest gives tests a fresh, migrated database: on SQLite, a file of the test's own; on Postgres, a database of
// its own in the server that TEST_DATABASE_URL names. A test that needs Postgres fails without it.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/repository"
	"inventoryhub/migrations"
)

// Each runs the test on both engines, each time with a store of its own.
func Each(t *testing.T, test func(t *testing.T, store *repository.Store)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { test(t, Open(t, url)) })
}

// EachURL runs the test on both engines, each time with the URL of a fresh database.
func EachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, PostgresURL(t)) })
}

// Open opens a store that is closed when the test ends.
func Open(t testing.TB, url string) *repository.Store {
	t.Helper()
	store, err := repository.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// sqliteTemplate is migrated once a process; tests copy it, which is ten times faster.
var sqliteTemplate = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "storetest")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "template.db")
	store, err := repository.Open(context.Background(), "sqlite://"+path)
	if err != nil {
		return "", err
	}
	if err := store.Close(); err != nil { // folds the WAL into the file
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	content, err := os.ReadFile(path) //nolint:gosec // our own file
	return string(content), err
})

// SQLiteURL gives the URL of a fresh database file.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	content, err := sqliteTemplate()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "test.db")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return "sqlite://" + path
}

// PostgresURL gives the URL of a fresh database, which is dropped when the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	ctx := context.Background() // the cleanup outlives the test's context
	conn, server := connect(ctx, t)
	template, err := postgresTemplate(ctx, conn, server)
	require.NoError(t, err)
	return createDatabase(ctx, t, conn, server, template)
}

// EmptyPostgresURL gives the URL of a database that was not even migrated; it is dropped when the test ends.
func EmptyPostgresURL(t *testing.T) string {
	t.Helper()
	ctx := context.Background() // the cleanup outlives the test's context
	conn, server := connect(ctx, t)
	return createDatabase(ctx, t, conn, server, "template1")
}

func createDatabase(ctx context.Context, t testing.TB, conn *pgx.Conn, server, template string) string {
	t.Helper()
	name := "test_" + uuid.NewString()
	_, err := conn.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %q TEMPLATE %q`, name, template))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(ctx, fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name))
		require.NoError(t, err)
	})
	return withDatabase(t, server, name)
}

// connect gives a connection to the tests' server, for making databases.
func connect(ctx context.Context, t testing.TB) (*pgx.Conn, string) {
	t.Helper()
	server := os.Getenv("TEST_DATABASE_URL")
	require.NotEmpty(t, server, "this test needs Postgres: run it by 'make test', or set TEST_DATABASE_URL")
	conn, err := pgx.Connect(ctx, server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(ctx) })
	return conn, server
}

func withDatabase(t testing.TB, server, name string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

// templateLock keeps two test processes from making the template at once. Any number will do.
const templateLock = 7205759

// postgresTemplate gives a migrated database to clone, named by the content of the migrations, and makes it if it is missing.
func postgresTemplate(ctx context.Context, conn *pgx.Conn, server string) (name string, err error) {
	sum := sha256.New()
	err = fs.WalkDir(migrations.Postgres, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := migrations.Postgres.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		_, err = io.Copy(sum, f)
		return err
	})
	if err != nil {
		return "", err
	}
	name = "template_" + hex.EncodeToString(sum.Sum(nil))[:16]
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return "", err
	}
	defer func() { _, _ = conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", templateLock) }()
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return name, err
	}
	// Made under another name first, so that a run that was interrupted leaves no half template.
	making := "making_" + uuid.NewString()
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %q`, making)); err != nil {
		return "", err
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	u.Path = "/" + making
	store, err := repository.Open(ctx, u.String())
	if err != nil {
		return "", err
	}
	if err := store.Close(); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %q RENAME TO %q`, making, name))
	return name, err
}
