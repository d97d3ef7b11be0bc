package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/buckettest"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// picture is the smallest PNG.
const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

// shop is what a test put into a server, as far as it has to be found again.
type shop struct {
	product  string
	orders   map[string]string // by state
	key      string
	recovery []string
}

// fill gives the server users, products with pictures, an order in every state, a second factor and an API key.
func (o *truth) fill() shop {
	o.t.Helper()
	o.invite(o.access, "jane@example.com")
	o.ask(http.StatusCreated, http.MethodPost, "/products/categories", map[string]any{"name": "Electronics"})
	s := shop{orders: map[string]string{}}
	for i := range 3 {
		body := map[string]any{"name": fmt.Sprintf("iPhone %d", i), "category": "Electronics", "quantity": 1000, "image": picture}
		s.product = o.ask(http.StatusCreated, http.MethodPost, "/products", body)["id"].(string)
	}
	for _, path := range [][]string{{"Draft"}, {"Pending"}, {"Pending", "Ready"}, {"Pending", "Ready", "Completed"}, {"Pending", "Ready", "Cancelled"}} {
		s.orders[path[len(path)-1]] = o.order(s.product, path)
	}
	s.key = o.ask(http.StatusCreated, http.MethodPost, "/users/me/keys", map[string]any{"name": "robot", "scope": "write", "currentPassword": adminPassword})["key"].(string)
	secret := o.ask(http.StatusCreated, http.MethodPost, "/auth/2fa", map[string]any{"currentPassword": adminPassword})["secret"].(string)
	code, err := totp.GenerateCode(secret, time.Now())
	require.NoError(o.t, err)
	for _, c := range o.ask(http.StatusOK, http.MethodPost, "/auth/2fa/confirm", map[string]any{"code": code})["recoveryCodes"].([]any) {
		s.recovery = append(s.recovery, c.(string))
	}
	return s
}

// order takes an order through the states.
func (o *truth) order(product string, states []string) string {
	o.t.Helper()
	id := o.ask(http.StatusCreated, http.MethodPost, "/products/orders",
		map[string]any{"itemId": product, "client": "John", "description": "", "quantity": 2, "initialState": states[0]})["id"].(string)
	for _, state := range states[1:] {
		o.ask(http.StatusOK, http.MethodPatch, "/products/orders/state/"+id, map[string]any{"transition": state})
	}
	return id
}

// work has several clients change everything until they are told to stop, and gives how much they did.
func (o *truth) work(product string) (stop func() int64) {
	var done atomic.Int64
	var all sync.WaitGroup
	end := make(chan struct{})
	send := func(method, path string, body, into any) {
		encoded, _ := json.Marshal(body)
		r, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, bytes.NewReader(encoded))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+o.access)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode < 300 {
			done.Add(1)
		}
		_ = json.NewDecoder(answer.Body).Decode(into)
	}
	for i := range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				var made struct{ ID string }
				var ignored any
				send(http.MethodPost, "/products/orders", map[string]any{"itemId": product, "client": "John", "description": "", "quantity": 1}, &made)
				send(http.MethodPatch, "/products/orders/state/"+made.ID, map[string]any{"transition": "Ready"}, &ignored)
				send(http.MethodPatch, "/products/orders/state/"+made.ID, map[string]any{"transition": "Cancelled"}, &ignored)
				send(http.MethodPatch, "/products/quantity/"+product, map[string]any{"delta": 1}, &ignored)
				if i == 0 && n%5 == 0 { // products whose pictures come and go
					send(http.MethodPost, "/products", map[string]any{"name": "Fleeting", "category": "Electronics", "quantity": 1, "image": picture}, &made)
					send(http.MethodDelete, "/products/"+made.ID, nil, &ignored)
				}
			}
		})
	}
	return func() int64 {
		close(end)
		all.Wait()
		return done.Load()
	}
}

