package outbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/outbox"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// lease is how long an event belongs to the relay that took it.
const lease = time.Minute

var (
	done = domain.Outcome{Verdict: domain.VerdictDone}
	dead = domain.Outcome{Verdict: domain.VerdictDead, Reason: "malformed"}
)

func retry(after time.Duration, spent bool) domain.Outcome {
	return domain.Outcome{Verdict: domain.VerdictRetry, After: after, Spent: spent, Reason: "no route"}
}

// call is one time that a handler was called.
type call struct {
	event   uuid.UUID
	retries int
}

// handler keeps what it was called for and answers by a function, or that it is done.
type handler struct {
	mu     sync.Mutex
	calls  []call
	answer func(ctx context.Context, e domain.Event, nth int) domain.Outcome // nth is 1 for the first call about the event
}

// Handle keeps the call and answers.
func (h *handler) Handle(ctx context.Context, e domain.Event, retries int) domain.Outcome {
	h.mu.Lock()
	h.calls = append(h.calls, call{e.ID, retries})
	nth := 0
	for _, c := range h.calls {
		if c.event == e.ID {
			nth++
		}
	}
	h.mu.Unlock()
	if h.answer == nil {
		return done
	}
	return h.answer(ctx, e, nth)
}

func (h *handler) seen() []call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]call{}, h.calls...)
}

// world is an outbox with a clock that stands still until it is moved.
type world struct {
	t     *testing.T
	ctx   context.Context
	url   string
	store *repository.Store
	raw   *sql.DB
	mu    sync.Mutex
	clock time.Time
	log   bytes.Buffer
}

func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, at string) {
		t.Parallel()
		test(t, newWorld(t, at))
	})
}

