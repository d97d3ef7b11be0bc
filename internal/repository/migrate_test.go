package repository_test

import (
	"path/filepath"
	"slices"
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
	require.ErrorContains(t, err, "no such file")
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
