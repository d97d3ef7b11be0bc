package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake is a server that only counts how often it was stopped.
type fake struct{ stops int }

func (f *fake) URL() string { return "fake://" }
func (f *fake) Stop()       { f.stops++ }

// of makes a kind of server that starts as f, with a program that every machine has.
func of(f *fake) kind {
	return kind{program: "sh", variable: "TEST_FAKE_URL", start: func(string) (server, error) { return f, nil }}
}

func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		given, script string
		status        int
	}{
		"gives the address to the command":    {"", `test "$TEST_FAKE_URL" = fake://`, 0},
		"leaves an address that is set alone": {"other://", `test "$TEST_FAKE_URL" = other://`, 0},
		"returns the command's status":        {"", "exit 7", 7},
		"tells which signal ended it":         {"", "kill -9 $$", 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TEST_FAKE_URL", test.given)
			var f fake
			status, err := run([]kind{of(&f)}, []string{"sh", "-c", test.script})
			require.NoError(t, err)
			require.Equal(t, test.status, status)
			if test.given == "" {
				require.Equal(t, 1, f.stops)
			} else {
				require.Zero(t, f.stops)
			}
		})
	}

	t.Run("stops the other server when one does not start", func(t *testing.T) {
		var f fake
		broken := kind{program: "sh", variable: "TEST_BROKEN_URL", start: func(string) (server, error) {
			return (*fake)(nil), errors.New("broken")
		}}
		good := of(&f)
		good.program = "ls" // another folder
		status, err := run([]kind{broken, good}, []string{"true"})
		require.EqualError(t, err, "broken")
		require.Equal(t, 1, status)
		require.Equal(t, 1, f.stops)
	})

	t.Run("says what is missing", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := run([]kind{of(new(fake))}, []string{"true"})
		require.EqualError(t, err, "no sh: install the program, start Docker or set TEST_FAKE_URL")
	})

	t.Run("hands a signal on to the command", func(t *testing.T) {
		var f fake
		started := filepath.Join(t.TempDir(), "started")
		go func() {
			for _, err := os.Stat(started); err != nil; _, err = os.Stat(started) {
				time.Sleep(time.Millisecond)
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}()
		script := `trap "exit 9" TERM; >"$0"; while :; do sleep 0.01; done`
		status, err := run([]kind{of(&f)}, []string{"sh", "-c", script, started})
		require.NoError(t, err)
		require.Equal(t, 9, status)
		require.Equal(t, 1, f.stops)
	})
}
