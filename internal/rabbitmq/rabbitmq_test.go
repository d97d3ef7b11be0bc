package rabbitmq_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"inventoryhub/internal/rabbitmq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen soon.
const patience = 20 * time.Second

func brokerURL(t *testing.T) string {
	t.Helper()
	url := os.Getenv("TEST_RABBITMQ_URL")
	require.NotEmpty(t, url, "TEST_RABBITMQ_URL must name a RabbitMQ broker, as in amqp://guest:guest@localhost:5672/")
	return url
}

// newConfig returns a configuration with queues of the test's own, which are deleted in the end, and short delays:
// the pauses before a retry are 100, 200 and 400 ms.
func newConfig(t *testing.T, url string) rabbitmq.Config {
	t.Helper()
	cfg := rabbitmq.Config{
		URL:           url,
		Prefix:        "test-" + rand.Text() + ".",
		RetryDelay:    100 * time.Millisecond,
		RetryMaxDelay: 400 * time.Millisecond,
		Grace:         2 * time.Second,
	}
	t.Cleanup(func() {
		ch := newChannel(t, url)
		for _, queue := range []string{"", ".dead", ".wait-100ms", ".wait-200ms", ".wait-400ms"} {
			_, err := ch.QueueDelete(cfg.Prefix+"inventoryhub.mail"+queue+".v1", false, false, false)
			require.NoError(t, err)
		}
		require.NoError(t, ch.ExchangeDelete(cfg.Prefix+"inventoryhub.events", false, false))
	})
	return cfg
}

func mainQueue(cfg rabbitmq.Config) string { return cfg.Prefix + "inventoryhub.mail.v1" }

// newChannel opens a channel to do to the broker what the package itself never would.
func newChannel(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// newPublisher returns a publisher that is connected.
func newPublisher(t *testing.T, cfg rabbitmq.Config) *rabbitmq.Publisher {
	t.Helper()
	p, err := rabbitmq.NewPublisher(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { closePublisher(t, p) })
	waitReady(t, p)
	return p
}

func closePublisher(t *testing.T, p *rabbitmq.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, p.Close(ctx))
}

func waitReady(t *testing.T, r interface{ Ready() error }) {
	t.Helper()
	require.Eventually(t, func() bool { return r.Ready() == nil }, patience, 5*time.Millisecond, "never became ready")
}

// startConsumer runs a consumer until the test ends or stop is called, which returns what Run returned.
func startConsumer(
	t *testing.T, cfg rabbitmq.Config, handler rabbitmq.Handler,
) (c *rabbitmq.Consumer, stop func() error) {
	t.Helper()
	c, err := rabbitmq.NewConsumer(cfg, handler)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	waitReady(t, c)
	return c, stop
}

func publish(t *testing.T, p *rabbitmq.Publisher, ids ...string) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, p.Publish(t.Context(), message(id)))
	}
}

// publishAtLast publishes a message again and again until it succeeds.
func publishAtLast(t *testing.T, p *rabbitmq.Publisher, id string) {
	t.Helper()
	succeeds := func() bool { return p.Publish(t.Context(), message(id)) == nil }
	require.Eventually(t, succeeds, patience, 5*time.Millisecond, "never published")
}

func message(id string) rabbitmq.Message {
	body := []byte(`{"for":"` + id + `"}`)
	return rabbitmq.Message{ID: id, Type: "user.invited", ContentType: "application/json", Body: body}
}

// requireDepth waits until the queues hold so many messages.
func requireDepth(t *testing.T, of interface {
	Depth(context.Context) (rabbitmq.Depth, error)
}, want rabbitmq.Depth) {
	t.Helper()
	var got rabbitmq.Depth
	var err error
	require.Eventually(t, func() bool {
		got, err = of.Depth(context.Background())
		return err == nil && got == want
	}, patience, 20*time.Millisecond, "want %+v", want)
}

// journal notes what a handler saw, in order.
type journal struct {
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	message rabbitmq.Message
	at      time.Time
}

func (j *journal) note(m rabbitmq.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{message: m, at: time.Now()})
}

func (j *journal) seen() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]entry(nil), j.entries...)
}

// of returns the entries of one message.
func (j *journal) of(id string) []entry {
	var found []entry
	for _, e := range j.seen() {
		if e.message.ID == id {
			found = append(found, e)
		}
	}
	return found
}

// has says whether there is an entry of each message.
func (j *journal) has(ids []string) bool {
	noted := map[string]bool{}
	for _, e := range j.seen() {
		noted[e.message.ID] = true
	}
	for _, id := range ids {
		if !noted[id] {
			return false
		}
	}
	return true
}

func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("m-%03d", i)
	}
	return ids
}

// logBuffer collects log lines.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// every does something again and again until the function that it returns is called.
func every(pause time.Duration, do func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-time.After(pause):
				do()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
