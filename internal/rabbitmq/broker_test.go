package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/rabbitmq"
	"inventoryhub/internal/testservers"
)

// These tests do to a broker what the one that is shared must be spared, one after the other.
func TestBroker(t *testing.T) {
	t.Parallel()
	broker, err := testservers.StartRabbitMQ(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(broker.Kill)

	t.Run("short of memory", func(t *testing.T) { testShortOfMemory(t, broker) })
	t.Run("permission lost", func(t *testing.T) { testPermissionLost(t, broker) })
	t.Run("killed and restarted under load", func(t *testing.T) { testRestarts(t, broker) })
}

func testShortOfMemory(t *testing.T, broker *testservers.RabbitMQ) {
	cfg := newConfig(t, broker.URL())
	cfg.ConfirmTimeout = 500 * time.Millisecond
	p := newPublisher(t, cfg)
	release := make(chan struct{})
	var handled atomic.Int32
	startConsumer(t, cfg, func(context.Context, rabbitmq.Message) rabbitmq.Decision {
		<-release
		handled.Add(1)
		return rabbitmq.Ack{}
	})
	publish(t, p, numbered(20)...)

	_, err := broker.Ctl("set_vm_memory_high_watermark", "0")
	require.NoError(t, err)

	// The broker blocks a connection when it sends something, and does not answer that.
	fails := func() bool { return p.Publish(t.Context(), message("late")) != nil }
	require.Eventually(t, fails, patience, 10*time.Millisecond)
	require.ErrorIs(t, p.Ready(), rabbitmq.ErrBlocked)
	started := time.Now()
	require.ErrorIs(t, p.Publish(t.Context(), message("late")), rabbitmq.ErrBlocked)
	_, err = p.Depth(t.Context())
	require.ErrorIs(t, err, rabbitmq.ErrBlocked)
	assert.Less(t, time.Since(started), 100*time.Millisecond)

	close(release)
	goesOn := func() bool { return handled.Load() >= 20 }
	require.Eventually(t, goesOn, patience, 5*time.Millisecond, "nothing is consumed any more")

	blocked := newPublisher(t, cfg)
	require.Error(t, blocked.Publish(t.Context(), message("late")))
	started = time.Now()
	closePublisher(t, blocked)
	assert.Less(t, time.Since(started), 5*time.Second, "a blocked connection must not hold up the end")

	_, err = broker.Ctl("set_vm_memory_high_watermark", "absolute", "512MiB")
	require.NoError(t, err)
	waitReady(t, p)
	publish(t, p, "after")
	requireDepth(t, p, rabbitmq.Depth{})
}

func testPermissionLost(t *testing.T, broker *testservers.RabbitMQ) {
	p := newPublisher(t, newConfig(t, broker.URL()))

	for _, command := range [][]string{{"clear_permissions", "guest"}, {"close_all_connections", "a test"}} {
		_, err := broker.Ctl(command...)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		err := p.Ready()
		return errors.Is(err, rabbitmq.ErrNotConnected) && strings.Contains(err.Error(), "access to vhost '/' refused")
	}, patience, 5*time.Millisecond)

	_, err := broker.Ctl("set_permissions", "guest", ".*", ".*", ".*")
	require.NoError(t, err)
	waitReady(t, p)
	publish(t, p, "m-1")
}

func testRestarts(t *testing.T, broker *testservers.RabbitMQ) {
	cfg := newConfig(t, broker.URL())
	p := newPublisher(t, cfg)
	var handled journal
	startConsumer(t, cfg, func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		if m.Retries == 0 && strings.HasSuffix(m.ID, "7") {
			return rabbitmq.Retry{Retries: 1}
		}
		handled.note(m)
		return rabbitmq.Ack{}
	})
	confirmed, stop := publishSteadily(t, p, 4)

	more := func() {
		before := len(confirmed())
		require.Eventually(t, func() bool { return len(confirmed()) > before+50 }, patience, 5*time.Millisecond)
	}
	for _, restart := range []func(){broker.Kill, broker.Stop} {
		more()
		restart()
		require.NoError(t, broker.Start())
		waitReady(t, p)
	}
	more()
	stop()

	// A retry that the crash caught between two queues is moved again by the broker after three minutes.
	all := func() bool { return handled.has(confirmed()) }
	require.Eventually(t, all, 4*time.Minute, 50*time.Millisecond, "something was confirmed and is lost")
	requireDepth(t, p, rabbitmq.Depth{})
}

// publishSteadily publishes from several goroutines until stop is called, and tells which messages were confirmed.
func publishSteadily(t *testing.T, p *rabbitmq.Publisher, goroutines int) (confirmed func() []string, stop func()) {
	var mu sync.Mutex
	var all []string
	var next atomic.Int32
	publishOne := func() {
		id := fmt.Sprintf("m-%d", next.Add(1))
		if p.Publish(context.Background(), message(id)) == nil {
			mu.Lock()
			all = append(all, id)
			mu.Unlock()
		}
	}
	var stops []func()
	for range goroutines {
		stops = append(stops, every(2*time.Millisecond, publishOne))
	}
	stop = sync.OnceFunc(func() {
		for _, stop := range stops {
			stop()
		}
	})
	t.Cleanup(stop)
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}, stop
}
