package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test's own binary behave as the program, so that tests can start it as a process and kill it.
const asProgram = "INVENTORYHUB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // these tests wait, for servers and for timeouts, far more than they compute
	code := m.Run()
	for _, stop := range shared.stops {
		stop()
	}
	os.Exit(code)
}

// shared is what all tests share, until the end.
var shared struct {
	mu    sync.Mutex
	stops []func()
}

func atTheEnd(stop func()) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.stops = append(shared.stops, stop)
}

// patience is how long a test waits for what should happen soon.
const patience = 90 * time.Second

// eventually waits for what should happen soon.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	require.Eventually(t, happened, patience, 10*time.Millisecond, what)
}

// apiBinary builds the server. It inherits the flags of the test run, so that what it consists of is compiled already.
var apiBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		return "", err
	}
	atTheEnd(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "api")
	said, err := exec.Command("go", "build", "-o", path, "inventoryhub/cmd/api").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, said)
	}
	return path, nil
})

// program is a running api or email worker, in a folder of its own.
type program struct {
	t       *testing.T
	name    string
	cmd     *exec.Cmd
	out     *output
	stopped bool // on purpose
	ended   chan struct{}
	url     string // of the api
}

// output is what a process printed so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// environment is all that a program is to know of.
func environment(settings []string) []string {
	return append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}, settings...)
}

// operate runs the email worker as an operator's command and gives what it printed.
func operate(t *testing.T, settings []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...) //nolint:gosec // this test's own binary
	cmd.Dir, cmd.Env = t.TempDir(), environment(settings)
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// startProgram starts a process that lives until it is stopped or the test ends, and that never misbehaves in between.
func startProgram(t *testing.T, name, path string, settings []string) *program {
	t.Helper()
	p := &program{t: t, name: name, out: &output{}, cmd: exec.Command(path), ended: make(chan struct{})} //nolint:gosec // our own binaries
	p.cmd.Dir, p.cmd.Env = t.TempDir(), environment(settings)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // its result stays in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		if !p.stopped {
			assert.False(t, p.hasEnded(), "the %s ended by itself", name)
		}
		p.kill()
		assert.NotRegexp(t, `DATA RACE|panic`, p.out.String())
		if t.Failed() {
			said := p.out.String()
			t.Logf("the %s %d said: %s", name, p.cmd.Process.Pid, said[max(0, len(said)-8000):])
		}
	})
	return p
}

// startAPI runs the server until it says where it is.
func startAPI(t *testing.T, settings []string) *program {
	t.Helper()
	path, err := apiBinary()
	require.NoError(t, err)
	p := startProgram(t, "api", path, append([]string{"HTTP_ADDR=127.0.0.1:0"}, settings...))
	p.url = p.says(`answers at (http://\S+)\n`)
	return p
}

// startWorker runs the email worker until it has its database. It may not have reached the broker yet.
func startWorker(t *testing.T, settings []string) *program {
	t.Helper()
	p := startProgram(t, "worker", os.Args[0], settings)
	p.says(`(mails what comes)`)
	return p
}

// says waits for a new process to print something and gives the part in parentheses.
func (p *program) says(pattern string) string {
	p.t.Helper()
	var found []string
	eventually(p.t, "the "+p.name+" did not start", func() bool {
		found = regexp.MustCompile(pattern).FindStringSubmatch(p.out.String())
		return found != nil || p.hasEnded()
	})
	require.NotNil(p.t, found, p.out)
	return found[1]
}

func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// kill ends the process as a crash would.
func (p *program) kill() {
	p.stopped = true
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop asks the process to end, and it must do so in order.
func (p *program) stop() {
	p.t.Helper()
	p.stopped = true
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the "+p.name+" does not stop")
	}
	require.Zero(p.t, p.cmd.ProcessState.ExitCode(), p.out)
}
