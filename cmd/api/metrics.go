package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"inventoryhub/internal/daemon"
)

// metrics counts requests for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{registry: daemon.NewRegistry(), requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "How long requests took, by the pattern of their route.",
	}, []string{"method", "route", "code"})}
	m.registry.MustRegister(m.requests)
	return m
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	if route == "" {
		method, route = "", "unknown" // or a stranger could make up a new series with each request
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}
