// Package rabbitmq is a tool: it carries messages to a RabbitMQ broker and from it, and hides the client library.
// It promises that a message is never lost: whatever is published was confirmed by the broker, and whatever was
// received is acknowledged only after it was handled, stored for a later try, or put aside among the dead letters.
// A message may come twice. The package imports nothing of ours and must not know what the messages are about.
package rabbitmq
