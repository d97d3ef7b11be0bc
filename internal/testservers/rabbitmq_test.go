package testservers

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

func TestRabbitMQ(t *testing.T) {
	server, err := StartRabbitMQ(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	url := server.URL()
	ports := []int{server.port, server.distPort, server.epmdPort}
	publish(t, url)

	t.Run("killed, it keeps what it confirmed", func(t *testing.T) {
		tree := append(server.node.tree(), server.epmd.tree()...)
		require.Greater(t, len(tree), 2)
		time.Sleep(2 * time.Second) // see Kill: the queue is new
		server.Kill()
		requireGone(t, tree, ports...)

		require.NoError(t, server.Start())
		require.Equal(t, url, server.URL())
		require.Equal(t, "message", receive(t, url))
	})

	t.Run("rabbitmqctl reaches this node", func(t *testing.T) {
		out, err := server.Ctl("--quiet", "list_queues", "name")
		require.NoError(t, err)
		require.Contains(t, out, "kept")
		_, err = server.Ctl("nonsense")
		require.ErrorContains(t, err, "nonsense")
	})

	t.Run("stopped, it leaves nothing running", func(t *testing.T) {
		tree := append(server.node.tree(), server.epmd.tree()...)
		server.Stop()
		requireGone(t, tree, ports...)
	})

	t.Run("started again, it has the message", func(t *testing.T) {
		require.NoError(t, server.Start())
		require.Equal(t, "message", receive(t, url))
	})
}

// publish declares a durable queue and waits until the node has stored a message in it.
func publish(t *testing.T, url string) {
	t.Helper()
	ch := channel(t, url)
	require.NoError(t, ch.Confirm(false))
	_, err := ch.QueueDeclare("kept", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(t, err)
	confirm, err := ch.PublishWithDeferredConfirm("", "kept", false, false, amqp.Publishing{Body: []byte("message")})
	require.NoError(t, err)
	require.True(t, confirm.Wait())
}

// receive returns the message in the queue, and leaves it there.
func receive(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	deliveries, err := channel(t, url).ConsumeWithContext(ctx, "kept", "", false, false, false, false, nil)
	require.NoError(t, err)
	delivery, ok := <-deliveries
	require.True(t, ok, "no message")
	return string(delivery.Body)
}

// channel opens a channel that ends with the test.
func channel(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}
