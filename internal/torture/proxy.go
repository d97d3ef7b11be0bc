package torture

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands between the API and Postgres and spoils the connections.
type proxy struct {
	listener net.Listener
	server   string // host:port of Postgres
	stalled  atomic.Bool
	commit   atomic.Int32 // what happens to the next COMMIT

	mu    sync.Mutex
	links map[net.Conn]struct{} // both ends of each
}

// What can happen to a COMMIT.
const (
	commitPasses  int32 = iota
	commitLost          // the connection is cut before it arrives
	commitUntold        // it arrives, and the connection is cut before the answer
	commitVerdict = 50 * time.Millisecond
)

// newProxy listens on a free port and gives the database's URL through it.
func newProxy(databaseURL string) (*proxy, string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends by close
	if err != nil {
		return nil, "", err
	}
	p := &proxy{listener: listener, server: u.Host, links: map[net.Conn]struct{}{}}
	u.Host = listener.Addr().String()
	go p.accept()
	return p, u.String(), nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server) //nolint:noctx // loopback answers at once
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.links[client], p.links[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		go p.carry(client, server, p.spoilCommit)
		go p.carry(server, client, func(_, _ net.Conn, _ []byte) bool { return false })
	}
}

// carry hands on what comes from one end until either is closed, or until spoil has taken a piece for itself.
func (p *proxy) carry(from, to net.Conn, spoil func(from, to net.Conn, piece []byte) bool) {
	defer p.forget(from, to)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		for p.stalled.Load() {
			time.Sleep(time.Millisecond)
		}
		if spoil(from, to, buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// spoilCommit cuts the connection around the next COMMIT, if that was ordered.
func (p *proxy) spoilCommit(client, server net.Conn, piece []byte) bool {
	order := p.commit.Load()
	if order == commitPasses || !bytes.Contains(piece, []byte("commit\x00")) || !p.commit.CompareAndSwap(order, commitPasses) {
		return false
	}
	client.Close()
	if order == commitUntold {
		_, _ = server.Write(piece)
		time.Sleep(commitVerdict) // closed at once, the connection could be gone before the server has read it
	}
	return true
}

func (p *proxy) forget(ends ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range ends {
		end.Close()
		delete(p.links, end)
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for end := range p.links {
		end.Close()
	}
}

// stall keeps all connections open and lets nothing through.
func (p *proxy) stall(on bool) { p.stalled.Store(on) }

func (p *proxy) close() {
	p.stall(false)
	p.listener.Close()
	p.cut()
}
