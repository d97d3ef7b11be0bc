package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/storetest"
)

// TestCommands_help asks every command for help: it goes to stdout, with a sentence and an example.
func TestCommands_help(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command, path []string)
	visited := 0
	visit = func(cmd *cobra.Command, path []string) {
		if cmd.Name() == "help" {
			return
		}
		visited++
		var stdout, stderr strings.Builder
		require.NoError(t, run(t.Context(), append(path, "--help"), nil, &stdout, &stderr))
		require.Empty(t, stderr.String())
		require.Contains(t, stdout.String(), cmd.Short, path)
		require.Contains(t, stdout.String(), "Examples:\n  ", path)
		for _, sub := range cmd.Commands() {
			visit(sub, append(path[:len(path):len(path)], sub.Name()))
		}
	}
	visit(newCommand(nil), nil)
	require.Greater(t, visited, 10)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var words, object, stderr strings.Builder
	require.NoError(t, run(t.Context(), []string{"version"}, nil, &words, &stderr))
	require.Regexp(t, `^Inventory Hub \S+, .*`+runtime.Version(), words.String())
	require.Equal(t, 1, strings.Count(words.String(), "\n"))
	require.NoError(t, run(t.Context(), []string{"version", "--json"}, nil, &object, &stderr))
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(object.String()), &v))
	require.Equal(t, runtime.Version(), v["go"])
	for _, name := range []string{"version", "revision", "time", "modified", "platform"} {
		require.Contains(t, v, name)
	}
	require.Empty(t, stderr.String())
}

// TestMigrate goes down and up again with the program, on a database of each engine.
func TestMigrate(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		migrate := func(args ...string) string {
			var stdout, stderr strings.Builder
			environ := []string{"DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("k", 32)}
			require.NoError(t, run(t.Context(), append([]string{"migrate"}, args...), environ, &stdout, &stderr))
			require.Empty(t, stderr.String())
			return stdout.String()
		}
		status := func() schemaStatus {
			var s schemaStatus
			require.NoError(t, json.Unmarshal([]byte(migrate("status", "--json")), &s))
			return s
		}
		full := status()
		last := full.Migrations[len(full.Migrations)-1]
		require.Equal(t, []any{full.Latest, 0, last.Version}, []any{full.Version, full.Pending, full.Version})
		require.NotNil(t, last.AppliedAt)

		require.Equal(t, last.Name+" was taken back\n", migrate("down", "--yes"))
		less := status()
		require.Equal(t, []any{full.Migrations[len(full.Migrations)-2].Version, 1, full.Latest}, []any{less.Version, less.Pending, less.Latest})
		require.Nil(t, less.Migrations[len(less.Migrations)-1].AppliedAt)
		require.Contains(t, migrate("status"), "not applied\n")

		require.Regexp(t, `^`+last.Name+` was applied\nThe schema is up to date, at version \d+\n$`, migrate("up"))
		require.Regexp(t, `^The schema is up to date, at version \d+\n$`, migrate("up"))
		require.Zero(t, status().Pending)
	})
}