// rows gives what a backup of the database would hold, but for the audit log, which tells of the restore.
func rows(t *testing.T, url string) map[string]string {
	t.Helper()
	s, err := repository.OpenSnapshot(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	all := map[string]string{}
	for _, table := range s.Tables() {
		var out strings.Builder
		_, err := s.Dump(t.Context(), table, &out)
		require.NoError(t, err)
		all[table] = out.String()
	}
	delete(all, "audit_head")
	delete(all, "audit_log")
	return all
}

// restored is a server on what was restored from an archive, on a database of its own.
func (o *truth) restored(t *testing.T, url, archive string, settings ...string) *truth {
	t.Helper()
	to := &truth{t: t, database: url, program: &program{t: t, dir: t.TempDir()}, settings: append(settings, "DATABASE_URL="+url, "JWT_SECRET="+strings.Repeat("k", 32))}
	status, stdout, stderr := to.operate("restore", archive)
	require.Equal(t, 0, status, stderr)
	require.Regexp(t, `^Restored \d+ tables with \d+ rows, and \d+ pictures, as they were at \S+Z\nEverybody has to log in again\n`, stdout)
	for _, check := range [][]string{{"stock", "reconcile"}, {"audit", "verify"}} {
		status, _, stderr := to.operate(check...)
		require.Equal(t, 0, status, stderr)
	}
	return to
}

// open starts the server and logs in with a recovery code, as the second factor demands.
func (o *truth) open(code string) {
	o.t.Helper()
	o.program = start(o.t, o.dir, o.settings...)
	status, body := o.send(http.MethodPost, "/auth/login", "", map[string]string{"email": "admin@example.com", "password": adminPassword})
	require.Equal(o.t, http.StatusUnauthorized, status, body)
	status, body = o.send(http.MethodPost, "/auth/login", "", map[string]string{"email": "admin@example.com", "password": adminPassword, "code": code})
	require.Equal(o.t, http.StatusOK, status, body)
	var tokens struct{ AccessToken string }
	require.NoError(o.t, json.Unmarshal([]byte(body), &tokens))
	o.access = tokens.AccessToken
}

// TestBackup is the drill: a backup of a server at work and one of a server at rest, each restored into either engine, the pictures into S3.
func TestBackup(t *testing.T) {
	eachTruth(t, func(t *testing.T, o *truth) {
		s := o.fill()
		require.Eventually(t, func() bool { return len(o.mails()) == 1 }, 15*time.Second, 10*time.Millisecond)
		before := o.access

		stop := o.work(s.product)
		busy := filepath.Join(t.TempDir(), "busy.tar.gz")
		for range 3 { // the last one counts
			status, stdout, stderr := o.operate("backup", busy)
			require.Equal(t, 0, status, stderr)
			require.Regexp(t, `^Backed up \d+ tables with \d+ rows, and \d+ pictures\n$`, stdout)
		}
		require.Greater(t, stop(), int64(20), "nobody worked meanwhile")
		info, err := os.Stat(busy)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		left, err := os.ReadDir(filepath.Dir(busy))
		require.NoError(t, err)
		require.Len(t, left, 1)

		rest := filepath.Join(t.TempDir(), "rest.tar.gz")
		status, _, stderr := o.operate("backup", rest)
		require.Equal(t, []any{0, ""}, []any{status, stderr})
		status, _, stderr = o.operate("backup", filepath.Join(t.TempDir(), "missing/new.tar.gz"))
		require.Equal(t, 1, status)
		require.Regexp(t, `^api: write .*: no such file or directory\n$`, stderr)
		want := rows(t, o.database)

		storetest.EachURL(t, func(t *testing.T, url string) {
			o.restored(t, url, busy)
		})
		storetest.EachURL(t, func(t *testing.T, url string) {
			s3, s3URL := buckettest.S3(t)
			to := o.restored(t, url, rest, "IMAGES_URL="+s3URL)
			for table, got := range rows(t, url) {
				require.True(t, want[table] == got, "the rows of %s differ", table) // they are too many to be shown
			}
			wayOut := "Name a new one in DATABASE_URL"
			if strings.HasPrefix(url, "sqlite://") {
				wayOut += ", or stop the server and move the file away, with those of its name that end in -wal and -shm"
			}
			to.fails("The database is not empty, and only an empty one can be filled: a server has started on it before, or it was filled. "+wayOut, "", "restore", rest)
			to.open(s.recovery[0])
			status, _ := to.send(http.MethodGet, "/users/me", before, nil)
			require.Equal(t, http.StatusUnauthorized, status, "an old session came back to life")
			status, _ = to.send(http.MethodGet, "/products", s.key, nil)
			require.Equal(t, http.StatusOK, status, "the API key is gone")
			for state, id := range s.orders {
				require.Equal(t, state, to.ask(http.StatusOK, http.MethodGet, "/products/orders/"+id, nil)["state"])
			}
			history := to.ask(http.StatusOK, http.MethodGet, "/products/orders/"+s.orders["Cancelled"]+"/history", nil)
			require.Len(t, history["history"], 3)
			image := to.ask(http.StatusOK, http.MethodGet, "/products/"+s.product, nil)["imageUrl"].(string)
			status, body := to.send(http.MethodGet, "/images/"+image, "", nil)
			require.Equal(t, http.StatusOK, status)
			require.True(t, strings.HasPrefix(body, "\x89PNG"))
			require.Contains(t, s3.Names(), image)
			to.order(s.product, []string{"Pending", "Ready", "Completed"}) // the work goes on
		})
	})
}

// TestBackup_waitingMail restores a backup in which a mail still waits: it is only sent if the operator says so.
func TestBackup_waitingMail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options []string
		said    string
		mails   int
	}{
		{nil, "1 mails that waited were dropped, and what they would have opened is void: invite those people again\n", 0},
		{[]string{"--resend-pending"}, "Everybody has to log in again\n", 1},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			t.Parallel()
			from := &truth{t: t, settings: []string{"JWT_SECRET=" + strings.Repeat("k", 32), "MAIL_PROVIDER=smtp", "SMTP_URL=smtp://127.0.0.1:1", "ADMIN_PASSWORD=" + adminPassword}}
			from.program = start(t, t.TempDir(), from.settings...)
			from.access = from.login("admin@example.com", adminPassword)
			from.invite(from.access, "jane@example.com")
			archive := filepath.Join(t.TempDir(), "backup.tar.gz")
			status, _, stderr := from.operate("backup", archive)
			require.Equal(t, []any{0, ""}, []any{status, stderr})

			to := &truth{t: t, program: &program{t: t, dir: t.TempDir()}, settings: []string{"JWT_SECRET=" + strings.Repeat("k", 32)}}
			status, stdout, stderr := to.operate(append([]string{"restore", archive}, c.options...)...)
			require.Equal(t, []any{0, ""}, []any{status, stderr})
			require.True(t, strings.HasSuffix(stdout, c.said), stdout)
			to.program = start(t, to.dir, to.settings...)
			to.access = to.login("admin@example.com", adminPassword)
			require.Eventually(t, func() bool { return len(to.mails()) == c.mails }, 15*time.Second, 10*time.Millisecond)
			to.invite(to.access, "john@example.com") // which goes out after whatever waited
			require.Eventually(t, func() bool { return len(to.mails()) > c.mails }, 15*time.Second, 10*time.Millisecond)
			require.Len(t, to.mails(), c.mails+1)
			to.invite(to.access, "jane@example.com")
			require.Eventually(t, func() bool { return len(to.mails()) == c.mails+2 }, 15*time.Second, 10*time.Millisecond)
		})
	}
}

