package main

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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

// TestCommands_wrongUsage: what cannot be understood is said in one line that names the command, and ends with 2.
func TestCommands_wrongUsage(t *testing.T) {
	t.Parallel()
	for line, told := range map[string]string{
		"nonsense":                   `api has no command "nonsense"; see api --help`,
		"imprt products":             `api has no command "imprt" (did you mean import?); see api --help`,
		"users reset":                `users has no command "reset" (did you mean reset-2fa?); see api users --help`,
		"stock recncile --json":      `unknown flag: --json; see api stock --help`,
		"admin create":               `admin create needs an EMAIL; see api admin create --help`,
		"import products":            `import products needs a FILE; see api import products --help`,
		"export products a b":        `"b" is one word too many for export products; see api export products --help`,
		"seed demo":                  `"demo" is one word too many for seed; see api seed --help`,
		"migrate down --yes now":     `"now" is one word too many for migrate down; see api migrate down --help`,
		"import products x --dryrun": `unknown flag: --dryrun; see api import products --help`,
	} {
		var stdout, stderr strings.Builder
		err := run(t.Context(), strings.Fields(line), nil, &stdout, &stderr)
		require.EqualError(t, err, told)
		require.Equal(t, 2, exitStatus(err), line)
		require.Empty(t, stdout.String()+stderr.String(), line)
	}
}

// TestCommands_groups: a group by itself does nothing, and says so with its usage on stderr.
func TestCommands_groups(t *testing.T) {
	t.Parallel()
	cases := map[string]string{"help nosuch": `api has no command "nosuch"`, "help users delete": `users has no command "delete"`}
	for _, cmd := range newCommand(nil).Commands() {
		if cmd.HasSubCommands() {
			cases[cmd.Name()] = cmd.Name() + " needs one of its commands"
		}
	}
	require.Len(t, cases, 9)
	for line, told := range cases {
		var stdout, stderr strings.Builder
		err := run(t.Context(), strings.Fields(line), nil, &stdout, &stderr)
		require.EqualError(t, err, told)
		require.Equal(t, 2, exitStatus(err), line)
		require.Empty(t, stdout.String(), line)
		require.Contains(t, stderr.String(), "Available Commands:\n", line)
	}
	for line, short := range map[string]string{"help": "Inventory Hub", "help users": "Manage users", "help users remove": "Delete a user"} {
		var stdout, stderr strings.Builder
		require.NoError(t, run(t.Context(), strings.Fields(line), nil, &stdout, &stderr))
		require.Contains(t, stdout.String(), short)
		require.Empty(t, stderr.String())
	}
}

// withoutDatabase are the commands that may make a database, or need none.
var withoutDatabase = []string{"api", "api serve", "api seed", "api restore", "api migrate up", "api version", "api healthcheck"}

// TestCommands_wrongFolder: a command that looks after a database makes none in a folder that has none.
func TestCommands_wrongFolder(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command)
	visited := 0
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if cmd.HasSubCommands() || slices.Contains(withoutDatabase, cmd.CommandPath()) {
			return
		}
		visited++
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(cmd.CommandPath())[1:]
			switch {
			case strings.Contains(cmd.Use, "FILE"):
				args = append(args, filepath.Join(t.TempDir(), "file"))
			case strings.Contains(cmd.Use, "EMAIL"):
				args = append(args, "boss@example.com")
			case strings.Contains(cmd.Use, "--yes"):
				args = append(args, "--yes")
			}
			folder := t.TempDir()
			said, err := command(t, folder, args).CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.Equal(t, "api: there is no database at data/inventoryhub.db (DATABASE_URL): run this in the server's folder\n", string(said))
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	visit(newCommand(nil))
	require.Greater(t, visited, 10)
}

