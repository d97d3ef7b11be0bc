package rabbitmq

import (
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Our own headers. The broker's x-death will not do: since RabbitMQ 4.0 it starts anew with every publish.
const (
	headerRetries   = "retries"    // tries that were spent so far
	headerReason    = "reason"     // why the last try failed
	headerFailedAt  = "failed-at"  // when it failed
	headerNotBefore = "not-before" // Unix milliseconds: when to try again, if that is beyond the longest wait queue
)

// maxReason bounds the reason in bytes: the headers of a message must fit into one frame (128 KiB).
const maxReason = 1000

// Message is what is published and received.
type Message struct {
	ID          string    // tells a message that comes twice
	Type        string    // the routing key
	ContentType string    // of the body
	Body        []byte    // may hold secrets: not for logs
	Time        time.Time // when it was first published, in whole seconds; now if it is published without

	// What follows is set on messages received, and ignored on those published.

	Retries  int       // tries that were spent so far, as the handler counted them
	Reason   string    // why the last try failed or why the message is dead; empty if it was never tried
	FailedAt time.Time // when that was, in whole seconds

	notBefore time.Time
}

// publishing is the message as the client library wants it.
func (m Message) publishing() amqp.Publishing {
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	return amqp.Publishing{
		MessageId:    m.ID,
		Type:         m.Type,
		ContentType:  m.ContentType,
		Timestamp:    m.Time.UTC(),
		DeliveryMode: amqp.Persistent,
		Body:         m.Body,
	}
}

// received reads a delivery from any of our queues.
func received(d amqp.Delivery) Message {
	m := Message{
		ID:          d.MessageId,
		Type:        typeOf(d),
		ContentType: d.ContentType,
		Body:        d.Body,
		Time:        d.Timestamp.UTC(),
		Retries:     max(0, int(number(d.Headers[headerRetries]))),
	}
	m.Reason, _ = d.Headers[headerReason].(string)
	if at, ok := d.Headers[headerFailedAt].(time.Time); ok {
		m.FailedAt = at.UTC()
	}
	if ms := number(d.Headers[headerNotBefore]); ms > 0 {
		m.notBefore = time.UnixMilli(ms)
	}
	if reason, at, ok := droppedByBroker(d); ok {
		m.Reason, m.FailedAt = joinReasons(reason, m.Reason), at
	}
	return m
}

// typeOf prefers the property: a message that waited or died bears the name of a queue as its routing key.
func typeOf(d amqp.Delivery) string {
	if d.Type != "" {
		return d.Type
	}
	return d.RoutingKey
}

// droppedByBroker says why the broker dead-lettered the message by itself, if it did. Its newest reason comes
// first. Leaving a wait queue shows as "expired", which is how it should be.
func droppedByBroker(d amqp.Delivery) (reason string, at time.Time, ok bool) {
	deaths, _ := d.Headers["x-death"].([]any)
	if len(deaths) == 0 {
		return "", time.Time{}, false
	}
	death, _ := deaths[0].(amqp.Table)
	reason, _ = death["reason"].(string)
	if reason == "" || reason == "expired" {
		return "", time.Time{}, false
	}
	at, _ = death["time"].(time.Time)
	if reason == "delivery_limit" {
		reason = "the broker delivered it too often without an answer (delivery_limit)"
	}
	return reason, at.UTC(), true
}

func joinReasons(last, before string) string {
	if before == "" {
		return last
	}
	return last + "; before that: " + before
}

// again copies a delivery for another publish, without what the broker and we noted about its tries.
func again(d amqp.Delivery) amqp.Publishing {
	headers := amqp.Table{}
	for key, value := range d.Headers {
		switch key {
		case headerRetries, headerReason, headerFailedAt, headerNotBefore:
		default:
			if !strings.HasPrefix(key, "x-") {
				headers[key] = value
			}
		}
	}
	return amqp.Publishing{
		Headers:         headers,
		MessageId:       d.MessageId,
		Type:            typeOf(d),
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		AppId:           d.AppId,
		Timestamp:       d.Timestamp,
		DeliveryMode:    amqp.Persistent,
		Body:            d.Body,
	}
}

// failed copies a delivery for another publish and notes what became of it.
func failed(d amqp.Delivery, retries int, reason string) amqp.Publishing {
	msg := again(d)
	msg.Headers[headerRetries] = int64(retries)
	msg.Headers[headerReason] = clean(reason)
	msg.Headers[headerFailedAt] = time.Now().UTC()
	return msg
}

// clean makes a text fit for a header.
func clean(text string) string {
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return strings.ToValidUTF8(text, "")
}

// number reads an integer header, whichever width its writer chose.
func number(header any) int64 {
	switch n := header.(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	case int16:
		return int64(n)
	case int8:
		return int64(n)
	case uint8:
		return int64(n)
	}
	return 0
}
