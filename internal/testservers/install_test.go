package testservers

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInstall(t *testing.T) {
	t.Run("does nothing when nothing is missing", func(t *testing.T) {
		require.NoError(t, Install(io.Discard, PostgreSQLServer, RabbitMQServer, "sh"))
	})

	t.Run("says what it cannot install", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		require.EqualError(t, Install(io.Discard, "sh", "ls"), "cannot install [sh ls]: this machine has no apt-get")
	})
}
