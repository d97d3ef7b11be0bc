package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/storetest"
)

// asProgram makes the test's own binary behave as the program, so that tests can start it as a process and kill it.
const asProgram = "INVENTORYHUB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const adminPassword = "correct horse battery"

// program is one api process in a folder of its own.
type program struct {
	t       testing.TB
	cmd     *exec.Cmd
	dir     string
	out     *output
	url     string
	stopped bool
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

func command(t testing.TB, dir string, args []string, settings ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...) //nolint:gosec // this test's own binary
	cmd.Dir = dir
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}, settings...)
	return cmd
}

// start runs the server in a folder until it says where it is.
func start(t testing.TB, dir string, settings ...string) *program {
	t.Helper()
	return startBinary(t, os.Args[0], dir, settings...)
}

// startBinary is start with a server that was built by itself.
func startBinary(t testing.TB, path, dir string, settings ...string) *program {
	t.Helper()
	p := &program{t: t, dir: dir, out: &output{}}
	p.cmd = command(t, dir, nil, append([]string{"HTTP_ADDR=127.0.0.1:0", "AUTH_RATE_LIMIT=0"}, settings...)...)
	p.cmd.Path = path
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	address := regexp.MustCompile(`answers at (http://\S+)\n.*\n.*\n.*\n`)
	require.Eventually(t, func() bool {
		found := address.FindStringSubmatch(p.out.String())
		if found == nil {
			return false
		}
		p.url = found[1]
		return true
	}, 20*time.Second, 5*time.Millisecond, "the server did not start: %s", p.out)
	return p
}

func (p *program) kill() {
	if !p.stopped {
		p.stopped = true
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// stop asks the server to end and gives its exit error.
func (p *program) stop() error {
	p.stopped = true
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	return p.cmd.Wait()
}

// send calls the API and gives status and body.
func (p *program) send(method, path, access string, body any) (int, string) {
	p.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(p.t, err)
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, bytes.NewReader(encoded))
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", "application/json")
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(p.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	return answer.StatusCode, string(text)
}

// login gives an access token.
func (p *program) login(email, password string) string {
	p.t.Helper()
	status, body := p.send(http.MethodPost, "/auth/login", "", map[string]string{"email": email, "password": password})
	require.Equal(p.t, http.StatusOK, status, body)
	var tokens struct{ AccessToken string }
	require.NoError(p.t, json.Unmarshal([]byte(body), &tokens))
	return tokens.AccessToken
}

func (p *program) invite(access, email string) {
	p.t.Helper()
	status, body := p.send(http.MethodPost, "/auth/invite", access, map[string]string{"email": email, "firstName": "Jane", "lastName": "Doe", "role": "User"})
	require.Equal(p.t, http.StatusCreated, status, body)
	require.Empty(p.t, body)
}

// mails gives the names of the mails that were written.
func (p *program) mails() []string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.dir, "data/mail/*.eml"))
	require.NoError(p.t, err)
	return found
}

// TestServe_firstStart looks at what a newcomer sees.
func TestServe_firstStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, "Inventory Hub answers at "+p.url, lines[0])
	said := regexp.MustCompile(`^Log in as admin@example\.com with the password (\S{22}) \(shown only now\)$`).FindStringSubmatch(lines[1])
	require.NotNil(t, said, lines[1])
	require.Equal(t, "Mails are written to the directory data/mail", lines[2])
	require.Equal(t, "Try it out at "+p.url+"/docs", lines[3])
	status, _ := p.send(http.MethodGet, "/docs", "", nil)
	require.Equal(t, http.StatusOK, status)
	p.login("admin@example.com", said[1])
	for _, file := range []string{"data/inventoryhub.db", "data/jwt.secret"} {
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	require.NoError(t, p.stop())

	again := start(t, dir)
	require.NotContains(t, again.out.String(), "password")
	again.login("admin@example.com", said[1]) // the same database and secret
}

// TestServe_warnings starts a server that others may rely on, with what suffices for trying it out.
func TestServe_warnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte("MAIL_PROVIDR=smtp\n"), 0o600))
	p := start(t, dir, "DATABASE_URL="+storetest.EmptyPostgresURL(t), "JWT_SECRET="+strings.Repeat("k", 32))
	require.Eventually(t, func() bool { return strings.Count(p.out.String(), `"level":"WARN"`) == 3 }, 15*time.Second, 10*time.Millisecond, p.out)
	for _, told := range []string{"MAIL_PROVIDR", "MAIL_PROVIDER is file", "APP_URL is an address of this machine"} {
		require.Equal(t, 1, strings.Count(p.out.String(), told), p.out.String())
	}
}

