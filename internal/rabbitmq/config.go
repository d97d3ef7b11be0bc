package rabbitmq

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Config says where the broker is and how it is used. Whoever publishes and whoever consumes must agree on Prefix,
// Exchange, Queue and Bindings. Only the URL is required.
type Config struct {
	URL    string // amqp:// or amqps://, with user, password and virtual host
	Name   string // shown in the broker's list of connections; "inventoryhub" if empty
	Prefix string // put before the name of the exchange and of every queue, so that several sets can share a broker

	Exchange string   // the topic exchange that is published to; "inventoryhub.events" if empty
	Queue    string   // the queue that is consumed, and the stem of the others' names; "inventoryhub.mail" if empty
	Bindings []string // the message types that reach the queue, as topic patterns; "user.*" and "stock.*" if empty

	RetryDelay    time.Duration // the shortest pause before a retry; 2 s if zero
	RetryMaxDelay time.Duration // the longest pause that the broker keeps; 15 min if zero

	MaxRetries int // after so many, a panic of the handler puts the message aside; 100 if zero

	Prefetch       int           // how many messages are handled at a time; 5 if zero
	Grace          time.Duration // how long running handlers may go on after a stop; 20 s if zero
	RenewEvery     time.Duration // how often an idle consumer makes sure that it still is one; 30 s if zero
	ConfirmTimeout time.Duration // how long a publish may wait for the broker; 10 s if zero
	Heartbeat      time.Duration // in whole seconds; a dead connection is noticed after one and a half; 10 s if zero

	Logger *slog.Logger // silent if nil
}

// prepare returns the configuration with its defaults filled in, or says what is wrong with it.
func (c Config) prepare() (Config, error) {
	if _, err := amqp.ParseURI(c.URL); err != nil {
		// The parser's own text may quote the password.
		return Config{}, errors.New("the broker's URL must look like amqp://user:password@host:5672/vhost")
	}
	setDefault(&c.Name, "inventoryhub")
	setDefault(&c.Exchange, "inventoryhub.events")
	setDefault(&c.Queue, "inventoryhub.mail")
	if len(c.Bindings) == 0 {
		c.Bindings = []string{"user.*", "stock.*"}
	}
	setDefault(&c.RetryDelay, 2*time.Second)
	setDefault(&c.RetryMaxDelay, 15*time.Minute)
	setDefault(&c.MaxRetries, 100)
	setDefault(&c.Prefetch, 5)
	setDefault(&c.Grace, 20*time.Second)
	setDefault(&c.RenewEvery, 30*time.Second)
	setDefault(&c.ConfirmTimeout, 10*time.Second)
	setDefault(&c.Heartbeat, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.check()
}

func (c Config) check() error {
	switch {
	case c.RetryDelay < time.Millisecond:
		return fmt.Errorf("the retry delay is %v and must be at least 1ms", c.RetryDelay)
	case c.RetryMaxDelay < c.RetryDelay:
		return fmt.Errorf("the longest retry delay, %v, is shorter than the first, %v", c.RetryMaxDelay, c.RetryDelay)
	case c.Prefetch < 1 || c.Prefetch > 65535:
		return fmt.Errorf("the prefetch is %d and must be from 1 to 65535", c.Prefetch)
	case c.Grace < 0 || c.RenewEvery < 0 || c.ConfirmTimeout < 0:
		return errors.New("the grace, the renewal and the confirm timeout must not be negative")
	case c.Heartbeat < time.Second:
		return fmt.Errorf("the heartbeat is %v and must be at least 1s", c.Heartbeat)
	}
	return nil
}

// address is the broker's URL without user and password, for logs and errors.
func (c Config) address() string {
	uri, _ := amqp.ParseURI(c.URL) // prepare has tried it
	host := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	return fmt.Sprintf("%s://%s/%s", uri.Scheme, host, url.PathEscape(uri.Vhost))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
