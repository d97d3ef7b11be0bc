package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// request is what a client asks, whoever answers.
type request struct {
	method, path string
	body         string // JSON, or empty
	ifNoneMatch  string // an entity tag, or empty
}

// write appends the request as it goes over the wire.
func (r request) write(b *bytes.Buffer, token string) {
	fmt.Fprintf(b, "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n", r.method, r.path, token)
	if r.ifNoneMatch != "" {
		fmt.Fprintf(b, "If-None-Match: %s\r\n", r.ifNoneMatch)
	}
	if r.body != "" {
		fmt.Fprintf(b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n")
	b.WriteString(r.body)
}

// sample is what one server did in one slice of time.
type sample struct {
	Requests    int
	Rate        float64 // a second
	P50, P99    time.Duration
	ServerCPU   time.Duration // for each request, user and system
	DatabaseCPU time.Duration // the same of all processes of Postgres
}

// cpu is what a request costs in all.
func (s sample) cpu() time.Duration { return s.ServerCPU + s.DatabaseCPU }

// client is one connection that is kept alive. It speaks plain HTTP/1.1 and reads answers with net/http, so that the machine is the servers' for
// the most part.
type client struct {
	conn   net.Conn
	in     *bufio.Reader
	out    bytes.Buffer
	dice   *rand.Rand
	took   []time.Duration
	failed error
}

// drive has the case's clients ask the server for the time, each again as soon as it has its answer, and measures. It returns an error for an
// answer with another status than that of the case. It ends early when there is nothing left to ask for.
func (w *world) drive(ctx context.Context, s *server, c benchCase, d time.Duration) (sample, error) {
	clients := make([]*client, c.clients)
	for i := range clients {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err != nil {
			return sample{}, err
		}
		defer conn.Close()
		clients[i] = &client{conn: conn, in: bufio.NewReaderSize(conn, 1<<16), dice: rand.New(rand.NewPCG(uint64(i), w.slices))}
	}
	w.slices++ // other requests each time
	before, err := w.spent(s)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	var all sync.WaitGroup
	for _, cl := range clients {
		all.Go(func() { cl.failed = cl.run(ctx, s, c, start.Add(d)) })
	}
	all.Wait()
	lasted := time.Since(start)
	after, err := w.spent(s)
	if err != nil {
		return sample{}, err
	}
	var took []time.Duration
	for _, cl := range clients {
		if cl.failed != nil {
			return sample{}, fmt.Errorf("%s, %s: %w", s.name, c.name, cl.failed)
		}
		took = append(took, cl.took...)
	}
	if len(took) == 0 {
		return sample{}, fmt.Errorf("%s, %s: there was nothing to ask for", s.name, c.name)
	}
	slices.Sort(took)
	n := time.Duration(len(took))
	return sample{
		Requests: len(took), Rate: float64(len(took)) / lasted.Seconds(), P50: took[len(took)/2], P99: took[len(took)*99/100],
		ServerCPU: (after.server - before.server) / n, DatabaseCPU: (after.database - before.database) / n,
	}, nil
}

func (cl *client) run(ctx context.Context, s *server, c benchCase, until time.Time) error {
	for at := time.Now(); ctx.Err() == nil; {
		r, ok := c.next(cl.dice)
		if !ok {
			return nil
		}
		status, err := cl.ask(s, r)
		if err != nil {
			return err
		}
		if status != c.status {
			return fmt.Errorf("%s %s was answered with %d instead of %d", r.method, r.path, status, c.status)
		}
		done := time.Now()
		cl.took, at = append(cl.took, done.Sub(at)), done
		if at.After(until) { // each asks once at least
			return nil
		}
	}
	return ctx.Err()
}

// ask sends a request and reads the answer to its end.
func (cl *client) ask(s *server, r request) (status int, err error) {
	cl.out.Reset()
	r.write(&cl.out, s.token)
	if _, err := cl.conn.Write(cl.out.Bytes()); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(cl.in, nil)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// spent is the CPU time that processes have used so far.
type spent struct{ server, database time.Duration }

func (w *world) spent(s *server) (spent, error) {
	own, err := cpuOf(s.program.PID())
	if err != nil || !s.onPostgres {
		return spent{server: own.self}, err
	}
	main, err := cpuOf(w.postgres.PID())
	if err != nil {
		return spent{}, err
	}
	total := main.self + main.reaped
	children, err := childrenOf(w.postgres.PID())
	for _, pid := range children {
		if child, err := cpuOf(pid); err == nil { // one that has just ended is among the reaped next time
			total += child.self
		}
	}
	return spent{own.self, total}, err
}