func newWorld(t *testing.T, at string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, url: at, store: storetest.Open(t, at), clock: time.Date(2021, 1, 1, 12, 0, 0, 0, time.UTC)}
	w.raw = w.open(at)
	t.Cleanup(func() { require.NotContains(t, w.logged(), "secret", "the log tells no token") })
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// Write takes what is logged.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// start runs a relay on a store until stop is called, which waits for its end, or the test ends.
func (w *world) start(store *repository.Store, h outbox.Handler) (relay *outbox.Relay, stop func()) {
	relay = outbox.NewRelay(store, h, lease, w.now, nil, slog.New(slog.NewTextHandler(w, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		relay.Run(ctx)
	}()
	stop = func() {
		w.t.Helper()
		cancel()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			w.t.Error("the relay did not stop")
		}
	}
	w.t.Cleanup(stop)
	return relay, stop
}

// run is start on the world's own store, which wakes the relay.
func (w *world) run(h outbox.Handler) (stop func()) {
	w.t.Helper()
	relay, stop := w.start(w.store, h)
	w.store.OnOutbox(relay.Wake)
	return stop
}

// add writes n events down, in one transaction.
func (w *world) add(n int) []uuid.UUID {
	w.t.Helper()
	var ids []uuid.UUID
	require.NoError(w.t, w.store.InTx(w.ctx, func(tx *repository.Store) error {
		ids = nil
		for range n {
			e, err := domain.NewEvent(domain.EventPasswordReset, domain.NewID(), w.now(), domain.PasswordReset{Token: "secret"})
			if err != nil {
				return err
			}
			ids = append(ids, e.ID)
			if err := tx.Outbox.Add(w.ctx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	return ids
}

// row is what the database holds of an event.
type row struct {
	state     string
	retries   int
	lastError string
	due       time.Duration // after the world's time; 0 for one that is not pending
}

// rows reads the outbox around the store.
func (w *world) rows() map[uuid.UUID]row {
	w.t.Helper()
	rows, err := w.raw.QueryContext(w.ctx, "SELECT id, state, retries, last_error, due_at FROM outbox")
	require.NoError(w.t, err)
	defer func() { _ = rows.Close() }()
	all := map[uuid.UUID]row{}
	for rows.Next() {
		var id uuid.UUID
		var r row
		var due time.Time
		require.NoError(w.t, rows.Scan(&id, &r.state, &r.retries, &r.lastError, &due))
		if r.state == "Pending" {
			r.due = due.Sub(w.now())
		}
		all[id] = r
	}
	require.NoError(w.t, rows.Err())
	return all
}

// open gives a way into a database around the store.
func (w *world) open(at string) *sql.DB {
	w.t.Helper()
	driver, source := "pgx", at
	if path, isFile := strings.CutPrefix(at, "sqlite://"); isFile {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	raw, err := sql.Open(driver, source)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// patience is how long a test waits for what should happen soon, on a machine that may have much else to do.
const patience = 90 * time.Second

// becomes waits until the outbox is as wanted.
func (w *world) becomes(want map[uuid.UUID]row) {
	w.t.Helper()
	if !assert.Eventually(w.t, func() bool { return maps.Equal(want, w.rows()) }, patience, 10*time.Millisecond) {
		require.Equal(w.t, want, w.rows()) // says how they differ
	}
}

// all gives the same row for each event.
func all(ids []uuid.UUID, r row) map[uuid.UUID]row {
	rows := map[uuid.UUID]row{}
	for _, id := range ids {
		rows[id] = r
	}
	return rows
}

// once is what a handler sees of events that it is given once.
func once(ids []uuid.UUID) []call {
	var calls []call
	for _, id := range ids {
		calls = append(calls, call{id, 0})
	}
	return calls
}

// settle gives the relay the time to do what it should not: to look at the outbox once more.
func (w *world) settle(relays ...*outbox.Relay) {
	for _, r := range relays {
		r.Wake()
	}
	time.Sleep(100 * time.Millisecond)
}

func TestRelay_sendsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var h handler
		early := w.add(3) // before there is a relay
		stop := w.run(&h)
		w.becomes(all(early, row{state: "Sent"}))
		late := w.add(40) // more than are under way at once
		events := append(early, late...)
		w.becomes(all(events, row{state: "Sent"}))
		w.advance(24 * time.Hour)
		w.add(0)
		stop()
		require.ElementsMatch(t, once(events), h.seen())
		require.Empty(t, w.logged())
	})
}

func TestRelay_handsOverTheWholeEvent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		e, err := domain.NewEvent(domain.EventUserInvited, domain.NewID(), w.now(), domain.UserInvited{Email: "jane@example.com", Token: "secret"})
		require.NoError(t, err)
		require.NoError(t, w.store.InTx(w.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(w.ctx, e) }))
		got := make(chan domain.Event, 1)
		w.run(&handler{answer: func(_ context.Context, e domain.Event, _ int) domain.Outcome {
			got <- e
			return done
		}})
		select {
		case received := <-got:
			require.Equal(t, e, received)
		case <-w.ctx.Done():
			t.Fatal("nothing came")
		}
	})
}

func TestRelay_triesAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := handler{answer: func(_ context.Context, _ domain.Event, nth int) domain.Outcome {
			return []domain.Outcome{retry(time.Hour, true), retry(90*time.Second, false), retry(2*time.Hour, true), done}[nth-1]
		}}
		relay, _ := w.start(w.store, &h)
		id := w.add(1)[0]
		var calls []call
		for _, step := range []struct {
			retries int // that the handler is told
			then    row
			pause   time.Duration
		}{
			{0, row{state: "Pending", retries: 1, lastError: "no route", due: time.Hour}, time.Hour},
			{1, row{state: "Pending", retries: 1, lastError: "no route", due: 90 * time.Second}, 90 * time.Second}, // cost nothing
			{1, row{state: "Pending", retries: 2, lastError: "no route", due: 2 * time.Hour}, 2 * time.Hour},
			{2, row{state: "Sent", retries: 2}, 0},
		} {
			relay.Wake()
			w.becomes(map[uuid.UUID]row{id: step.then})
			calls = append(calls, call{id, step.retries})
			require.Equal(t, calls, h.seen())
			if step.pause > 0 {
				w.advance(step.pause - time.Millisecond)
				w.settle(relay)
				require.Equal(t, calls, h.seen(), "not before its time")
				w.advance(time.Millisecond)
			}
		}
	})
}

