package torture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"inventoryhub/internal/testservers"
)

// instance is one API process, which is killed and started again. Its methods are for one caller at a time, except address.
type instance struct {
	name    string
	api     string // the program
	dir     string
	env     []string
	tally   *tally
	starts  int
	log     string
	program *testservers.Subject // nil before the first start

	mu  sync.Mutex
	url string // empty while it is down
}

const (
	startPatience = 60 * time.Second
	stopPatience  = 40 * time.Second // longer than the server's own grace
	startPause    = 50 * time.Millisecond
)

// address gives the URL, or nothing while the instance is down.
func (i *instance) address() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.url
}

func (i *instance) setAddress(url string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.url = url
}

// ensure starts the instance unless it runs. While the database is away a start fails, and is tried again.
func (i *instance) ensure(ctx context.Context) error {
	if i.running() {
		return nil
	}
	patient, stop := context.WithTimeout(ctx, startPatience)
	defer stop()
	for {
		err := i.start(patient)
		if err == nil {
			return nil
		}
		if !sleep(patient, startPause) {
			return fmt.Errorf("%s does not start: %w", i.name, err)
		}
	}
}

// running says whether the instance runs, and notes when it has ended by itself.
func (i *instance) running() bool {
	if i.address() == "" {
		return false
	}
	if i.program.HasEnded() {
		i.setAddress("")
		i.readLog()
		i.tally.violate("%s ended by itself, see %s", i.name, i.log)
		return false
	}
	return true
}

var greeting = regexp.MustCompile(`answers at (http://\S+)\n`)

// start runs the program until it says where it answers.
func (i *instance) start(ctx context.Context) error {
	i.starts++
	i.log = filepath.Join(i.dir, fmt.Sprintf("%s-%d.log", i.name, i.starts))
	cmd := exec.Command(i.api) //nolint:noctx // it is killed by name
	cmd.Dir, cmd.Env = i.dir, i.env
	program, err := testservers.StartSubject(cmd, i.log)
	if err != nil {
		return err
	}
	i.program = program
	for sleep(ctx, startPause/5) {
		said, err := os.ReadFile(i.log)
		if err != nil {
			return err
		}
		if found := greeting.FindSubmatch(said); found != nil {
			i.setAddress(string(found[1]))
			return nil
		}
		if program.HasEnded() {
			return fmt.Errorf("it said: %s", said)
		}
	}
	program.Kill()
	return ctx.Err()
}

// kill ends the process at once.
func (i *instance) kill() {
	if !i.running() {
		return
	}
	i.program.Kill()
	i.setAddress("")
	i.readLog()
}

// stop asks the process to end, which it must do in order.
func (i *instance) stop() {
	if !i.running() {
		return
	}
	url := i.address()
	i.setAddress("") // no new requests; those that are under way must be answered
	if code := i.program.Stop(stopPatience); code != 0 {
		i.tally.violate("%s at %s ended with the status %d when it was asked to stop, see %s", i.name, url, code, i.log)
	}
	i.readLog()
}

// forbidden is what no log of the API may hold.
var forbidden = map[string][]byte{
	"a defect (500)":          []byte(`"status":500`),
	"a deadlock for a caller": []byte("SQLSTATE 40P01"),
	"a panic":                 []byte("panic:"),
	"a fatal error of Go's":   []byte("fatal error:"),
}

// readLog looks for what a process had to say of itself, once it has ended.
func (i *instance) readLog() {
	said, err := os.ReadFile(i.log)
	if err != nil {
		i.tally.violate("the log of %s cannot be read: %v", i.name, err)
		return
	}
	for line := range bytes.Lines(said) {
		for what, sign := range forbidden {
			if bytes.Contains(line, sign) {
				i.tally.violate("%s logged %s: %s", i.name, what, bytes.TrimSpace(line))
			}
		}
	}
}
