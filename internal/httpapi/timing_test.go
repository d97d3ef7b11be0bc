package httpapi_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/storetest"
)

// guess is one kind of call whose time must tell a stranger nothing.
type guess struct {
	name  string
	email func(s *server) string // of an account that nobody has tried before, so that nobody is held up
}

var (
	ofNobody = guess{name: "unknown", email: func(*server) string { return unique("nobody") + "@example.com" }}
	ofDraft  = guess{name: "draft", email: func(s *server) string { return s.draft(domain.RoleUser).Email }}
	ofGone   = guess{name: "deleted", email: func(s *server) string {
		u := s.newUser(domain.RoleUser).user
		s.as(domain.RoleAdmin).delete("/users/" + u.ID.String()).wants(http.StatusNoContent)
		return u.Email
	}}
	ofActive = guess{name: "active", email: func(s *server) string { return s.newUser(domain.RoleUser).user.Email }}
)

// BenchmarkLogin_timing compares how long a refused login takes for those who have an account and those who have none. docs/security.md has
// the figures.
func BenchmarkLogin_timing(b *testing.B) {
	compare(b, "/auth/login", http.StatusUnauthorized, func(email string) j { return j{"email": email, "password": "Wr0ng" + goodPassword} }, ofNobody, ofDraft, ofGone, ofActive)
}

// BenchmarkForgot_timing does the same for a forgotten password.
func BenchmarkForgot_timing(b *testing.B) {
	compare(b, "/auth/forgot", http.StatusAccepted, func(email string) j { return j{"email": email} }, ofNobody, ofActive)
}

// compare makes one call of each kind in a round, in any order, on both engines: what disturbs the machine then disturbs all kinds alike. It reports the
// median of each kind in milliseconds, and by how many percent of the shortest they lie apart; first of the time that a caller sees, then of the
// time that this process spent on the cores, which is steadier on a busy machine but leaves out what Postgres does.
func compare(b *testing.B, path string, status int, call func(email string) j, guesses ...guess) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", storetest.SQLiteURL}, {"postgres", storetest.PostgresURL}} {
		b.Run(engine.name, func(b *testing.B) {
			s := newServer(b, storetest.Open(b, engine.url(b)))
			seen, spent := make([][]time.Duration, len(guesses)), make([][]time.Duration, len(guesses))
			for b.Loop() {
				bodies := make([]j, len(guesses))
				for i, g := range guesses {
					bodies[i] = call(g.email(s))
				}
				for _, i := range rand.Perm(len(guesses)) {
					began, before := time.Now(), work(b)
					a := s.anonymous().post(path, bodies[i])
					seen[i], spent[i] = append(seen[i], time.Since(began)), append(spent[i], work(b)-before)
					require.Equal(b, status, a.Status, a.Body)
				}
			}
			report(b, "", guesses, seen)
			report(b, "cpu-", guesses, spent)
			b.ReportMetric(0, "ns/op")
		})
	}
}

func report(b *testing.B, prefix string, guesses []guess, took [][]time.Duration) {
	var medians []float64
	for i, g := range guesses {
		slices.Sort(took[i])
		medians = append(medians, took[i][len(took[i])/2].Seconds()*1000)
		b.ReportMetric(medians[i], prefix+"ms/"+g.name)
	}
	b.ReportMetric(100*(slices.Max(medians)/slices.Min(medians)-1), prefix+"%/apart")
}

// work gives what this process has had of the cores so far.
func work(b *testing.B) time.Duration {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