func TestRelay_putsAside(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := handler{answer: func(_ context.Context, _ domain.Event, nth int) domain.Outcome {
			return []domain.Outcome{retry(0, true), dead, done}[nth-1]
		}}
		relay, _ := w.start(w.store, &h)
		w.store.OnOutbox(relay.Wake)
		id := w.add(1)[0]
		w.becomes(map[uuid.UUID]row{id: {state: "Dead", retries: 1, lastError: "malformed"}})
		w.advance(24 * time.Hour)
		w.settle(relay)
		require.Equal(t, []call{{id, 0}, {id, 1}}, h.seen())
		require.Contains(t, w.logged(), id.String())
		require.Contains(t, w.logged(), "malformed")

		require.NoError(t, w.store.InTx(w.ctx, func(tx *repository.Store) error {
			_, err := tx.Outbox.Requeue(w.ctx, id, w.now())
			return err
		}))
		w.becomes(map[uuid.UUID]row{id: {state: "Sent"}})
		require.Equal(t, call{id, 0}, h.seen()[2])
	})
}

// TestRelay_slowEventsHoldUpNoOther has one place left beside those that are blocked, and then none.
func TestRelay_slowEventsHoldUpNoOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		slow := map[uuid.UUID]bool{}
		var mu sync.Mutex
		h := handler{answer: func(_ context.Context, e domain.Event, _ int) domain.Outcome {
			mu.Lock()
			wait := slow[e.ID]
			mu.Unlock()
			if wait {
				<-release
			}
			return done
		}}
		block := func(n int) []uuid.UUID {
			mu.Lock()
			defer mu.Unlock()
			ids := w.add(n)
			for _, id := range ids {
				slow[id] = true
			}
			return ids
		}
		w.run(&h)
		held := row{state: "Pending", due: lease}
		blocked := block(15)
		require.Eventually(t, func() bool { return len(h.seen()) == 15 }, 10*time.Second, 5*time.Millisecond)
		want := all(blocked, held)
		for _, id := range w.add(50) {
			want[id] = row{state: "Sent"}
		}
		w.becomes(want)

		last := block(1)
		require.Eventually(t, func() bool { return len(h.seen()) == 66 }, 10*time.Second, 5*time.Millisecond)
		want[last[0]] = held
		waiting := w.add(20)
		for _, id := range waiting {
			want[id] = row{state: "Pending"} // not even taken: another relay may have them
		}
		w.becomes(want)
		close(release)
		for id := range want {
			want[id] = row{state: "Sent"}
		}
		w.becomes(want)
		require.Len(t, h.seen(), 86, "each once")
	})
}

func TestRelay_survivesAPanic(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var broken uuid.UUID
		ready := make(chan struct{})
		h := handler{answer: func(_ context.Context, e domain.Event, nth int) domain.Outcome {
			<-ready
			if e.ID == broken && nth == 1 {
				panic("lost")
			}
			return done
		}}
		w.run(&h)
		events := w.add(3)
		broken = events[1]
		close(ready)
		want := all(events, row{state: "Sent"})
		want[broken] = row{state: "Pending", retries: 1, lastError: "internal error", due: lease}
		w.becomes(want)
		require.Contains(t, w.logged(), "lost")
		w.advance(lease)
		w.becomes(map[uuid.UUID]row{events[0]: {state: "Sent"}, broken: {state: "Sent", retries: 1}, events[2]: {state: "Sent"}})
	})
}

// TestRelay_wakes: events that nobody announces are found by looking every second; those that are announced, at once.
func TestRelay_wakes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var h handler
		relay, _ := w.start(w.store, &h)
		quiet := w.add(1)
		w.becomes(all(quiet, row{state: "Sent"}))

		w.store.OnOutbox(relay.Wake)
		began := time.Now()
		for range 8 {
			w.becomesSent(w.add(1))
		}
		require.Less(t, time.Since(began), 6*time.Second, "by looking alone this takes eight")
		for range 1000 {
			relay.Wake() // never blocks
		}
	})
}

