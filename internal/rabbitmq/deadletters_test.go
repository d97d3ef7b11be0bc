package rabbitmq_test

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/rabbitmq"
)

func newDeadLetters(t *testing.T, cfg rabbitmq.Config) *rabbitmq.DeadLetters {
	t.Helper()
	dead, err := rabbitmq.NewDeadLetters(cfg)
	require.NoError(t, err)
	return dead
}

func list(t *testing.T, cfg rabbitmq.Config, limit int) []rabbitmq.Message {
	t.Helper()
	all, err := newDeadLetters(t, cfg).List(t.Context(), limit)
	require.NoError(t, err)
	return all
}

func ids(messages []rabbitmq.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.ID)
	}
	return all
}

// bury publishes messages and has them all put aside.
func bury(t *testing.T, cfg rabbitmq.Config, p *rabbitmq.Publisher, ids ...string) {
	t.Helper()
	cfg.Prefetch = 1 // in order
	_, stop := startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		return rabbitmq.Dead{Reason: "about " + m.ID}
	})
	publish(t, p, ids...)
	requireDepth(t, p, rabbitmq.Depth{Dead: len(ids)})
	require.NoError(t, stop())
}

// Looking must not wear the messages out: RabbitMQ 4 gives a queue a delivery limit of 20 unless told otherwise.
func TestDeadLetters_List_leaves_the_messages_where_they_are(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	bury(t, cfg, p, numbered(5)...)

	for range 25 {
		require.Equal(t, numbered(5), ids(list(t, cfg, 100)))
	}

	assert.Equal(t, []string{"m-000", "m-001"}, ids(list(t, cfg, 2)))
	assert.Empty(t, list(t, cfg, 0))
	requireDepth(t, p, rabbitmq.Depth{Dead: 5})
}

func TestDeadLetters_Requeue_one(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	bury(t, cfg, p, numbered(5)...)
	dead := newDeadLetters(t, cfg)

	n, err := dead.Requeue(t.Context(), "m-003")
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, []string{"m-000", "m-001", "m-002", "m-004"}, ids(list(t, cfg, 100)))

	n, err = dead.Requeue(t.Context(), "m-003")
	require.NoError(t, err)
	assert.Zero(t, n)

	received := make(chan rabbitmq.Message)
	startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		received <- m
		return rabbitmq.Ack{}
	})
	m := <-received
	assert.NotZero(t, m.Time)
	want := message("m-003") // as good as new
	want.Time = m.Time
	assert.Equal(t, want, m)
}

func TestDeadLetters_RequeueAll(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	bury(t, cfg, p, numbered(200)...)

	n, err := newDeadLetters(t, cfg).RequeueAll(t.Context())

	require.NoError(t, err)
	assert.Equal(t, 200, n)
	requireDepth(t, p, rabbitmq.Depth{Ready: 200})
}

func TestDeadLetters_Drop(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	bury(t, cfg, p, numbered(3)...)
	dead := newDeadLetters(t, cfg)

	n, err := dead.Drop(t.Context(), "m-001")
	require.NoError(t, err)
	assert.Equal(t, 1, n)

	n, err = dead.Drop(t.Context(), "unknown")
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Equal(t, []string{"m-000", "m-002"}, ids(list(t, cfg, 100)))
}

// The headers of others, such as those of a trace, stay with the message wherever it goes.
func TestDeadLetters_keep_foreign_headers(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	newPublisher(t, cfg)
	ch := newChannel(t, cfg.URL)
	err := ch.PublishWithContext(t.Context(), "", cfg.Prefix+"inventoryhub.mail.dead.v1", false, false, amqp.Publishing{
		MessageId: "m-1",
		Headers:   amqp.Table{"traceparent": "00-1", "retries": "many", "x-death": "by another broker"},
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(list(t, cfg, 1)) == 1 }, patience, patience/100)

	_, err = newDeadLetters(t, cfg).Requeue(t.Context(), "m-1")
	require.NoError(t, err)

	got, ok, err := ch.Get(mainQueue(cfg), true)
	require.NoError(t, err)
	require.True(t, ok)
	delete(got.Headers, "x-delivery-count") // the broker's, of this delivery
	assert.Equal(t, amqp.Table{"traceparent": "00-1"}, got.Headers)
}

func TestDeadLetters_end_with_their_context(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	proxy.hang(true)
	cfg := rabbitmq.Config{URL: proxy.url(url)}
	ctx, cancel := context.WithTimeout(t.Context(), patience/200)
	defer cancel()

	_, err := newDeadLetters(t, cfg).List(ctx, 1)

	require.ErrorIs(t, err, context.DeadlineExceeded)
}
