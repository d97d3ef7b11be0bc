package torture_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/torture"
)

// seed plans the short runs.
const seed = 46

// TestRun_postgres tortures two instances on one Postgres for a short time. "make torture" does so for longer.
func TestRun_postgres(t *testing.T) {
	run(t, torture.Config{Duration: 12 * time.Second, Seed: seed, Instances: 2, Engine: torture.Postgres, Calm: 600 * time.Millisecond})
}

// TestRun_sqlite tortures the one instance that an embedded database can have.
func TestRun_sqlite(t *testing.T) {
	run(t, torture.Config{Duration: 12 * time.Second, Seed: seed, Instances: 1, Engine: torture.SQLite, Calm: 600 * time.Millisecond})
}

func run(t *testing.T, c torture.Config) {
	t.Helper()
	t.Parallel()
	report, err := torture.Run(t.Context(), c, t.Output())
	require.NoError(t, err)
	t.Log(report)
	require.Empty(t, report.Violations)
	require.NotEmpty(t, report.Faults)
	require.Greater(t, report.Checks, 1, "the invariants were checked in the end only")
	for _, op := range []string{"place order", "move order", "adjust stock"} {
		require.NotZero(t, report.Operations[op]["200"]+report.Operations[op]["201"], op)
	}
}

// TestRun_settings refuses what cannot be run.
func TestRun_settings(t *testing.T) {
	for _, c := range []torture.Config{
		{Duration: time.Second, Instances: 1, Engine: "oracle"},
		{Duration: 0, Instances: 1, Engine: torture.SQLite},
		{Duration: time.Second, Instances: 0, Engine: torture.Postgres},
		{Duration: time.Second, Instances: 2, Engine: torture.SQLite},
	} {
		_, err := torture.Run(t.Context(), c, t.Output())
		require.Error(t, err)
	}
}
