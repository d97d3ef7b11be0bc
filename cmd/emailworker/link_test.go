package main

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// listen takes a free port of the loopback address. It lies below those that Linux gives to outgoing connections, so that a server that
// goes away can come back to it.
func listen(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000))))
		if err == nil {
			return listener
		}
	}
	require.FailNow(t, "no free port")
	return nil
}

// freeAddress gives an address for a program to listen at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// link stands between a program and a server and spoils their connections on demand.
type link struct {
	t      *testing.T
	url    string // the server's, by way of the link
	target string // host:port

	mu     sync.Mutex
	wires  map[*wire]bool
	paused chan struct{} // closed while data flow
}

// wire is one connection.
type wire struct {
	client, server net.Conn
	deaf           atomic.Bool
}

func newLink(t *testing.T, server string) *link {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	listener := listen(t)
	l := &link{t: t, target: u.Host, wires: map[*wire]bool{}, paused: make(chan struct{})}
	close(l.paused)
	u.Host = listener.Addr().String()
	l.url = u.String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.join(client)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		l.resume()
		l.cut()
	})
	return l
}

func (l *link) join(client net.Conn) {
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		_ = client.Close()
		return
	}
	w := &wire{client: client, server: server}
	l.mu.Lock()
	l.wires[w] = true
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.carry(w, client, server) })
	both.Go(func() { l.carry(w, server, client) })
	both.Wait()
	l.mu.Lock()
	delete(l.wires, w)
	l.mu.Unlock()
}

func (l *link) carry(w *wire, from, to net.Conn) {
	defer func() { _ = errors.Join(from.Close(), to.Close()) }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.mu.Lock()
		flowing := l.paused
		l.mu.Unlock()
		<-flowing
		if w.deaf.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// each does something to all connections that there are.
func (l *link) each(do func(w *wire)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.wires {
		do(w)
	}
}

// cut ends all connections.
func (l *link) cut() {
	l.each(func(w *wire) { _ = errors.Join(w.client.Close(), w.server.Close()) })
}

// deafen keeps the connections open but swallows what they carry, as a network does that has lost one end. New ones are sound.
func (l *link) deafen() {
	l.each(func(w *wire) { w.deaf.Store(true) })
}

// pause holds back all that is sent until resume.
func (l *link) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = make(chan struct{})
}

func (l *link) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.paused:
	default:
		close(l.paused)
	}
}

// gate makes Postgres hold a certain kind of statement, so that the program that runs it can be killed at that very point. Our programs wait
// two seconds (lock_timeout) before they give up.
type gate struct {
	hub   *hub
	table string
	lock  *sql.Conn
}

// closeGate holds whatever inserts or updates a row of the table so that the condition on NEW and OLD is true.
func (h *hub) closeGate(event, table, condition string) *gate {
	h.t.Helper()
	lock, err := h.db.Conn(context.Background())
	require.NoError(h.t, err)
	_, err = lock.ExecContext(context.Background(), "SELECT pg_advisory_lock(1)")
	require.NoError(h.t, err)
	h.exec(`CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END'`)
	h.exec("CREATE TRIGGER gate BEFORE " + event + " ON " + table + " FOR EACH ROW WHEN (" + condition + ") EXECUTE FUNCTION gate()")
	return &gate{hub: h, table: table, lock: lock}
}

// waiting is a condition of Postgres' list of locks: who stands before the gate.
const waiting = "locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"

// reached waits until so many statements stand before the gate.
func (g *gate) reached(n int) {
	g.hub.t.Helper()
	eventually(g.hub.t, "nobody came to the gate", func() bool { return g.waiting() >= n })
}

func (g *gate) waiting() int { return g.hub.count("pg_locks WHERE " + waiting) }

// crash kills the program that stands before the gate. Postgres would still run what it was asked for; that is ended, too.
func (g *gate) crash(p *program) {
	g.hub.t.Helper()
	p.kill()
	g.hub.exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE " + waiting)
	eventually(g.hub.t, "a statement outlived its program", func() bool { return g.waiting() == 0 })
}

// open lets everything through from now on.
func (g *gate) open() {
	g.hub.t.Helper()
	_, err := g.lock.ExecContext(context.Background(), "SELECT pg_advisory_unlock(1)")
	require.NoError(g.hub.t, err)
	require.NoError(g.hub.t, g.lock.Close())
	g.hub.exec("DROP TRIGGER gate ON " + g.table)
}