// TestServe_killedAfterInvite cuts the process off right after the answer. What was accepted is mailed by the next one.
func TestServe_killedAfterInvite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, "ADMIN_PASSWORD="+adminPassword)
	access := p.login("admin@example.com", adminPassword)
	const rounds = 5
	for i := range rounds {
		p.invite(access, fmt.Sprintf("jane%d@example.com", i))
		p.kill()
		p = start(t, dir)
		require.Eventually(t, func() bool { return len(p.mails()) == i+1 }, 15*time.Second, 10*time.Millisecond, p.out)
	}
}

// TestServe_secondServer: an SQLite database has one server, and commands beside it. Whoever comes after one that was killed does not wait for it.
func TestServe_secondServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, "ADMIN_PASSWORD="+adminPassword)
	for _, settings := range [][]string{nil, {"DATABASE_URL=sqlite://" + dir + "/data/../data/inventoryhub.db"}} {
		cmd := command(t, dir, []string{"serve"}, append(settings, "HTTP_ADDR=127.0.0.1:0")...)
		said, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 1, exit.ExitCode())
		require.Regexp(t, `^api: another server is at work on the database \S+inventoryhub\.db, and an SQLite database takes one only\n$`, string(said))
	}
	require.NoError(t, command(t, dir, []string{"audit", "verify"}).Run())
	p.login("admin@example.com", adminPassword)
	require.NoError(t, p.cmd.Process.Kill()) // nobody has waited for its end when the next one starts
	start(t, dir).login("admin@example.com", adminPassword)
}

// TestServe_wrongSettings shows that each stops the start with one line that names it.
func TestServe_wrongSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ setting, names string }{
		{"HTTP_ADDR=nonsense", "HTTP_ADDR"},
		{"HTTP_ADDR=256.0.0.1:1", "HTTP_ADDR"},
		{"DATABASE_URL=mysql://root:secret@localhost/x", "DATABASE_URL"},
		{"DATABASE_URL=postgres://u:secret@127.0.0.1:1/x", "JWT_SECRET"},
		{"JWT_SECRET=short", "JWT_SECRET"},
		{"SESSION_TTL=secret", "SESSION_TTL"},
		{"AUTH_RATE_LIMIT=secret", "AUTH_RATE_LIMIT"},
		{"MAIL_PROVIDER=smtp", "SMTP_URL"},
		{"MAIL_PROVIDER=pigeon", "MAIL_PROVIDER"},
		{"ADMIN_PASSWORD=short", "ADMIN_PASSWORD"},
		{"ADMIN_EMAIL=nobody", "ADMIN_EMAIL"},
		{"IMAGES_URL=ftp://u:secret@host", "IMAGES_URL"},
		{"LOG_LEVEL=loud", "LOG_LEVEL"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, t.TempDir(), nil, "HTTP_ADDR=127.0.0.1:0", c.setting)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.Empty(t, stdout.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.Contains(t, stderr.String(), c.names)
			require.NotContains(t, stderr.String(), "secret")
		})
	}
}

// TestOperator leads out of the dead ends: no Admin, a lost password, a stolen Admin. The server runs meanwhile.
func TestOperator(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		dir := t.TempDir()
		settings := []string{"DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("k", 32)}
		p := start(t, dir, append(settings, "ADMIN_PASSWORD="+adminPassword)...)
		stolen := p.login("admin@example.com", adminPassword)
		operate := func(args ...string) (string, error) {
			said, err := command(t, dir, args, settings...).CombinedOutput()
			return string(said), err
		}

		said, err := operate("users", "remove", "admin@example.com")
		require.NoError(t, err, said)
		require.Equal(t, "The user admin@example.com was removed.\n", said)
		status, _ := p.send(http.MethodGet, "/users/me", stolen, nil)
		require.Equal(t, http.StatusUnauthorized, status)

		said, err = operate("admin", "create", "boss@example.com")
		require.NoError(t, err, said)
		first := regexp.MustCompile(`The password is (\S+) and`).FindStringSubmatch(said)
		require.NotNil(t, first, said)
		access := p.login("boss@example.com", first[1])

		said, err = operate("admin", "reset-password", "boss@example.com")
		require.NoError(t, err, said)
		second := regexp.MustCompile(`The password is (\S+) and`).FindStringSubmatch(said)
		require.NotNil(t, second, said)
		status, _ = p.send(http.MethodGet, "/users/me", access, nil)
		require.Equal(t, http.StatusUnauthorized, status)
		access = p.login("boss@example.com", second[1])

		said, err = operate("users", "reset-2fa", "boss@example.com")
		require.NoError(t, err, said)
		require.Equal(t, "The user boss@example.com has no second factor any more, and all their sessions have ended.\n", said)
		status, _ = p.send(http.MethodGet, "/users/me", access, nil)
		require.Equal(t, http.StatusUnauthorized, status)
		p.login("boss@example.com", second[1])

		for _, wrong := range [][]string{
			{"users", "remove", "nobody@example.com"}, {"users", "reset-2fa", "nobody@example.com"}, {"admin", "reset-password", "nobody@example.com"}, {"admin", "create", "boss@example.com"},
			{"admin", "create", "not an address"}, {"admin", "create"}, {"nonsense"},
		} {
			said, err := operate(wrong...)
			require.Error(t, err, said)
			require.Equal(t, 1, strings.Count(said, "\n"), said)
		}
	})
}

