package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/rabbitmq"
)

func TestPublisher_Publish_reaches_the_queue(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	m := message("m-1")
	m.Time = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	require.NoError(t, p.Publish(t.Context(), m))

	got, ok, err := newChannel(t, cfg.URL).Get(mainQueue(cfg), true)
	require.NoError(t, err)
	require.True(t, ok, "the message is not in the queue")
	assert.Equal(t, "m-1", got.MessageId)
	assert.Equal(t, "user.invited", got.Type)
	assert.Equal(t, "user.invited", got.RoutingKey)
	assert.Equal(t, "application/json", got.ContentType)
	assert.Equal(t, `{"for":"m-1"}`, string(got.Body))
	assert.Equal(t, m.Time, got.Timestamp.UTC())
	assert.Equal(t, amqp.Persistent, got.DeliveryMode)
}

func TestPublisher_Publish_unroutable_counts_as_unsent_and_heals(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	ch := newChannel(t, cfg.URL)
	require.NoError(t, ch.QueueUnbind(mainQueue(cfg), "user.*", cfg.Prefix+"inventoryhub.events", nil))

	require.ErrorIs(t, p.Publish(t.Context(), message("m-1")), rabbitmq.ErrUnroutable)

	publishAtLast(t, p, "m-1")
	requireDepth(t, p, rabbitmq.Depth{Ready: 1})
}

func TestPublisher_Publish_without_the_exchange_counts_as_unsent_and_heals(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	require.NoError(t, newChannel(t, cfg.URL).ExchangeDelete(cfg.Prefix+"inventoryhub.events", false, false))

	require.ErrorIs(t, p.Publish(t.Context(), message("m-1")), rabbitmq.ErrUnconfirmed)

	publishAtLast(t, p, "m-1")
	requireDepth(t, p, rabbitmq.Depth{Ready: 1})
}

// A second queue that is full refuses what the first one takes, and one refusal is enough.
func TestPublisher_Publish_refused_counts_as_unsent(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	ch := newChannel(t, cfg.URL)
	full, err := ch.QueueDeclare(cfg.Prefix+"full", false, true, true, false,
		amqp.Table{"x-max-length": int64(0), amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish})
	require.NoError(t, err)
	require.NoError(t, ch.QueueBind(full.Name, "user.*", cfg.Prefix+"inventoryhub.events", false, nil))

	require.ErrorIs(t, p.Publish(t.Context(), message("m-1")), rabbitmq.ErrUnconfirmed)

	require.NoError(t, p.Ready(), "a refusal must not cost the connection")
}

// Each message must get its own answer, although all share one channel and every id is in flight twice.
func TestPublisher_Publish_from_many_goroutines(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, newConfig(t, brokerURL(t)))

	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			m := message(fmt.Sprintf("m-%d", i/2))
			if i%2 == 1 {
				m.Type = "nobody.listens"
			}
			err := p.Publish(t.Context(), m)
			if i%2 == 1 {
				assert.ErrorIs(t, err, rabbitmq.ErrUnroutable)
			} else {
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()

	requireDepth(t, p, rabbitmq.Depth{Ready: 200})
}

func TestPublisher_fails_fast_without_a_connection_and_comes_back(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	cfg.URL = proxy.url(url)
	p := newPublisher(t, cfg)

	proxy.refuse()

	down := func() bool { return errors.Is(p.Ready(), rabbitmq.ErrNotConnected) }
	require.Eventually(t, down, patience, time.Millisecond)
	started := time.Now()
	require.ErrorIs(t, p.Publish(t.Context(), message("m-1")), rabbitmq.ErrNotConnected)
	assert.Less(t, time.Since(started), 2*time.Second)

	proxy.accept()
	waitReady(t, p)
	publish(t, p, "m-1")
	requireDepth(t, p, rabbitmq.Depth{Ready: 1})
}

// A link that lost its peer without a word must not hold up anyone for longer than the confirm timeout, and is
// replaced as soon as the heartbeat is missed.
func TestPublisher_half_open_link(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	cfg.URL, cfg.Heartbeat, cfg.ConfirmTimeout = proxy.url(url), time.Second, 500*time.Millisecond
	p := newPublisher(t, cfg)

	proxy.hang(true)

	started := time.Now()
	require.ErrorIs(t, p.Publish(t.Context(), message("m-1")), rabbitmq.ErrUnconfirmed)
	assert.Less(t, time.Since(started), 5*time.Second)
	noticed := func() bool { return errors.Is(p.Ready(), rabbitmq.ErrNotConnected) }
	require.Eventually(t, noticed, 5*time.Second, 5*time.Millisecond, "the heartbeat did not notice")

	proxy.cut() // of the attempts to connect that hang, too
	proxy.hang(false)
	waitReady(t, p)
	publish(t, p, "m-2")
}

