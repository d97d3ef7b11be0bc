package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	setupTimeout = 15 * time.Second // to connect and declare everything
	callTimeout  = 10 * time.Second // for one question to the broker
	closeTimeout = 3 * time.Second  // for the broker to say goodbye
)

var errTimeout = errors.New("the broker did not answer in time")

// link is one connection to the broker.
type link struct {
	conn   *amqp.Connection
	socket net.Conn
}

// open connects to the broker and declares the topology. The role tells our connections apart in the broker's list.
func open(ctx context.Context, cfg Config, t topology, role string) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, setupTimeout, errTimeout)
	defer cancel()
	l, err := dial(ctx, cfg, role)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", cfg.address(), err)
	}
	if err := l.bounded(ctx, func() error { return t.declare(l.conn) }); err != nil {
		l.close()
		return nil, fmt.Errorf("prepare %s: %w", cfg.address(), err)
	}
	return l, nil
}

func dial(ctx context.Context, cfg Config, role string) (*link, error) {
	uri, err := amqp.ParseURI(cfg.URL)
	if err != nil {
		return nil, err
	}
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)))
	if err != nil {
		return nil, err
	}
	l := &link{socket: timedConn{Conn: socket, timeout: cfg.ConfirmTimeout}}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(cfg.Name + " " + role)
	err = l.bounded(ctx, func() error {
		var err error
		l.conn, err = amqp.DialConfig(cfg.URL, amqp.Config{
			Heartbeat:  cfg.Heartbeat,
			Properties: properties,
			Dial:       func(string, string) (net.Conn, error) { return l.socket, nil },
		})
		return err
	})
	if err != nil {
		l.cut()
		return nil, err
	}
	return l, nil
}

// bounded makes calls to the broker, which have no deadline of their own. It cuts the connection if ctx ends first.
func (l *link) bounded(ctx context.Context, calls func() error) error {
	stop := context.AfterFunc(ctx, l.cut)
	err := calls()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// close says goodbye to the broker, but not for long: a broker that blocked the connection does not listen.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = l.bounded(ctx, l.conn.Close) // it is gone either way
}

func (l *link) cut() { _ = l.socket.Close() }

// timedConn gives every write a deadline. The client library holds its locks while it writes: a peer that no longer
// reads would block every publisher for ever, and even the shutdown of the connection.
type timedConn struct {
	net.Conn
	timeout time.Duration
}

func (c timedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
