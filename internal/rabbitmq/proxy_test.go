package rabbitmq_test

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy stands between a client and the broker and spoils the connection on demand.
type proxy struct {
	t       *testing.T
	broker  string // host:port
	address string // its own, which stays the same
	mute    atomic.Bool
	stalled atomic.Bool

	mu       sync.Mutex
	listener net.Listener // nil while it refuses connections
	links    []net.Conn   // both ends of each
}

func newProxy(t *testing.T, brokerURL string) *proxy {
	t.Helper()
	u, err := url.Parse(brokerURL)
	require.NoError(t, err)
	p := &proxy{t: t, broker: u.Host, address: "127.0.0.1:0"}
	p.accept()
	p.address = p.listener.Addr().String()
	t.Cleanup(func() {
		p.stall(false)
		p.refuse()
	})
	return p
}

// url is the broker's URL with the proxy's address.
func (p *proxy) url(brokerURL string) string {
	u, err := url.Parse(brokerURL)
	require.NoError(p.t, err)
	u.Host = p.address
	return u.String()
}

// accept takes connections, as it does from the start.
func (p *proxy) accept() {
	listener, err := net.Listen("tcp", p.address)
	require.NoError(p.t, err)
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.join(client)
		}
	}()
}

// refuse cuts all connections and takes no more.
func (p *proxy) refuse() {
	p.mu.Lock()
	listener := p.listener
	p.mu.Unlock()
	listener.Close()
	p.cut()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, link := range p.links {
		link.Close()
	}
	p.links = nil
}

// hang keeps all connections open but swallows what they carry, as a network does that lost its peer.
func (p *proxy) hang(on bool) { p.mute.Store(on) }

// stall keeps all connections open but reads no more from them, so that writers have to wait in the end.
func (p *proxy) stall(on bool) { p.stalled.Store(on) }

func (p *proxy) join(client net.Conn) {
	broker, err := net.Dial("tcp", p.broker)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.links = append(p.links, client, broker)
	p.mu.Unlock()
	go p.carry(client, broker)
	go p.carry(broker, client)
}

func (p *proxy) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		for p.stalled.Load() {
			time.Sleep(time.Millisecond)
		}
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if p.mute.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
