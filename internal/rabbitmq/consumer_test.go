package rabbitmq_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/rabbitmq"
)

func TestConsumer_hands_over_what_was_published(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	m := message("m-1")
	m.Time = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	require.NoError(t, p.Publish(t.Context(), m))

	received := make(chan rabbitmq.Message)
	_, stop := startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		received <- m
		return rabbitmq.Ack{}
	})

	assert.Equal(t, m, <-received)
	require.NoError(t, stop())
	requireDepth(t, p, rabbitmq.Depth{})
}

// Whoever publishes without the type property, as others may, has given it as the routing key. It must survive a
// retry, which changes the key.
func TestConsumer_takes_the_routing_key_for_the_type(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	var seen journal
	startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		seen.note(m)
		return rabbitmq.Retry{Retries: m.Retries + 1}
	})

	err := newChannel(t, cfg.URL).PublishWithContext(
		t.Context(), cfg.Prefix+"inventoryhub.events", "user.foreign", false, false, amqp.Publishing{})
	require.NoError(t, err)

	require.Eventually(t, func() bool { return len(seen.seen()) >= 2 }, patience, 5*time.Millisecond)
	for _, e := range seen.seen() {
		assert.Equal(t, "user.foreign", e.message.Type)
	}
}

func TestConsumer_retries_after_the_delay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ after, within time.Duration }{
		"unset":              {0, 200 * time.Millisecond},
		"shorter than all":   {20 * time.Millisecond, 100 * time.Millisecond},
		"a step":             {200 * time.Millisecond, 400 * time.Millisecond},
		"between two steps":  {220 * time.Millisecond, 400 * time.Millisecond},
		"longer than all":    {900 * time.Millisecond, 1500 * time.Millisecond},
		"not even one milli": {1, 100 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t, brokerURL(t))
			p := newPublisher(t, cfg)
			var seen journal
			startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
				seen.note(m)
				if m.Retries == 3 {
					return rabbitmq.Ack{}
				}
				return rabbitmq.Retry{After: test.after, Retries: m.Retries + 1, Reason: "mail server away"}
			})

			publish(t, p, "m-1")

			require.Eventually(t, func() bool { return len(seen.seen()) == 4 }, patience, 5*time.Millisecond)
			requireDepth(t, p, rabbitmq.Depth{})
			all := seen.seen()
			assert.Empty(t, all[0].message.Reason)
			shortest := time.Hour
			for i := 1; i < len(all); i++ {
				again, pause := all[i].message, all[i].at.Sub(all[i-1].at)
				assert.GreaterOrEqual(t, pause, test.after, "too early")
				shortest = min(shortest, pause)
				assert.Equal(t, i, again.Retries)
				assert.Equal(t, "mail server away", again.Reason)
				assert.WithinDuration(t, time.Now(), again.FailedAt, 10*time.Second)
				assert.Equal(t, all[0].message.Time, again.Time)
				assert.Equal(t, all[0].message.Body, again.Body)
			}
			assert.Less(t, shortest, test.within, "too late, each time")
		})
	}
}

func TestConsumer_slow_and_poisonous_messages_hold_up_no_others(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	release := make(chan struct{})
	var handled atomic.Int32
	startConsumer(t, cfg, func(ctx context.Context, m rabbitmq.Message) rabbitmq.Decision {
		switch m.ID {
		case "slow":
			<-release
		case "poison":
			panic("cannot handle this")
		default:
			handled.Add(1)
		}
		return rabbitmq.Ack{}
	})
	defer close(release)

	publish(t, p, "slow", "poison")
	publish(t, p, numbered(50)...)

	require.Eventually(t, func() bool { return handled.Load() == 50 }, patience, 5*time.Millisecond)
}

func TestConsumer_puts_dead_messages_aside(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		if m.Retries == 0 {
			return rabbitmq.Retry{Retries: 1, Reason: "try again"}
		}
		return rabbitmq.Dead{Reason: "no such mailbox \xff" + string(make([]byte, 5000))}
	})

	publish(t, p, "m-1")

	requireDepth(t, p, rabbitmq.Depth{Dead: 1})
	dead := list(t, cfg, 10)
	require.Len(t, dead, 1)
	assert.Equal(t, "m-1", dead[0].ID)
	assert.Equal(t, "user.invited", dead[0].Type)
	assert.Equal(t, `{"for":"m-1"}`, string(dead[0].Body))
	assert.Equal(t, 1, dead[0].Retries)
	assert.Contains(t, dead[0].Reason, "no such mailbox")
	assert.Less(t, len(dead[0].Reason), 1001)
	assert.WithinDuration(t, time.Now(), dead[0].Time, 10*time.Second)
	assert.WithinDuration(t, time.Now(), dead[0].FailedAt, 10*time.Second)
}