// The client library holds its locks while it writes. A write that waits for ever would keep it even from noticing
// the missed heartbeat.
func TestPublisher_Publish_does_not_wait_for_a_reader(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	cfg.URL, cfg.ConfirmTimeout = proxy.url(url), 500*time.Millisecond
	p := newPublisher(t, cfg)
	big := message("m-1")
	big.Body = make([]byte, 32<<20)
	proxy.stall(true)

	var wg sync.WaitGroup
	started := time.Now()
	for range 3 {
		wg.Go(func() { assert.Error(t, p.Publish(t.Context(), big)) })
	}
	wg.Wait()

	assert.Less(t, time.Since(started), 5*time.Second)
	proxy.stall(false)
	publishAtLast(t, p, "m-2")
}

func TestPublisher_calls_end_with_their_context(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	cfg.URL = proxy.url(url)
	p := newPublisher(t, cfg)
	proxy.hang(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	err := p.Publish(ctx, message("m-1"))
	require.ErrorIs(t, err, rabbitmq.ErrUnconfirmed)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	_, err = p.Depth(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, p.Ready(), "one caller's hurry must not cost the connection")
}

func TestPublisher_Close(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, newConfig(t, brokerURL(t)))

	closePublisher(t, p)

	require.ErrorIs(t, p.Publish(t.Context(), message("m-1")), rabbitmq.ErrNotConnected)
	closePublisher(t, p)
}

func TestPublisher_Close_while_it_cannot_connect(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	for name, spoil := range map[string]func(*proxy){
		"refused": (*proxy).refuse,
		"hanging": func(p *proxy) { p.hang(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := newProxy(t, url)
			spoil(proxy)
			p, err := rabbitmq.NewPublisher(rabbitmq.Config{URL: proxy.url(url)})
			require.NoError(t, err)
			time.Sleep(50 * time.Millisecond) // into the attempt

			started := time.Now()
			closePublisher(t, p)

			assert.Less(t, time.Since(started), time.Second)
		})
	}
}

func TestConfig_wrong(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]rabbitmq.Config{
		"no url":          {},
		"other scheme":    {URL: "http://user:sesame@localhost"},
		"broken url":      {URL: "amqp://user:ses/ame@localhost"},
		"negative delay":  {URL: "amqp://user:sesame@localhost", RetryDelay: -1},
		"delays reversed": {URL: "amqp://user:sesame@localhost", RetryDelay: time.Hour},
		"prefetch":        {URL: "amqp://user:sesame@localhost", Prefetch: 70000},
		"heartbeat":       {URL: "amqp://user:sesame@localhost", Heartbeat: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rabbitmq.NewPublisher(cfg)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "ses")

			_, err = rabbitmq.NewConsumer(cfg, nil)
			require.Error(t, err)
			_, err = rabbitmq.NewDeadLetters(cfg)
			require.Error(t, err)
		})
	}
}

func TestPublisher_says_nothing_secret(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	cfg := newConfig(t, url)
	var log logBuffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := newPublisher(t, cfg)
	m := message("m-1")
	m.Type, m.Body = "nobody.listens", []byte("secret-token")
	err := p.Publish(t.Context(), m)
	require.ErrorIs(t, err, rabbitmq.ErrUnroutable)
	assert.NotContains(t, err.Error(), "secret-token")

	wrong := cfg
	wrong.URL = strings.Replace(url, "guest:guest@", "guest:sesame@", 1)
	refused, err := rabbitmq.NewPublisher(wrong)
	require.NoError(t, err)
	t.Cleanup(func() { closePublisher(t, refused) })
	told := func() bool { return strings.Contains(log.String(), "username or password not allowed") }
	require.Eventually(t, told, patience, 5*time.Millisecond)

	assert.NotContains(t, refused.Ready().Error(), "sesame")
	assert.NotContains(t, log.String(), "sesame")
	assert.NotContains(t, log.String(), "secret-token")
}