// TestServe_optionsOfTheServer: the one request that is about no path is answered like any other.
func TestServe_optionsOfTheServer(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	said, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(said), "HTTP/1.1 404 ")
	require.Contains(t, string(said), "X-Request-Id: ")
	require.Contains(t, string(said), `{"errors":{"request":[`)
}

// TestServe_stop ends a server in the middle of a request: it takes no more, and says so, but answers that one.
func TestServe_stop(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	p := start(t, t.TempDir(), "ADMIN_PASSWORD="+adminPassword, "METRICS_ADDR="+address)
	access := p.login("admin@example.com", adminPassword)
	readiness := func() int {
		answer, err := http.Get("http://" + address + "/readyz")
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(t, http.StatusOK, readiness())
	finish := p.halfAsked(access)

	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return readiness() == http.StatusServiceUnavailable }, 15*time.Second, 10*time.Millisecond)
	p.takesNoMore()
	require.Contains(t, finish(), "HTTP/1.1 201 Created")
	p.stopped = true
	require.NoError(t, p.cmd.Wait())
}

// halfAsked sends a request but for its body, and waits until the server is at work on it. What it gives sends the body and reads the answer.
func (p *program) halfAsked(access string) (finish func() string) {
	p.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	const body = `{"name": "Tools"}`
	_, err = fmt.Fprintf(conn, "POST /products/categories HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", access, len(body))
	require.NoError(p.t, err)
	said := bufio.NewReader(conn)
	line, err := said.ReadString('\n')
	require.NoError(p.t, err)
	require.Contains(p.t, line, "100 Continue")
	return func() string {
		_, err := io.WriteString(conn, body)
		require.NoError(p.t, err)
		rest, err := io.ReadAll(said)
		require.NoError(p.t, err)
		return string(rest)
	}
}

// takesNoMore waits until the server refuses connections.
func (p *program) takesNoMore() {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		conn, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 15*time.Second, 10*time.Millisecond)
}

// TestServe_stopAtOnce asks a second time, while a request is under way.
func TestServe_stopAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "ADMIN_PASSWORD="+adminPassword)
	p.halfAsked(p.login("admin@example.com", adminPassword))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.takesNoMore()
	p.stopped = true
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	var err error
	require.Eventually(t, func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // one right behind the first may be taken for the same
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	}, 10*time.Second, 10*time.Millisecond, "it waits for the request")
	require.EqualError(t, err, "signal: terminated")
}

// TestServe_terminalGone ends with its terminal, in order.
func TestServe_terminalGone(t *testing.T) {
	t.Parallel()
	heard := make(chan os.Signal, 1) // by this process: otherwise the program would inherit that it is ignored when the tests themselves run under nohup
	signal.Notify(heard, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(heard) })
	p := start(t, t.TempDir())
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.stopped = true
	require.NoError(t, p.cmd.Wait())
}

// TestHealthcheck asks a server that runs, and none.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	addr := "HTTP_ADDR=" + strings.TrimPrefix(p.url, "http://")
	require.NoError(t, command(t, p.dir, []string{"healthcheck"}, addr).Run())
	require.NoError(t, p.stop())
	require.Error(t, command(t, p.dir, []string{"healthcheck"}, addr).Run())
}

// TestServe_twoInstances starts two at once on one empty Postgres: one schema, one Admin, and each honours the other's sessions.
func TestServe_twoInstances(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyPostgresURL(t)
	settings := []string{"DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("k", 32), "ADMIN_PASSWORD=" + adminPassword}
	programs := make([]*program, 2)
	var together sync.WaitGroup
	for i := range programs {
		together.Go(func() { programs[i] = start(t, t.TempDir(), settings...) })
	}
	together.Wait()
	access := programs[0].login("admin@example.com", adminPassword)
	status, body := programs[1].send(http.MethodGet, "/users", access, nil)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"totalItems":1`)
	status, _ = programs[1].send(http.MethodPost, "/auth/logout", access, nil)
	require.Equal(t, http.StatusNoContent, status)
	status, _ = programs[0].send(http.MethodGet, "/users/me", access, nil)
	require.Equal(t, http.StatusUnauthorized, status)
}