func TestConsumer_handler_that_panics_or_does_not_decide(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler rabbitmq.Handler
		reason  string
	}{
		"panics": {
			handler: func(context.Context, rabbitmq.Message) rabbitmq.Decision { panic("index out of range") },
			reason:  "the handler panicked: index out of range",
		},
		"does not decide": {
			handler: func(context.Context, rabbitmq.Message) rabbitmq.Decision { return nil },
			reason:  "the handler panicked: no decision",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t, brokerURL(t))
			cfg.MaxRetries = 2
			p := newPublisher(t, cfg)
			var seen journal
			startConsumer(t, cfg, func(ctx context.Context, m rabbitmq.Message) rabbitmq.Decision {
				seen.note(m)
				return test.handler(ctx, m)
			})

			publish(t, p, "m-1")

			requireDepth(t, p, rabbitmq.Depth{Dead: 1})
			assert.Len(t, seen.seen(), 3)
			assert.Equal(t, test.reason, list(t, cfg, 1)[0].Reason)
		})
	}
}

// A process that dies with a message in its hands never decides. The broker then puts the message aside by itself.
func TestConsumer_broker_puts_aside_what_nobody_settles(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	publish(t, p, "m-1")
	ch := newChannel(t, cfg.URL)

	deliveries := 0
	for {
		d, ok, err := ch.Get(mainQueue(cfg), false)
		require.NoError(t, err)
		if !ok {
			break
		}
		deliveries++
		require.NoError(t, d.Reject(true))
	}

	assert.Equal(t, 21, deliveries)
	requireDepth(t, p, rabbitmq.Depth{Dead: 1})
	dead := list(t, cfg, 10)
	require.Len(t, dead, 1)
	assert.Equal(t, "m-1", dead[0].ID)
	assert.Contains(t, dead[0].Reason, "delivery_limit")
	assert.WithinDuration(t, time.Now(), dead[0].FailedAt, 10*time.Second)
}

func TestConsumer_handles_as_many_at_a_time_as_prefetch(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	cfg.Prefetch = 3
	p := newPublisher(t, cfg)
	publish(t, p, numbered(12)...)
	var running, most, handled atomic.Int32
	full, fill := make(chan struct{}), sync.Once{}

	startConsumer(t, cfg, func(context.Context, rabbitmq.Message) rabbitmq.Decision {
		now := running.Add(1)
		defer running.Add(-1)
		for most.Load() < now && !most.CompareAndSwap(most.Load(), now) {
		}
		if now == 3 {
			fill.Do(func() { close(full) })
		}
		<-full
		time.Sleep(50 * time.Millisecond) // for a fourth, which must not come
		handled.Add(1)
		return rabbitmq.Ack{}
	})

	require.Eventually(t, func() bool { return handled.Load() == 12 }, patience, 5*time.Millisecond)
	assert.Equal(t, int32(3), most.Load())
}

// The handlers of a lost connection go on, and count: the new connection must not bring as many again.
func TestConsumer_redelivers_after_a_lost_connection(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	p := newPublisher(t, cfg)
	cfg.URL, cfg.Prefetch = proxy.url(url), 2
	publish(t, p, "m-1", "m-2")
	var seen journal
	release := make(chan struct{})
	c, _ := startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		seen.note(m)
		<-release
		return rabbitmq.Ack{}
	})
	require.Eventually(t, func() bool { return len(seen.seen()) == 2 }, patience, 5*time.Millisecond)

	proxy.cut()
	require.Eventually(t, func() bool { return c.Ready() != nil }, patience, time.Millisecond)
	waitReady(t, c)
	time.Sleep(200 * time.Millisecond)
	require.Len(t, seen.seen(), 2, "more handlers than the prefetch allows")
	close(release)

	twice := func() bool { return len(seen.of("m-1")) == 2 && len(seen.of("m-2")) == 2 }
	require.Eventually(t, twice, patience, 5*time.Millisecond)
	requireDepth(t, p, rabbitmq.Depth{})
}

func TestConsumer_half_open_link(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	p := newPublisher(t, cfg)
	cfg.URL, cfg.Heartbeat = proxy.url(url), time.Second
	var handled atomic.Int32
	c, _ := startConsumer(t, cfg, func(context.Context, rabbitmq.Message) rabbitmq.Decision {
		handled.Add(1)
		return rabbitmq.Ack{}
	})

	proxy.hang(true)
	noticed := func() bool { return c.Ready() != nil }
	require.Eventually(t, noticed, 5*time.Second, 5*time.Millisecond, "the heartbeat did not notice")
	proxy.cut()
	proxy.hang(false)

	publish(t, p, "m-1")
	require.Eventually(t, func() bool { return handled.Load() == 1 }, patience, 5*time.Millisecond)
}