// TestCommands_otherSchema: a command of another version than the server's leaves the schema to that. Seeding is what a server's first start could be.
func TestCommands_otherSchema(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		api := func(args ...string) error {
			var stdout, stderr strings.Builder
			return run(t.Context(), args, []string{"DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("k", 32)}, &stdout, &stderr)
		}
		require.NoError(t, api("audit", "verify"))
		require.NoError(t, api("migrate", "down", "--yes"))
		for _, args := range [][]string{{"audit", "verify"}, {"stock", "reconcile"}, {"export", "products"}, {"admin", "create", "boss@example.com"}} {
			err := api(args...)
			require.ErrorContains(t, err, ": run api migrate up")
			require.Equal(t, 1, exitStatus(err))
		}
		require.NoError(t, api("migrate", "up"))
		require.NoError(t, api("audit", "verify"))
	})
}

// TestCommands_noWayIn: whoever cannot connect to Postgres is told why in one line, and which setting leads there.
func TestCommands_noWayIn(t *testing.T) {
	t.Parallel()
	there, err := url.Parse(storetest.EmptyPostgresURL(t))
	require.NoError(t, err)
	with := func(change func(u *url.URL)) string {
		u := *there
		u.RawQuery = "" // without sslmode, TLS is tried first, which the tests' server has not
		change(&u)
		return u.String()
	}
	noDatabase := with(func(u *url.URL) { u.Path = "/nosuch" })
	closed := with(func(u *url.URL) { u.Host, u.User = "127.0.0.1:1", url.UserPassword("hub", "S3cret") })
	dir := t.TempDir()
	archive := filepath.Join(dir, "backup.tar.gz")
	served := []string{"DATABASE_URL=" + storetest.SQLiteURL(t), "IMAGES_URL=file://" + dir}
	said, err := command(t, dir, []string{"backup", archive}, served...).CombinedOutput()
	require.NoError(t, err, string(said))
	for _, c := range []struct {
		settings []string
		told     string
	}{
		{[]string{"DATABASE_URL=" + noDatabase}, `DATABASE_URL: database "nosuch" does not exist`},
		{[]string{"DATABASE_URL=" + closed}, `DATABASE_URL: dial tcp 127.0.0.1:1: connect: connection refused`},
		{[]string{"DATABASE_URL=" + there.String(), "DATABASE_DIRECT_URL=" + noDatabase}, `DATABASE_DIRECT_URL: database "nosuch" does not exist`},
		{[]string{"DATABASE_URL=" + with(func(u *url.URL) { u.User = url.UserPassword("nobody", "S3cret") })}, `DATABASE_URL: password authentication failed for user "nobody"`},
		{[]string{"DATABASE_URL=" + with(func(u *url.URL) { u.Host = "nosuch.invalid:5432" })}, `DATABASE_URL: lookup nosuch.invalid`},
	} {
		for _, args := range [][]string{
			{"serve"}, {"seed"}, {"audit", "verify"}, {"migrate", "status"}, {"migrate", "up"}, {"backup", filepath.Join(t.TempDir(), "new.tar.gz")}, {"restore", archive},
		} {
			cmd := command(t, t.TempDir(), args, append([]string{"HTTP_ADDR=127.0.0.1:0", "JWT_SECRET=" + strings.Repeat("k", 32)}, c.settings...)...)
			said, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.True(t, strings.HasPrefix(string(said), "api: "+c.told), "%s: %s", args, said)
			require.Equal(t, 1, strings.Count(string(said), "\n"), string(said))
			require.NotContains(t, string(said), "S3cret")
		}
	}
	pooler := []string{"HTTP_ADDR=127.0.0.1:0", "JWT_SECRET=" + strings.Repeat("k", 32), "DATABASE_URL=" + noDatabase, "DATABASE_DIRECT_URL=" + there.String()}
	said, err = command(t, t.TempDir(), nil, pooler...).CombinedOutput()
	require.Error(t, err)
	require.Equal(t, "api: DATABASE_URL: database \"nosuch\" does not exist\n", string(said))
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var words, object, stderr strings.Builder
	require.NoError(t, run(t.Context(), []string{"version"}, nil, &words, &stderr))
	require.Regexp(t, `^Inventory Hub \S+, .*`+runtime.Version(), words.String())
	require.Equal(t, 1, strings.Count(words.String(), "\n"))
	var flag strings.Builder
	require.NoError(t, run(t.Context(), []string{"--version"}, nil, &flag, &stderr))
	require.Equal(t, words.String(), flag.String())
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