func (w *world) becomesSent(ids []uuid.UUID) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		rows := w.rows()
		for _, id := range ids {
			if rows[id].state != "Sent" {
				return false
			}
		}
		return true
	}, patience, 5*time.Millisecond)
}

// TestRelay_twoOnOneDatabase as two instances have it, each with its own connections.
func TestRelay_twoOnOneDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var one, two handler
		var both sync.WaitGroup
		both.Add(2)
		for _, h := range []*handler{&one, &two} {
			var first sync.Once
			h.answer = func(context.Context, domain.Event, int) domain.Outcome {
				first.Do(func() {
					both.Done()
					both.Wait() // neither is done before the other begins
				})
				return done
			}
		}
		second := storetest.Open(t, w.url)
		w.start(w.store, &one)
		w.start(second, &two)
		events := w.add(300)
		w.becomes(all(events, row{state: "Sent"}))
		require.ElementsMatch(t, once(events), append(one.seen(), two.seen()...))
		require.NotEmpty(t, one.seen())
		require.NotEmpty(t, two.seen())
		require.Empty(t, w.logged())
	})
}

func TestRelay_stopWaitsForThoseUnderWay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		begun := make(chan struct{}, 3)
		release := make(chan struct{})
		h := handler{answer: func(ctx context.Context, _ domain.Event, _ int) domain.Outcome {
			begun <- struct{}{}
			<-release
			if ctx.Err() != nil {
				return dead // they were to go on
			}
			return done
		}}
		stop := w.run(&h)
		events := w.add(3)
		for range 3 {
			<-begun
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			stop()
		}()
		select {
		case <-ended:
			t.Error("the relay did not wait")
		case <-time.After(100 * time.Millisecond):
		}
		late := w.add(1)
		close(release)
		<-ended
		want := all(events, row{state: "Sent"})
		want[late[0]] = row{state: "Pending"}
		require.Equal(t, want, w.rows(), "what was under way is written down, and nothing new was begun")
	})
}

// TestRelay_stopLeavesNothingTaken: an event that was taken is handled, whenever the stop comes; none waits for the end of a lease.
func TestRelay_stopLeavesNothingTaken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var h handler
		w.add(200)
		left := 200
		for i := 0; left > 0 && i < 200; i++ {
			_, stop := w.start(w.store, &h)
			time.Sleep(time.Duration(i%10) * 200 * time.Microsecond)
			stop()
			left = 0
			for id, r := range w.rows() {
				if r != (row{state: "Sent"}) {
					require.Equal(t, row{state: "Pending"}, r, id)
					left++
				}
			}
		}
		require.Zero(t, left)
		require.Len(t, h.seen(), 200)
	})
}

// TestRelay_stopHasAnEnd: what has not finished within 15 s is told to.
func TestRelay_stopHasAnEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLiteURL(t))
	begun := make(chan struct{})
	stop := w.run(&handler{answer: func(ctx context.Context, _ domain.Event, _ int) domain.Outcome {
		close(begun)
		<-ctx.Done()
		return retry(0, false)
	}})
	events := w.add(1)
	<-begun
	began := time.Now()
	stop()
	require.Greater(t, time.Since(began), 14*time.Second)
	require.Equal(t, all(events, row{state: "Pending", lastError: "no route"}), w.rows(), "it is there for the next relay at once")
}

// TestRelay_takesUpWhatACrashLeft when its lease ends, and not before.
func TestRelay_takesUpWhatACrashLeft(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		events := w.add(5)
		_, err := w.store.Outbox.Claim(w.ctx, 5, w.now(), lease) // by a relay that then died
		require.NoError(t, err)
		var h handler
		relay, _ := w.start(w.store, &h)
		w.advance(lease - time.Millisecond)
		w.settle(relay)
		require.Empty(t, h.seen())
		w.advance(time.Millisecond)
		relay.Wake()
		w.becomes(all(events, row{state: "Sent"}))
		require.ElementsMatch(t, once(events), h.seen())
	})
}

