package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// RabbitMQ is a private RabbitMQ node with fresh data.
type RabbitMQ struct {
	dir      string
	programs rabbitMQPrograms
	port     int // for clients
	distPort int // for rabbitmqctl
	epmdPort int
	epmd     *process // tells rabbitmqctl the node's distPort
	node     *process
}

// rabbitMQPrograms are the paths of the programs that make a node.
type rabbitMQPrograms struct{ server, ctl, epmd string }

// StartRabbitMQ makes a node that keeps its data and its cookie in the folder dir, an absolute path that must exist and
// be empty, and starts it. It returns when the node takes connections, after three to six seconds; the caller must Stop
// or Kill it and may then remove the folder. It returns an error when RabbitMQ is not on the machine.
func StartRabbitMQ(dir string) (*RabbitMQ, error) {
	r := &RabbitMQ{dir: dir}
	var err error
	if r.programs, err = findRabbitMQ(); err != nil {
		return nil, err
	}
	for _, port := range []*int{&r.port, &r.distPort, &r.epmdPort} {
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := r.configure(); err != nil {
		return nil, err
	}
	if err := r.Start(); err != nil {
		return nil, err
	}
	return r, nil
}

// URL is the address of the virtual host "/", for its administrator. It stays the same when the node starts again.
func (r *RabbitMQ) URL() string { return rabbitMQURL(r.port) }

// Start starts the node again after Stop or Kill, with the data and the ports that it had, and returns when it takes
// connections, after about five seconds.
func (r *RabbitMQ) Start() error {
	// Without an epmd that is there already, the node would start one and leave it behind.
	command := r.command(r.programs.epmd, "-port", strconv.Itoa(r.epmdPort), "-address", loopback)
	epmd, err := r.start(command, func(ctx context.Context) error { return pingTCP(ctx, r.epmdPort) })
	if err != nil {
		return fmt.Errorf("start epmd: %w", err)
	}
	command = r.command(r.programs.server)
	node, err := r.start(command, func(ctx context.Context) error { return pingRabbitMQ(ctx, r.URL()) })
	if err != nil {
		epmd.kill()
		return fmt.Errorf("start RabbitMQ: %w", err)
	}
	r.epmd, r.node = epmd, node
	return nil
}

// Stop shuts the node down in order, which takes about a second. Durable queues and persistent messages are kept.
func (r *RabbitMQ) Stop() {
	r.node.stop(syscall.SIGTERM, 30*time.Second)
	r.epmd.kill()
}

// Kill ends the node at once, as a crash would. What it had confirmed is there after Start, but for quorum queues that
// were declared less than about a second before: RabbitMQ 3.10 records with that delay where their messages are, and
// comes back with an empty queue (measured; mended in 2024 by https://github.com/rabbitmq/ra/pull/443).
func (r *RabbitMQ) Kill() {
	r.node.kill()
	r.epmd.kill()
}

// Ctl runs rabbitmqctl on the node, which takes one or two seconds, and returns what it prints. It serves to bring the
// node into a state that clients cannot cause: "set_vm_memory_high_watermark 0" raises the memory alarm.
func (r *RabbitMQ) Ctl(args ...string) (string, error) {
	out, err := r.command(r.programs.ctl, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %q: %w\n%s", args, err, out)
	}
	return string(out), nil
}

// start starts one of the node's two servers and waits until it answers.
func (r *RabbitMQ) start(cmd *exec.Cmd, ping func(context.Context) error) (*process, error) {
	p, err := startProcess(cmd, filepath.Join(r.dir, "rabbitmq.log"), syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	if err := p.waitReady(2*time.Minute, ping); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// configure writes the files that stand in for those in /etc/rabbitmq.
func (r *RabbitMQ) configure() error {
	// The limits are those of a small node, so that a small or full machine raises no alarm in the middle of a test.
	files := map[string]string{
		"rabbitmq.conf": "log.console = true\nlog.console.level = warning\nlog.file = false\n" +
			"vm_memory_high_watermark.absolute = 512MiB\ndisk_free_limit.absolute = 50MB\n" +
			"raft.wal_max_size_bytes = 64000000\n",
		"advanced.config": "[].\n",
		"enabled_plugins": "[].\n",
		"env.conf":        "",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.Mkdir(filepath.Join(r.dir, "conf.d"), 0o700)
}

// command returns one of the node's programs, with all that makes it find this node and no other.
func (r *RabbitMQ) command(program string, args ...string) *exec.Cmd {
	in := func(name string) string { return filepath.Join(r.dir, name) }
	cmd := exec.Command(program, args...)
	cmd.Dir = r.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + r.dir, // where Erlang keeps the cookie
		"LC_ALL=C.UTF-8",
		"RABBITMQ_NODENAME=test" + strconv.Itoa(r.port) + "@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=" + loopback,
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(r.port),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(r.distPort),
		"ERL_EPMD_PORT=" + strconv.Itoa(r.epmdPort),
		"ERL_EPMD_ADDRESS=" + loopback,
		"RABBITMQ_MNESIA_BASE=" + in("mnesia"),
		"RABBITMQ_LOG_BASE=" + in("log"),
		"RABBITMQ_PID_FILE=" + in("node.pid"),
		"RABBITMQ_CONF_ENV_FILE=" + in("env.conf"),
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES=" + in("conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		// An idle Erlang scheduler spins for a while before it sleeps; on a small machine, the tests need that time.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} " +
			"+sbwt none +sbwtdcpu none +sbwtdio none",
		// The start script then becomes the node instead of waiting for it, so that our signals reach the node.
		"RUNNING_UNDER_SYSTEMD=true",
	}
	return cmd
}

func rabbitMQURL(port int) string { return "amqp://guest:guest@" + address(port) + "/" }

func pingRabbitMQ(_ context.Context, url string) error {
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return err
	}
	return conn.Close()
}

func pingTCP(ctx context.Context, port int) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address(port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// findRabbitMQ returns the programs of a RabbitMQ on this machine. The scripts that Debian puts on the PATH change to
// the system's node and its user, so those behind them come first; and running one to ask its version would start it.
func findRabbitMQ() (rabbitMQPrograms, error) {
	server, serverErr := findProgram("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server")
	ctl, ctlErr := findProgram("rabbitmqctl", "/usr/lib/rabbitmq/bin/rabbitmqctl")
	epmd, epmdErr := findProgram("epmd", "/usr/lib/erlang/erts-*/bin/epmd")
	if errors.Join(serverErr, ctlErr, epmdErr) != nil {
		return rabbitMQPrograms{}, errors.New("RabbitMQ is not on this machine (Debian's package rabbitmq-server)")
	}
	return rabbitMQPrograms{server: server, ctl: ctl, epmd: epmd}, nil
}

// findProgram returns the path that matches the pattern, or else that of the program on the PATH.
func findProgram(name, pattern string) (string, error) {
	if found, _ := filepath.Glob(pattern); len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath(name)
}
