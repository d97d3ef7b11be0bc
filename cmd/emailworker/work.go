package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"inventoryhub/internal/cloudevents"
	"inventoryhub/internal/config"
	"inventoryhub/internal/daemon"
	"inventoryhub/internal/domain"
	"inventoryhub/internal/email"
	"inventoryhub/internal/rabbitmq"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

// work mails events until ctx ends.
func work(ctx context.Context, c config.Config, stdout, stderr io.Writer) error {
	log := daemon.NewLog(stderr, c.LogLevel, c.LogFormat)
	if c.RabbitMQURL == "" {
		return errors.New("RABBITMQ_URL must be set; without RabbitMQ the api mails by itself and no worker is needed")
	}
	tracer, err := tracing.Open(ctx, c.OTLPEndpoint, "inventoryhub-emailworker", log)
	if err != nil {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	defer tracer.Close()
	store, err := repository.OpenAmong(ctx, c.DatabaseURL, repository.Servers{Direct: c.DirectURL})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	sender, err := email.OpenSender(email.SenderConfig{Provider: c.MailProvider, From: c.MailFrom, Dir: c.MailDir, SMTPURL: c.SMTPURL, AzureConnectionString: c.AzureConnection})
	if err != nil {
		return err
	}
	w := worker{tracer: tracer, mailer: email.NewMailer(email.Config{
		Store: store, Sender: sender, AppURL: c.AppURL, From: c.MailFrom, MaxRetries: c.MailMaxRetries,
		RetryDelay: c.MailRetryDelay, RetryMaxDelay: c.MailRetryMax, Now: time.Now, Log: log,
	}), handled: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mail_events_total", Help: "Events that were handled, by what became of them: done, retry, dead.",
	}, []string{"outcome"})}
	for _, outcome := range []string{"done", "retry", "dead"} {
		w.handled.WithLabelValues(outcome) // so that the first one is seen as a rise from 0
	}
	consumer, err := rabbitmq.NewConsumer(broker(c, rabbitmq.Config{Logger: log}), w.handle)
	if err != nil {
		return fmt.Errorf("RABBITMQ_URL: %w", err)
	}
	if c.MetricsAddr != "" {
		pools, err := store.Pools()
		if err != nil {
			return err
		}
		registry := daemon.NewRegistry(pools)
		registry.MustRegister(w.handled, queueDepth{consumer})
		ready := func(ctx context.Context) error { return errors.Join(store.Ping(ctx), consumer.Ready()) }
		if err := daemon.Watch(ctx, c.MetricsAddr, registry, ready, log); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(stdout, "The email worker mails what comes through RabbitMQ by", c.MailProvider); err != nil {
		return err
	}
	for _, warning := range c.Warnings(true) {
		log.Warn(warning)
	}
	return consumer.Run(ctx)
}

// broker fills in what api, worker and operator must agree on.
func broker(c config.Config, r rabbitmq.Config) rabbitmq.Config {
	r.URL, r.Name = c.RabbitMQURL, "inventoryhub emailworker"
	r.RetryDelay, r.RetryMaxDelay, r.MaxRetries = c.MailRetryDelay, c.MailRetryMax, c.MailMaxRetries
	return r
}

// worker joins the queue with the mailer.
type worker struct {
	mailer  *email.Mailer
	tracer  *tracing.Tracer
	handled *prometheus.CounterVec
}

// handle mails one event. What cannot be read is put aside at once: no retry will make it readable.
func (w worker) handle(ctx context.Context, m rabbitmq.Message) rabbitmq.Decision {
	event, err := cloudevents.Decode(m.Body)
	if err != nil {
		return w.count("dead", rabbitmq.Dead{Reason: err.Error()})
	}
	ctx, span := w.tracer.Continue(ctx, event.TraceParent, tracing.Consumer, "process "+string(event.Type))
	defer span.End()
	span.Set("messaging.system", "rabbitmq")
	span.Set("messaging.message.id", event.ID.String())
	outcome := w.mailer.Handle(ctx, event, m.Retries)
	span.Set("verdict", outcome.Verdict.String())
	if outcome.Verdict == domain.VerdictDead {
		span.Fail("dead")
	}
	switch {
	case outcome.Verdict == domain.VerdictDone:
		return w.count("done", rabbitmq.Ack{})
	case outcome.Verdict == domain.VerdictDead:
		return w.count("dead", rabbitmq.Dead{Reason: outcome.Reason})
	case ctx.Err() != nil:
		return rabbitmq.Return{}
	}
	retries := m.Retries
	if outcome.Spent {
		retries++
	}
	return w.count("retry", rabbitmq.Retry{After: outcome.After, Retries: retries, Reason: outcome.Reason})
}

func (w worker) count(outcome string, d rabbitmq.Decision) rabbitmq.Decision {
	w.handled.WithLabelValues(outcome).Inc()
	return d
}

// queueDepth asks the broker how much waits, whenever the metrics are read.
type queueDepth struct{ consumer *rabbitmq.Consumer }

var queueMessages = prometheus.NewDesc("mail_queue_messages", "Events in the broker's queues: ready, delayed for a retry, dead.", []string{"queue"}, nil)

// Describe names the metric.
func (q queueDepth) Describe(ch chan<- *prometheus.Desc) { ch <- queueMessages }

// Collect asks the broker. Without an answer there is no figure.
func (q queueDepth) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	depth, err := q.consumer.Depth(ctx)
	if err != nil {
		return
	}
	for queue, n := range map[string]int{"ready": depth.Ready, "delayed": depth.Delayed, "dead": depth.Dead} {
		ch <- prometheus.MustNewConstMetric(queueMessages, prometheus.GaugeValue, float64(n), queue)
	}
}
