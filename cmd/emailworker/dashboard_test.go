package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// metricNames asks a program for the names that it exports: those of the samples, so that a histogram's are with _bucket, _sum and _count.
func metricNames(t *testing.T, address string) []string {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllSubmatch(text, -1) {
		names = append(names, string(found[1]))
	}
	return names
}

var (
	promQuoted = regexp.MustCompile(`"[^"]*"`)
	promLabels = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\b(by|on)\s*\([^)]*\)`)
	promWord   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\b\s*\(?`)
)

// metricsOf gives the names of the metrics in a PromQL expression: words that are no function, operator or label.
func metricsOf(expression string) []string {
	expression = promLabels.ReplaceAllString(promQuoted.ReplaceAllString(expression, `""`), " ")
	var names []string
	for _, word := range promWord.FindAllString(expression, -1) {
		word = strings.TrimSpace(word)
		if !strings.HasSuffix(word, "(") && !slices.Contains([]string{"and", "or", "unless", "by", "on"}, word) {
			names = append(names, word)
		}
	}
	return names
}

func TestMetricsOf(t *testing.T) {
	for expression, want := range map[string][]string{
		`sum by (le, code) (rate(a_bucket{code=~"5..", x="y{}"}[$__rate_interval]))`: {"a_bucket"},
		`(max(a{state="dead"}) or vector(0)) / sum(b_total[1h])`:                     {"a", "b_total"},
		`histogram_quantile(0.95, c) > 0`:                                            {"c"},
	} {
		require.Equal(t, want, metricsOf(expression), expression)
	}
}

// TestDashboard: the dashboard asks for nothing that the programs do not export.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/grafana-dashboard.json")
	require.NoError(t, err)
	type source struct{ Type, UID string }
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID         int
			Type       string
			Title      string
			Datasource source
			Targets    []struct {
				Datasource source
				Expr       string
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	require.Equal(t, []struct{ Name, Type, Query string }{{"datasource", "datasource", "prometheus"}}, dashboard.Templating.List)

	h := newSharedHub(t)
	addresses := []string{freeAddress(t), freeAddress(t)}
	api := h.startAPI("METRICS_ADDR=" + addresses[0])
	h.startWorker("METRICS_ADDR=" + addresses[1])
	var exported []string
	eventually(t, "the worker has not reached the broker", func() bool {
		exported = append(metricNames(t, addresses[0]), metricNames(t, addresses[1])...)
		return slices.Contains(exported, "mail_queue_messages")
	})
	h.requireSettled(api, settled{})

	used, ids := map[string]bool{}, map[int]bool{}
	for _, p := range dashboard.Panels {
		require.False(t, ids[p.ID], "the panel %q shares its id", p.Title)
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		require.Equal(t, source{"prometheus", "${datasource}"}, p.Datasource, p.Title)
		for _, target := range p.Targets {
			require.Equal(t, p.Datasource, target.Datasource, p.Title)
			names := metricsOf(target.Expr)
			require.NotEmpty(t, names, target.Expr)
			for _, name := range names {
				require.Contains(t, exported, name, target.Expr)
				used[name] = true
			}
		}
	}
	for _, ours := range []string{
		"http_request_duration_seconds_bucket", "http_requests_failed_total", "http_requests_in_flight", "login_attempts_total", "stock_conflicts_total", "database_transaction_retries_total",
		"outbox_events", "outbox_oldest_pending_seconds", "mail_deliveries", "mail_events_total", "mail_queue_messages", "go_sql_in_use_connections",
	} {
		require.True(t, used[ours], "no panel shows %s", ours)
	}
}
