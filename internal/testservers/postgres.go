package testservers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a private PostgreSQL server with fresh data.
type Postgres struct {
	dir      string
	programs string              // the folder with initdb and postgres
	account  *syscall.Credential // nil: that of this process
	port     int
	password string // keeps other users of the machine out, who could run programs through the server
	settings []string
	process  *process
}

// StartPostgres makes a cluster in the folder dir, an absolute path that must exist and be empty, and starts a server
// on it. It returns when the server answers, after one or two seconds; the caller must Stop it and may then remove the
// folder. It returns an error when PostgreSQL is not on the machine.
//
// PostgreSQL refuses to run as root. For root, the server therefore runs as the user nobody, who gets the folder:
// it must lie where nobody can reach it, such as below /tmp, and t.TempDir() will do.
//
// Each of the settings, such as "fsync=on", goes before what tests are content with.
func StartPostgres(dir string, settings ...string) (*Postgres, error) {
	p := &Postgres{dir: dir, password: rand.Text(), settings: settings}
	var err error
	if p.programs, err = findPostgres(); err != nil {
		return nil, err
	}
	if p.port, err = freePort(); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if p.account, err = giveToNobody(dir); err != nil {
			return nil, err
		}
	}
	if err := p.initialize(); err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// StartReplica makes a copy of the server in the folder dir, which must be as for [StartPostgres], and starts a server on it that follows this one
// and can be read. It returns when the server answers; the caller must Stop it before this one.
func (p *Postgres) StartReplica(dir string) (*Postgres, error) {
	r := &Postgres{dir: dir, programs: p.programs, password: p.password}
	var err error
	if r.port, err = freePort(); err != nil {
		return nil, err
	}
	if p.account != nil {
		if r.account, err = giveToNobody(dir); err != nil {
			return nil, err
		}
	}
	cmd := r.command("pg_basebackup", "-D", "data", "-R", "-c", "fast", "--no-sync", "-d", p.URL())
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	if err := r.Start(); err != nil {
		return nil, err
	}
	return r, nil
}

// URL is the address of the database "postgres", for its superuser. It stays the same when the server starts again.
func (p *Postgres) URL() string { return postgresURL(p.port, p.password) }

// PID is the id of the server's main process, whose children serve the connections.
func (p *Postgres) PID() int { return p.process.cmd.Process.Pid }

// Start starts the server again after Stop or Kill, with the data and the port that it had, and returns when it
// answers.
func (p *Postgres) Start() error {
	// No socket files: their paths must be short, and those of test folders are not. Shared memory in files, so that
	// a killed server leaves none elsewhere. No fsync: data must outlive a crash of the server, not of the machine.
	cmd := p.command("postgres", "-D", "data", "-h", loopback, "-p", strconv.Itoa(p.port),
		"-c", "unix_socket_directories=", "-c", "max_connections=300", "-c", "timezone=UTC",
		"-c", "dynamic_shared_memory_type=mmap", "-c", "fsync=off", "-c", "full_page_writes=off")
	for _, setting := range p.settings {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	process, err := startProcess(cmd, filepath.Join(p.dir, "postgres.log"), syscall.SIGQUIT)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	p.process = process
	ping := func(ctx context.Context) error { return pingPostgres(ctx, p.URL()) }
	if err := process.waitReady(time.Minute, ping); err != nil {
		process.kill()
		return err
	}
	return nil
}

// Stop shuts the server down: it cuts the connections and keeps the data.
func (p *Postgres) Stop() {
	p.Resume()
	p.process.stop(syscall.SIGINT, 30*time.Second)
}

// Kill ends the server at once, as a crash would. What was committed is there after Start.
func (p *Postgres) Kill() { p.process.kill() }

// Pause makes the server hang: connections stay open, new ones are taken, and nothing is answered until Resume.
func (p *Postgres) Pause() { p.process.signalAll(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (p *Postgres) Resume() { p.process.signalAll(syscall.SIGCONT) }

// Hold keeps a replica from taking over what its primary has changed, until Follow. When it returns, nothing more is taken over.
func (p *Postgres) Hold(ctx context.Context) error {
	return p.ask(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT pg_wal_replay_pause()"); err != nil {
			return err
		}
		for { // it is only asked to pause, and may be in the middle of a change
			var state string
			if err := conn.QueryRow(ctx, "SELECT pg_get_wal_replay_pause_state()").Scan(&state); err != nil || state == "paused" {
				return err
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Follow has a replica that was held take over what its primary has changed meanwhile, and from then on.
func (p *Postgres) Follow(ctx context.Context) error {
	return p.ask(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_wal_replay_resume()")
		return err
	})
}

// ask connects to the server for what the question has to do with it.
func (p *Postgres) ask(ctx context.Context, question func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return err
	}
	return errors.Join(question(conn), conn.Close(ctx))
}

// initialize makes the cluster in the folder data.
func (p *Postgres) initialize() error {
	secret := filepath.Join(p.dir, "password")
	if err := os.WriteFile(secret, []byte(p.password), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if p.account != nil {
		if err := os.Chown(secret, int(p.account.Uid), int(p.account.Gid)); err != nil {
			return err
		}
	}
	cmd := p.command("initdb", "-D", "data", "-U", "postgres", "-A", "password", "--pwfile", "password",
		"-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// command returns one of PostgreSQL's programs, to run in the server's folder and without the caller's settings.
func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.programs, program), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account}
	return cmd
}

func postgresURL(port int, password string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: address(port),
		Path: "postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

func pingPostgres(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// findPostgres returns the folder of PostgreSQL's server programs: that of the initdb on the PATH, or else the newest
// of those where Debian puts them, which is not on the PATH.
func findPostgres() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil { // a link may stand alone there
			return filepath.Dir(initdb), nil
		}
	}
	newest, highest := "", 0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, initdb := range found {
		bin := filepath.Dir(initdb)
		if version, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))); version > highest {
			newest, highest = bin, version
		}
	}
	if newest == "" {
		return "", errors.New("PostgreSQL's server programs are not on this machine (Debian's package postgresql)")
	}
	return newest, nil
}

// giveToNobody makes the folder the user nobody's, and lets others pass the folders above it as far as they are
// temporary ones.
func giveToNobody(dir string) (*syscall.Credential, error) {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("postgres does not run as root: %w", err)
	}
	uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
	for above := filepath.Dir(dir); above != filepath.Dir(above); above = filepath.Dir(above) {
		if err := letPass(above); err != nil {
			return nil, err
		}
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// letPass lets all users pass a folder below that for temporary files, and returns an error when they cannot pass
// another folder.
func letPass(dir string) error {
	const pass fs.FileMode = 0o011
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&pass == pass {
		return nil
	}
	if !strings.HasPrefix(dir, filepath.Clean(os.TempDir())+string(filepath.Separator)) {
		return fmt.Errorf("the user nobody, as whom postgres runs for root, cannot reach %s: use a folder below %s",
			dir, os.TempDir())
	}
	return os.Chmod(dir, info.Mode()|pass)
}
