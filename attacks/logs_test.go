package attacks_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inLog finds what the log may not hold.
var (
	anyJWT  = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.`)
	anyHash = regexp.MustCompile(`\$argon2`)
)

// readLogs stops the server and reads what it said of all this: what happened, in lines of its own, and no secret.
func readLogs(t *testing.T, s *server) {
	t.Run("it ends in order", func(t *testing.T) {
		s.admin.alive(t)
		require.Zero(t, s.subject.Stop(time.Minute), "the race detector, too, would end it so")
	})
	said := s.log(t)
	lines := strings.Split(strings.TrimSuffix(said, "\n"), "\n")
	t.Run("each line is the server's own", func(t *testing.T) {
		const greetings = 4
		require.Greater(t, len(lines), greetings)
		require.Regexp(t, `^Inventory Hub answers at `, lines[0])
		for _, line := range lines[greetings:] {
			var entry struct {
				Time       time.Time
				Level, Msg string
				RequestID  string
				Status     int
			}
			require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
			require.False(t, entry.Time.IsZero(), line)
			require.Contains(t, []string{"DEBUG", "INFO", "WARN", "ERROR"}, entry.Level)
			if entry.Msg == "request" {
				require.True(t, s.ids[entry.RequestID], "a request that nobody made: %s", line)
			}
			if entry.Level == "ERROR" {
				require.Equal(t, http.StatusServiceUnavailable, entry.Status, line)
			}
			require.NotRegexp(t, `[\x00-\x08\x0b-\x1f\x7f]`, line)
		}
	})
	t.Run("no defect", func(t *testing.T) {
		for _, sign := range []string{"panic", "fatal error", "DATA RACE", "superfluous", `"status":500`, "SQLSTATE", "deadlock", "missing in the audit log"} {
			require.NotContains(t, said, sign)
		}
	})
	t.Run("no secret", func(t *testing.T) {
		require.Greater(t, len(s.secrets), 10)
		for secret := range s.secrets {
			if strings.Contains(said, secret) {
				t.Errorf("the log holds the secret %q", secret)
			}
		}
		require.NotRegexp(t, anyJWT, said)
		require.NotRegexp(t, anyHash, said)
	})
}