// TestRelay_databaseAway while an event is under way: what became of it cannot be written, so that it comes again after its lease.
func TestRelay_databaseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.PostgresURL(t))
	h, begun, release := holding()
	w.run(h)
	first := w.add(1)
	<-begun

	name := w.url[strings.LastIndex(w.url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	admin := w.open(os.Getenv("TEST_DATABASE_URL"))
	exec := func(query string) {
		_, err := admin.ExecContext(w.ctx, query)
		require.NoError(t, err)
	}
	exec(fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS false`, name))
	exec(fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'`, name))
	close(release)
	require.Eventually(t, func() bool {
		return strings.Contains(w.logged(), "cannot be written") && strings.Contains(w.logged(), "cannot be read")
	}, patience, 10*time.Millisecond)
	exec(fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS true`, name))

	second := w.add(1)
	w.becomes(map[uuid.UUID]row{first[0]: {state: "Pending", due: lease}, second[0]: {state: "Sent"}})
	w.advance(lease)
	w.becomes(all(append(first, second...), row{state: "Sent"}))
	require.ElementsMatch(t, []call{{first[0], 0}, {second[0], 0}, {first[0], 0}}, h.seen())
}

// holding makes a handler that is held by its first event until it is released.
func holding() (h *handler, begun, release chan struct{}) {
	begun, release = make(chan struct{}), make(chan struct{})
	var first sync.Once
	return &handler{answer: func(context.Context, domain.Event, int) domain.Outcome {
		first.Do(func() {
			close(begun)
			<-release
		})
		return done
	}}, begun, release
}

// link carries connections to Postgres.
type link struct {
	listener net.Listener
	mu       sync.Mutex
	dead     chan struct{} // closed: what was sent by the connections so far is lost, without a word to either side
}

// newLink gives a link and the URL that leads through it.
func newLink(t *testing.T, target string) (*link, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	u, err := url.Parse(target)
	require.NoError(t, err)
	l := &link{listener: listener, dead: make(chan struct{})}
	go func(server string) {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			conn, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			t.Cleanup(func() { _, _ = client.Close(), conn.Close() })
			l.mu.Lock()
			dead := l.dead
			l.mu.Unlock()
			go carry(client, conn, dead)
			go carry(conn, client, dead)
		}
	}(u.Host)
	u.Host = listener.Addr().String()
	return l, u.String()
}

func carry(to, from net.Conn, dead chan struct{}) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		select {
		case <-dead:
			if err != nil {
				return
			}
			continue
		default:
		}
		if n > 0 {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

// die makes all present connections silent. New ones are well.
func (l *link) die() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dead)
	l.dead = make(chan struct{})
}

// TestRelay_deadLink: the database's machine is gone and says nothing, and another one has its address. The relay gives up what it waits for.
func TestRelay_deadLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.PostgresURL(t))
	l, through := newLink(t, w.url)
	h, begun, release := holding()
	store := storetest.Open(t, through)
	// Two connections lie ready: one for what became of the event, one for the next look at the outbox.
	require.NoError(t, store.InTx(w.ctx, func(*repository.Store) error { return store.Ping(w.ctx) }))
	_, stop := w.start(store, h)
	first := w.add(1)
	<-begun
	l.die()
	close(release)
	second := w.add(1)
	w.becomes(map[uuid.UUID]row{first[0]: {state: "Pending", due: lease}, second[0]: {state: "Sent"}})
	w.advance(lease)
	w.becomes(all(append(first, second...), row{state: "Sent"}))
	stop()
}

// TestRelay_databaseBusy on SQLite, where another process holds the file for a while.
func TestRelay_databaseBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLiteURL(t))
	events := w.add(3)
	conn, err := w.raw.Conn(w.ctx)
	require.NoError(t, err)
	_, err = conn.ExecContext(w.ctx, "BEGIN IMMEDIATE")
	require.NoError(t, err)
	var h handler
	w.run(&h)
	time.Sleep(200 * time.Millisecond)
	require.Empty(t, h.seen())
	_, err = conn.ExecContext(w.ctx, "ROLLBACK")
	require.NoError(t, err)
	w.becomes(all(events, row{state: "Sent"}))
	require.ElementsMatch(t, once(events), h.seen())
}
