package attacks_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"inventoryhub/internal/storetest"
)

// program is the path of the server that is attacked.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program with the flags of this test, the race detector among them.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "attacks")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "api")
	if said, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "inventoryhub/cmd/api").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the server: %v\n%s", err, said)
		return 1
	}
	return m.Run()
}

// TestAttacks makes all attacks on one server for each database. They come one after the other, so that each can tell what it changed.
func TestAttacks(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		s := newServer(t, url, "AUTH_RATE_LIMIT=0", "CORS_ORIGINS="+listedOrigin+", http://localhost:3000")
		slow := s.beginSlowly(t)
		for _, kind := range []struct {
			name string
			make func(*testing.T, *server)
		}{
			{"authorization", attackAuthorization},
			{"tokens", attackTokens},
			{"sessions", attackSessions},
			{"invitations", attackInvitations},
			{"resets", attackResets},
			{"enumeration", attackEnumeration},
			{"throttling", attackThrottling},
			{"json", attackJSON},
			{"queries", attackQueries},
			{"http", attackHTTP},
			{"images", attackImages},
			{"mails", attackMails},
			{"stock", attackStock},
			{"slow clients", slow},
		} {
			t.Run(kind.name, func(t *testing.T) { kind.make(t, s) })
		}
		t.Run("logs", func(t *testing.T) { readLogs(t, s) })
	})
}
