package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"inventoryhub/internal/daemon"
	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/repository"
)

// metrics counts for Prometheus what the server does. No label holds what a caller wrote.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.HistogramVec
	failed    prometheus.Counter
	underWay  prometheus.Gauge
	logins    *prometheus.CounterVec
	conflicts *prometheus.CounterVec
	retries   prometheus.Counter
}

// The results of a login.
const (
	loginSucceeded   = "succeeded"
	loginRefused     = "refused"      // an unknown account or a wrong password
	loginThrottled   = "throttled"    // too many tries of the address or at the account
	loginCodeRefused = "code_refused" // the password was right, the code of the second factor was missing or wrong
)

// Why a change of the stock was refused with 409 or 412.
const (
	conflictQuantity = "quantity" // more was asked for than there is, or than may be
	conflictStep     = "step"     // the order is in a state from which the step is not possible (any more)
	conflictChanged  = "changed"  // someone else changed the product or the order first
)

func newMetrics(store *repository.Store) (*metrics, error) {
	pools, err := store.Pools()
	if err != nil {
		return nil, err
	}
	m := &metrics{
		registry: daemon.NewRegistry(pools),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "How long requests took, by the pattern of their route.",
		}, []string{"method", "route", "code"}),
		// The series of a route and a code begins with its first request, so that a rate does not see that one: too late for what must not happen at all.
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_failed_total", Help: "Requests that were answered with 5xx.",
		}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_in_flight", Help: "Requests that are being answered."}),
		logins:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "login_attempts_total", Help: "Logins by their result."}, []string{"result"}),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stock_conflicts_total", Help: "Changes of products and orders that the present stock or a faster change forbade.",
		}, []string{"reason"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "database_transaction_retries_total", Help: "Transactions that lost to another one and were run again.",
		}),
	}
	for _, result := range []string{loginSucceeded, loginRefused, loginThrottled, loginCodeRefused} {
		m.logins.WithLabelValues(result) // so that the first one is seen as a rise from 0
	}
	for _, reason := range []string{conflictQuantity, conflictStep, conflictChanged} {
		m.conflicts.WithLabelValues(reason)
	}
	m.registry.MustRegister(m.requests, m.failed, m.underWay, m.logins, m.conflicts, m.retries, announcements{store})
	store.OnRetry(m.retries.Inc)
	return m, nil
}

// watch counts the requests under way.
func (m *metrics) watch(next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerInFlight(m.underWay, next)
}

func (m *metrics) observe(o httpapi.Observed) {
	method, route := o.Method, o.Route
	if route == "" {
		method, route = "", "unknown" // or a stranger could make up a new series with each request
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(o.Status)).Observe(o.Took.Seconds())
	if o.Status >= http.StatusInternalServerError {
		m.failed.Inc()
	}
	if result := loginResult(o); result != "" {
		m.logins.WithLabelValues(result).Inc()
	}
	if reason := stockConflict(o); reason != "" {
		m.conflicts.WithLabelValues(reason).Inc()
	}
}

// loginResult is empty for what is no login, or one that was not decided: a body that cannot be read, a server that failed.
func loginResult(o httpapi.Observed) string {
	switch {
	case o.Route != "/auth/login" || o.Method != http.MethodPost:
		return ""
	case o.Status == http.StatusOK:
		return loginSucceeded
	case o.Status == http.StatusTooManyRequests:
		return loginThrottled
	case o.Status == http.StatusUnauthorized && len(o.Refused["code"]) > 0:
		return loginCodeRefused
	case o.Status == http.StatusUnauthorized:
		return loginRefused
	}
	return ""
}

// stockConflict is empty for what is no conflict about the stock. An Idempotency-Key whose request still runs is none.
func stockConflict(o httpapi.Observed) string {
	field := func(name string) bool { return len(o.Refused[name]) > 0 }
	switch {
	case !strings.HasPrefix(o.Route, "/products"):
		return ""
	case o.Status == http.StatusPreconditionFailed:
		return conflictChanged
	case o.Status != http.StatusConflict:
		return ""
	case field("quantity") || field("delta"):
		return conflictQuantity
	case field("transition") || field("state"):
		return conflictStep
	case field("request") && (o.Method != http.MethodPost || o.Route == "/products/import"):
		return conflictChanged
	}
	return ""
}

// announcements asks the database what became of the events, whenever the metrics are read.
type announcements struct{ store *repository.Store }

// askLimit is how long the database may take to answer. A reading of the metrics goes on without.
const askLimit = 2 * time.Second

var (
	outboxEvents   = prometheus.NewDesc("outbox_events", "Events that are not announced yet: pending, or put aside (dead).", []string{"state"}, nil)
	outboxOldest   = prometheus.NewDesc("outbox_oldest_pending_seconds", "Age of the oldest pending event; 0 if none is pending.", nil, nil)
	mailDeliveries = prometheus.NewDesc("mail_deliveries", "Mails of the last 90 days by their state.", []string{"state"}, nil)
)

// Describe names the metrics.
func (announcements) Describe(ch chan<- *prometheus.Desc) {
	ch <- outboxEvents
	ch <- outboxOldest
	ch <- mailDeliveries
}

// Collect asks the database. Without an answer there is no figure.
func (a announcements) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if backlog, err := a.store.Outbox.Backlog(ctx); err == nil {
		gauge(outboxEvents, float64(backlog.Pending), "pending")
		gauge(outboxEvents, float64(backlog.Dead), "dead")
		var age time.Duration
		if backlog.Oldest != nil {
			age = max(0, time.Since(*backlog.Oldest))
		}
		gauge(outboxOldest, age.Seconds())
	}
	if counts, err := a.store.Deliveries.Count(ctx); err == nil {
		for _, state := range domain.DeliveryStates {
			gauge(mailDeliveries, float64(counts[state]), string(state))
		}
	}
}