// TestBackup_pipe goes through stdout and stdin, with nothing but the archive in them.
func TestBackup_pipe(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "ADMIN_PASSWORD="+adminPassword)
	var archive, stderr strings.Builder
	cmd := command(t, p.dir, []string{"backup", "-"})
	cmd.Stdout, cmd.Stderr = &archive, &stderr
	require.NoError(t, cmd.Run())
	require.Regexp(t, `^Backed up .*\n$`, stderr.String())
	dir := t.TempDir()
	cmd = command(t, dir, []string{"restore", "-"})
	cmd.Stdin = strings.NewReader(archive.String())
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	require.NoError(t, p.stop())
	start(t, dir).login("admin@example.com", adminPassword)
}

// TestBackup_fails with one line, and leaves nothing behind but what was there.
func TestBackup_fails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := filepath.Join(dir, "old.tar.gz")
	require.NoError(t, os.WriteFile(old, []byte("an older backup"), 0o600))
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"backup", old}, 1, "api: there is no database at data/inventoryhub.db (DATABASE_URL): run this in the server's folder\n"},
		{[]string{"backup"}, 2, "api: backup needs a FILE; see api backup --help\n"},
		{[]string{"backup", "a", "b"}, 2, `api: "b" is one word too many for backup; see api backup --help`},
		{[]string{"restore"}, 2, "api: restore needs a FILE; see api restore --help\n"},
		{[]string{"restore", filepath.Join(dir, "missing.tar.gz")}, 1, "no such file"},
		{[]string{"restore", old}, 1, "This is not a backup of Inventory Hub"},
		{[]string{"restore", old, "--nonsense"}, 2, "unknown flag: --nonsense; see api restore --help"},
	} {
		cmd := command(t, t.TempDir(), c.args)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Run(), &exit)
		require.Equal(t, c.status, exit.ExitCode(), stderr.String())
		require.Empty(t, stdout.String())
		require.Contains(t, stderr.String(), c.says)
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
		require.NoFileExists(t, filepath.Join(cmd.Dir, "data/inventoryhub.db"))
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	kept, err := os.ReadFile(old)
	require.NoError(t, err)
	require.Equal(t, "an older backup", string(kept))
}
