package repository_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// schema describes all that the migrations made, in a fixed order.
func (b *base) schema() []string {
	b.t.Helper()
	query := "SELECT type || ' ' || name || ' ' || COALESCE(sql, '') FROM sqlite_master WHERE tbl_name <> 'goose_db_version' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
	if !b.Embedded() {
		query = `SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || COALESCE(column_default, '') || COALESCE(collation_name, '')
				FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'
			UNION ALL SELECT 'constraint ' || conrelid::regclass || '.' || conname || ' ' || pg_get_constraintdef(oid)
				FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 'goose_db_version'::regclass
			UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'
			UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
			UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc f WHERE pronamespace = 'public'::regnamespace
				AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = f.oid AND d.deptype = 'e') -- an extension's`
	}
	found := b.strings(query)
	slices.Sort(found)
	return found
}

// TestMigrator_downAndUp takes the migrations back one by one and applies them again: each way leads to the same schema.
func TestMigrator_downAndUp(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.user("jane", domain.RoleUser)
		m, err := repository.OpenMigrator(b.ctx, b.url, false)
		b.ok(err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		before, err := m.Status(b.ctx)
		b.ok(err)
		require.GreaterOrEqual(t, len(before), 3)
		at := map[int64][]string{m.Latest(): b.schema()}
		require.Greater(t, len(at[m.Latest()]), 20, "the catalogue was not read")

		for i, step := range slices.Backward(before) {
			require.NotNil(t, step.AppliedAt)
			version, err := m.Version(b.ctx)
			b.ok(err)
			require.Equal(t, step.Version, version)
			back, err := m.Down(b.ctx)
			b.ok(err)
			require.Equal(t, repository.Migration{Version: step.Version, Name: step.Name}, back)
			left := int64(0)
			if i > 0 {
				left = before[i-1].Version
			}
			at[left] = b.schema()
			if ofPostgresAlone := step.Version == 7 && b.Embedded(); !ofPostgresAlone {
				require.NotEqual(t, at[step.Version], at[left])
			}
		}
		require.Empty(t, at[0])
		_, err = m.Down(b.ctx)
		require.EqualError(t, err, "no migration is applied")

		done, err := m.Up(b.ctx)
		b.ok(err)
		require.Len(t, done, len(before))
		for _, version := range []int64{0, 1, m.Latest(), 2, 0, m.Latest(), m.Latest()} {
			b.ok(m.To(b.ctx, version))
			require.Equal(t, at[version], b.schema(), version)
		}
		again, err := m.Up(b.ctx)
		b.ok(err)
		require.Empty(t, again)
		require.Zero(t, b.count("users"))
		b.user("jane", domain.RoleUser)
	})
}

// TestOpenMigrator_missingFile makes no database out of a mistyped path.
func TestOpenMigrator_missingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "typo.db")
	_, err := repository.OpenMigrator(t.Context(), "sqlite://"+path, false)
	require.ErrorContains(t, err, "there is no database at "+path)
	require.NoFileExists(t, path)
	m, err := repository.OpenMigrator(t.Context(), "sqlite://"+path, true)
	require.NoError(t, err)
	version, err := m.Version(t.Context())
	require.NoError(t, err)
	require.Zero(t, version)
	require.NoError(t, m.Close())
	storetest.Open(t, "sqlite://"+path)

	_, err = repository.OpenMigrator(t.Context(), "mysql://x", true)
	require.ErrorContains(t, err, "must begin with")
	_, err = repository.OpenMigrator(t.Context(), "postgres://u:secret@:::/x", true)
	require.ErrorContains(t, err, "cannot be read")
	require.NotContains(t, err.Error(), "secret")
}

// TestOpenExisting takes the schema that this program knows, and writes nothing into a database that has another one, or none.
func TestOpenExisting(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		opens := func(url string) error {
			s, err := repository.OpenExisting(b.ctx, url, repository.Servers{})
			if err == nil {
				b.ok(s.Close())
			}
			return err
		}
		b.ok(opens(b.url))
		m, err := repository.OpenMigrator(b.ctx, b.url, false)
		b.ok(err)
		latest := m.Latest()
		b.ok(m.To(b.ctx, latest-1))
		b.ok(m.Close())
		before := b.schema()
		require.EqualError(t, opens(b.url), fmt.Sprintf("the schema is at version %d, this program needs %d: run api migrate up", latest-1, latest))
		require.Equal(t, before, b.schema())
		b.ok(b.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, ?)", latest+1, true))
		require.EqualError(t, opens(b.url), fmt.Sprintf("the schema is at version %d, this program knows only %d: use the program that the server runs", latest+1, latest))

		empty := "sqlite://" + filepath.Join(t.TempDir(), "empty.db")
		if b.Embedded() {
			require.NoError(t, os.WriteFile(strings.TrimPrefix(empty, "sqlite://"), nil, 0o600))
		} else {
			empty = storetest.EmptyPostgresURL(t)
		}
		require.EqualError(t, opens(empty), "the database is empty: start the server, or restore a backup")
		raw := openRaw(t, empty)
		for _, table := range []string{"goose_db_version", "customers"} { // the first was not made
			_, err = raw.ExecContext(b.ctx, "CREATE TABLE "+table+" (id INTEGER, version_id INTEGER)")
			require.NoError(t, err)
			if table == "goose_db_version" {
				require.EqualError(t, opens(empty), "the database is empty: start the server, or restore a backup")
				_, err = raw.ExecContext(b.ctx, "DROP TABLE "+table)
				require.NoError(t, err)
			}
		}
		require.ErrorContains(t, opens(empty), "this is not a database of Inventory Hub")
	})
}

// TestOpenExisting_missingFile leaves nothing behind, not even a folder.
func TestOpenExisting_missingFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	_, err := repository.OpenExisting(t.Context(), "sqlite://"+dir+"/hub.db", repository.Servers{})
	require.EqualError(t, err, "there is no database at "+dir+"/hub.db (DATABASE_URL): run this in the server's folder")
	require.NoDirExists(t, dir)
	_, err = repository.OpenExisting(t.Context(), "mysql://x", repository.Servers{})
	require.ErrorContains(t, err, "must begin with")
}
