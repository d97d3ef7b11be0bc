package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/password"
	"inventoryhub/internal/storetest"
)

// maxMemory is what the server may take at its peak, in bytes, however many log in at once.
const maxMemory = 300_000_000

// TestLogin_parallel has more log in at once than the server can hash passwords for. It must neither take the memory for all of them nor leave anybody
// without an answer.
func TestLogin_parallel(t *testing.T) {
	got := logInAtOnce(t, 200)
	require.Less(t, got.memory, maxMemory)
	require.Positive(t, got.in)
}

// BenchmarkLogin_parallel reports what 500 logins at once do to the server. docs/security.md has the figures.
func BenchmarkLogin_parallel(b *testing.B) {
	for b.Loop() {
		got := logInAtOnce(b, 500)
		b.ReportMetric(float64(got.memory)/(1<<20), "MiB")
		b.ReportMetric(float64(got.in), "in")
		b.ReportMetric(float64(got.later), "told-to-come-back")
		b.ReportMetric(got.took.Seconds(), "s/all")
		b.ReportMetric(got.work.Seconds(), "s/cpu")
		b.ReportMetric(got.starved.Seconds(), "s/cpu-awaited")
		for name, pings := range map[string][]time.Duration{"idle": got.idle, "busy": got.pings} {
			b.ReportMetric(pings[len(pings)/2].Seconds()*1000, "ms/"+name+"-ping-p50")
			b.ReportMetric(pings[len(pings)*99/100].Seconds()*1000, "ms/"+name+"-ping-p99")
			b.ReportMetric(pings[len(pings)-1].Seconds()*1000, "ms/"+name+"-ping-max")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// rush is what came of many logins at the same moment.
type rush struct {
	memory    int             // bytes, the peak of what the process had in memory (VmHWM in proc(5))
	in, later int             // how many were logged in, and how many got a 503 with Retry-After
	took      time.Duration   // until the last answer
	work      time.Duration   // how long the server's threads had a core
	starved   time.Duration   // how long they were ready but had none; much, when others are at work on the machine
	idle      []time.Duration // how long /healthz took in the two seconds before; the longest is last
	pings     []time.Duration // and how long meanwhile
}

// logInAtOnce starts the server as it is shipped, on a database with so many users, and has them all log in at the same moment.
func logInAtOnce(t testing.TB, users int) (got rush) {
	t.Helper()
	database := storetest.SQLiteURL(t)
	emails := addUsers(t, database, users)
	p := startBinary(t, shipped(t), t.TempDir(), "DATABASE_URL="+database, "ADMIN_PASSWORD="+adminPassword, "LOG_FORMAT=json")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConns: 1}}
	defer client.CloseIdleConnections()

	idle := ping(t, client, p.url)
	time.Sleep(2 * time.Second)
	got.idle = idle()

	var mu sync.Mutex
	var logins sync.WaitGroup
	ready := make(chan struct{})
	for _, email := range emails {
		logins.Go(func() {
			body, err := json.Marshal(map[string]string{"email": email, "password": adminPassword})
			assert.NoError(t, err)
			<-ready
			status, header, err := ask(client, http.MethodPost, p.url+"/auth/login", body)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case !assert.NoError(t, err):
			case status == http.StatusOK:
				got.in++
			case status == http.StatusServiceUnavailable && header.Get("Retry-After") != "":
				got.later++
			default:
				assert.Fail(t, "neither logged in nor told when to come back", "%d %v", status, header)
			}
		})
	}
	busy, began := ping(t, client, p.url), time.Now()
	close(ready)
	logins.Wait()
	got.took, got.pings = time.Since(began), busy()
	require.Equal(t, users, got.in+got.later, "some got no answer: %s", p.out)
	got.memory = p.peakMemory()
	got.work, got.starved = p.cores()
	return got
}

// ping asks /healthz every 20 ms, however long the one before takes, until it is told to stop. It gives how long each answer took, the longest last.
func ping(t testing.TB, client *http.Client, url string) (stop func() []time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var took []time.Duration
	over := make(chan struct{})
	all.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			all.Go(func() {
				began := time.Now()
				status, _, err := ask(client, http.MethodGet, url+"/healthz", nil)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(began))
				assert.NoError(t, err)
				assert.Equal(t, http.StatusOK, status)
			})
			select {
			case <-over:
				return
			case <-tick.C:
			}
		}
	})
	return func() []time.Duration {
		close(over)
		all.Wait()
		slices.Sort(took)
		return took
	}
}

// ask sends one request and reads the answer.
func ask(client *http.Client, method, url string, body []byte) (int, http.Header, error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header, err
}

// addUsers makes active users whose password is adminPassword, and gives their emails. Hashing is dear, so they share one hash.
func addUsers(t testing.TB, database string, n int) (emails []string) {
	t.Helper()
	store := storetest.Open(t, database)
	defer func() { require.NoError(t, store.Close()) }()
	hash, err := password.NewHasher().Hash(t.Context(), adminPassword)
	require.NoError(t, err)
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i := range n {
		name := fmt.Sprintf("jane%d", i)
		u := domain.NewDraft(name+"@example.com", "Jane", "Doe", domain.RoleUser, now)
		u.Activate(name, hash, now)
		require.NoError(t, store.Users.Create(t.Context(), u))
		emails = append(emails, u.Email)
	}
	return emails
}

// shipped builds the server as it is shipped, whatever flags the tests themselves are built with: the race detector takes memory of its own.
func shipped(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api")
	compile := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "inventoryhub/cmd/api")
	compile.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	said, err := compile.CombinedOutput()
	require.NoError(t, err, string(said))
	return path
}

// peakMemory gives the most memory that the process has held so far, in bytes.
func (p *program) peakMemory() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(p.t, found, string(status))
	kib, err := strconv.Atoi(string(found[1]))
	require.NoError(p.t, err)
	return kib << 10
}

// cores gives how long the threads of the process have had a core so far, and how long they have waited for one (schedstat in the kernel's
// Documentation/scheduler/sched-stats.rst).
func (p *program) cores() (had, waited time.Duration) {
	p.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	require.NotEmpty(p.t, threads)
	for _, thread := range threads {
		text, err := os.ReadFile(thread) //nolint:gosec // the kernel's
		require.NoError(p.t, err)
		var on, off int64
		_, err = fmt.Sscan(string(text), &on, &off)
		require.NoError(p.t, err)
		had, waited = had+time.Duration(on), waited+time.Duration(off)
	}
	return had, waited
}