// Messages that cannot be stored for later stay where they are until they can.
func TestConsumer_holds_what_it_cannot_store(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	p := newPublisher(t, cfg)
	ch := newChannel(t, cfg.URL)
	var seen journal
	startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		seen.note(m)
		if m.Retries == 0 {
			_, err := ch.QueueDelete(cfg.Prefix+"inventoryhub.mail.wait-100ms.v1", false, false, false)
			assert.NoError(t, err)
			return rabbitmq.Retry{Retries: 1}
		}
		return rabbitmq.Ack{}
	})

	publish(t, p, "m-1")

	require.Eventually(t, func() bool { return len(seen.seen()) == 2 }, patience, 5*time.Millisecond)
	assert.Equal(t, 1, seen.seen()[1].message.Retries)
	requireDepth(t, p, rabbitmq.Depth{})
}

func TestConsumer_comes_back_when_its_queue_was_deleted(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	cfg.RenewEvery = 300 * time.Millisecond
	p := newPublisher(t, cfg)
	var handled atomic.Int32
	startConsumer(t, cfg, func(context.Context, rabbitmq.Message) rabbitmq.Decision {
		handled.Add(1)
		return rabbitmq.Ack{}
	})

	_, err := newChannel(t, cfg.URL).QueueDelete(mainQueue(cfg), false, false, false)
	require.NoError(t, err)

	publishAtLast(t, p, "m-1")
	require.Eventually(t, func() bool { return handled.Load() == 1 }, patience, 5*time.Millisecond)
}

func TestConsumer_stops_gracefully(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	cfg.Prefetch = 2
	p := newPublisher(t, cfg)
	publish(t, p, numbered(10)...)
	var started, finished atomic.Int32
	release := make(chan struct{})
	_, stop := startConsumer(t, cfg, func(ctx context.Context, m rabbitmq.Message) rabbitmq.Decision {
		started.Add(1)
		<-release
		finished.Add(1)
		assert.NoError(t, ctx.Err(), "the handler must have its grace")
		if m.ID == "m-000" {
			return rabbitmq.Retry{After: time.Hour, Retries: 1}
		}
		return rabbitmq.Ack{}
	})
	require.Eventually(t, func() bool { return started.Load() == 2 }, patience, 5*time.Millisecond)

	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	require.NoError(t, stop())

	assert.Equal(t, int32(2), finished.Load(), "Run returned before its handlers")
	assert.Equal(t, int32(2), started.Load(), "a handler was started after the stop")
	require.Eventually(t, func() bool {
		depth, err := p.Depth(t.Context())
		return err == nil && depth.Ready+depth.Delayed == 9
	}, patience, 20*time.Millisecond, "one was handled, nine must be left")
}

func TestConsumer_stop_ends_the_grace(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	cfg.Grace = 100 * time.Millisecond
	p := newPublisher(t, cfg)
	publish(t, p, "m-1")
	started := make(chan struct{})
	_, stop := startConsumer(t, cfg, func(ctx context.Context, _ rabbitmq.Message) rabbitmq.Decision {
		close(started)
		<-ctx.Done()
		return rabbitmq.Return{}
	})
	<-started

	require.NoError(t, stop())

	requireDepth(t, p, rabbitmq.Depth{Ready: 1})
}

func TestConsumer_stop_does_not_wait_for_ever(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, brokerURL(t))
	cfg.Grace = 100 * time.Millisecond
	p := newPublisher(t, cfg)
	publish(t, p, "m-1")
	started, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	_, stop := startConsumer(t, cfg, func(context.Context, rabbitmq.Message) rabbitmq.Decision {
		close(started)
		<-release
		return rabbitmq.Ack{}
	})
	<-started

	require.EqualError(t, stop(), "1 message handlers did not stop")

	requireDepth(t, p, rabbitmq.Depth{Ready: 1})
}

func TestConsumer_stop_while_it_cannot_connect(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	cfg.URL = proxy.url(url)
	c, stop := startConsumer(t, cfg, nil)
	proxy.refuse()
	require.Eventually(t, func() bool { return c.Ready() != nil }, patience, time.Millisecond)

	started := time.Now()
	require.NoError(t, stop())

	assert.Less(t, time.Since(started), 5*time.Second)
}

func TestEverything_arrives_over_a_connection_cut_every_second(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	proxy := newProxy(t, url)
	cfg := newConfig(t, url)
	direct := newPublisher(t, cfg)
	cfg.URL = proxy.url(url)
	p := newPublisher(t, cfg)
	var handled journal
	startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		time.Sleep(10 * time.Millisecond)
		if m.Retries == 0 && strings.HasSuffix(m.ID, "7") {
			return rabbitmq.Retry{Retries: 1}
		}
		handled.note(m)
		return rabbitmq.Ack{}
	})

	stopCutting := every(time.Second, proxy.cut)
	for _, id := range numbered(500) {
		publishAtLast(t, p, id)
		time.Sleep(5 * time.Millisecond)
	}
	require.Eventually(t, func() bool { return handled.has(numbered(500)) }, patience, 20*time.Millisecond)
	stopCutting()

	requireDepth(t, direct, rabbitmq.Depth{})
}
