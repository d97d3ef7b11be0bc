// Command run gives a PostgreSQL and a RabbitMQ server to another command, in general go test:
//
//	go run ./internal/testservers/run [-rabbitmq=false] COMMAND [ARGUMENTS...]
//
// COMMAND finds the servers' addresses in TEST_DATABASE_URL and TEST_RABBITMQ_URL. A variable that is set already is
// left as it is; for the other, a private server runs as long as COMMAND does. Server programs that are missing are
// installed where apt-get can do that without asking, and taken from Docker elsewhere.
//
// The exit status is that of COMMAND, 128 and the signal's number when a signal ended it, 1 when a server or COMMAND
// could not be started, and 2 for wrong arguments.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"

	"inventoryhub/internal/testservers"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: run [FLAGS] COMMAND [ARGUMENTS...]")
		flag.PrintDefaults()
	}
	rabbitMQ := flag.Bool("rabbitmq", true, "start RabbitMQ, too")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}

	kinds := []kind{postgres}
	if *rabbitMQ {
		kinds = append(kinds, rabbitmq)
	}
	install(kinds)
	status, err := run(kinds, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "testservers:", err)
	}
	os.Exit(status)
}

// server is a running server of any kind.
type server interface {
	URL() string
	Stop()
}

// kind is a sort of server, with the variable that holds its address and the two ways to start one in a folder.
type kind struct {
	program   testservers.Program
	variable  string
	start     func(dir string) (server, error)
	container func(dir string) (server, error)
}

var postgres = kind{
	program:   testservers.PostgreSQLServer,
	variable:  "TEST_DATABASE_URL",
	start:     func(dir string) (server, error) { return testservers.StartPostgres(dir) },
	container: func(dir string) (server, error) { return testservers.StartPostgresContainer(dir) },
}

var rabbitmq = kind{
	program:   testservers.RabbitMQServer,
	variable:  "TEST_RABBITMQ_URL",
	start:     func(dir string) (server, error) { return testservers.StartRabbitMQ(dir) },
	container: func(dir string) (server, error) { return testservers.StartRabbitMQContainer(dir) },
}

// install brings the programs that are missing, also when the addresses of servers are given: some tests kill servers,
// which must be their own. It only warns when it cannot: with addresses or Docker, all other tests can still run.
func install(kinds []kind) {
	var programs []testservers.Program
	for _, k := range kinds {
		programs = append(programs, k.program)
	}
	if err := testservers.Install(os.Stderr, programs...); err != nil {
		fmt.Fprintf(os.Stderr, "testservers: %v (tests that kill a server need one of their own and will fail)\n", err)
	}
}

// run starts a server of each kind whose address is not given, runs the command and returns its exit status.
func run(kinds []kind, command []string) (int, error) {
	// Caught from here on, a signal ends the command as soon as it runs, and so the servers are stopped, too.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)

	dir, err := os.MkdirTemp("", "inventoryhub-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	servers := make([]server, len(kinds))
	defer func() {
		for _, s := range servers {
			if s != nil {
				s.Stop()
			}
		}
	}()

	var group errgroup.Group
	for i, k := range kinds {
		if os.Getenv(k.variable) == "" {
			group.Go(func() (err error) {
				servers[i], err = k.startIn(filepath.Join(dir, string(k.program)))
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return 1, err
	}

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	for i, s := range servers {
		if s != nil {
			cmd.Env = append(cmd.Env, kinds[i].variable+"="+s.URL())
		}
	}
	return execute(cmd, signals)
}

// startIn starts a server that keeps its files in a new folder.
func (k kind) startIn(dir string) (server, error) {
	start := k.start
	if !k.program.Installed() {
		if !testservers.DockerWorks() {
			return nil, fmt.Errorf("no %s: install the program, start Docker or set %s", k.program, k.variable)
		}
		start = k.container
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := start(dir)
	if err != nil {
		return nil, err // s holds a nil pointer then, which is not a nil server
	}
	return s, nil
}

// execute runs the command, hands the signals on to it and returns its exit status.
func execute(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended already
		}
	}()
	_ = cmd.Wait() // what matters of its error is in the state
	state := cmd.ProcessState
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return state.ExitCode(), nil
}
