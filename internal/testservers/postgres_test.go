package testservers

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestPostgres(t *testing.T) {
	server, err := StartPostgres(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	url := server.URL()
	execute(t, url, "CREATE TABLE kept (n int)")

	t.Run("killed, it keeps what was committed", func(t *testing.T) {
		idle := connect(t, url)
		execute(t, url, "INSERT INTO kept VALUES (1)")
		tree := server.process.tree()
		require.Greater(t, len(tree), 1)
		server.Kill()
		requireGone(t, tree, server.port)
		require.Error(t, idle.Ping(t.Context()))

		require.NoError(t, server.Start())
		require.Equal(t, url, server.URL())
		require.Equal(t, 1, count(t, url))
	})

	t.Run("paused, it hangs until it is resumed", func(t *testing.T) {
		conn := connect(t, url)
		server.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, conn.Ping(ctx), context.DeadlineExceeded)
		_, err := pgx.Connect(ctx, url)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		server.Resume()
		require.Equal(t, 1, count(t, url))
	})

	t.Run("stopped while paused, it leaves nothing running", func(t *testing.T) {
		connect(t, url)
		server.Pause()
		tree := server.process.tree()
		server.Stop()
		requireGone(t, tree, server.port)
	})

	t.Run("started again, it has the data", func(t *testing.T) {
		require.NoError(t, server.Start())
		require.Equal(t, 1, count(t, url))
	})

	t.Run("started on a taken port, it says why it cannot", func(t *testing.T) {
		server.Stop()
		taken, err := net.Listen("tcp", address(server.port))
		require.NoError(t, err)
		defer taken.Close()
		require.ErrorContains(t, server.Start(), "Address already in use")
	})
}

func TestLetPass(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	below, elsewhere := filepath.Join(temp, "below"), filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Mkdir(below, 0o700))
	require.NoError(t, os.Mkdir(elsewhere, 0o700))

	require.NoError(t, letPass(below))
	info, err := os.Stat(below)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o711), info.Mode().Perm())
	require.ErrorContains(t, letPass(elsewhere), "use a folder below "+temp)
}

// connect opens a connection that ends with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	_, err := connect(t, url).Exec(t.Context(), sql)
	require.NoError(t, err)
}

func count(t *testing.T, url string) int {
	t.Helper()
	var rows int
	require.NoError(t, connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&rows))
	return rows
}

// requireGone checks that none of the processes runs and that nothing listens on the ports.
func requireGone(t *testing.T, pids []int, ports ...int) {
	t.Helper()
	running := processes()
	for _, pid := range pids {
		require.NotContains(t, running, pid)
	}
	for _, port := range ports {
		require.Error(t, pingTCP(t.Context(), port), "port %d", port)
	}
}
