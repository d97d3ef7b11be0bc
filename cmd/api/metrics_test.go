package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/storetest"
)

// scrape reads the metrics of a program: its series and their values.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	series := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if line := lines.Text(); !strings.HasPrefix(line, "#") {
			at := strings.LastIndexByte(line, ' ')
			series[line[:at]], err = strconv.ParseFloat(line[at+1:], 64)
			require.NoError(t, err, line)
		}
	}
	return series
}

// freeAddress gives one where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// TestMetrics reads the listener after a walk through all that is counted. Mails cannot leave.
func TestMetrics(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		address := freeAddress(t)
		p := start(t, t.TempDir(), "DATABASE_URL="+url, "JWT_SECRET="+strings.Repeat("k", 32), "ADMIN_PASSWORD="+adminPassword, "METRICS_ADDR="+address,
			"MAIL_PROVIDER=smtp", "SMTP_URL=smtp://"+freeAddress(t)+"?starttls=off", "MAIL_RETRY_DELAY=1h", "MAIL_RETRY_MAX_DELAY=1h")

		before := scrape(t, address)
		for _, zero := range []string{
			`login_attempts_total{result="succeeded"}`, `login_attempts_total{result="refused"}`, `login_attempts_total{result="throttled"}`,
			`login_attempts_total{result="code_refused"}`, `stock_conflicts_total{reason="quantity"}`, `stock_conflicts_total{reason="step"}`,
			`stock_conflicts_total{reason="changed"}`, `database_transaction_retries_total`, `outbox_events{state="pending"}`,
			`outbox_events{state="dead"}`, `outbox_oldest_pending_seconds`, `mail_deliveries{state="Sent"}`, `http_requests_in_flight`, `http_requests_failed_total`,
		} {
			require.Contains(t, before, zero)
			require.Zero(t, before[zero], zero)
		}

		ask := func(want int, method, path, access string, body any) map[string]any {
			t.Helper()
			status, text := p.send(method, path, access, body)
			require.Equal(t, want, status, text)
			var answer map[string]any
			_ = json.Unmarshal([]byte(text), &answer) // not every answer has a body
			return answer
		}
		type object = map[string]any
		access := p.login("admin@example.com", adminPassword)
		p.invite(access, "jane@example.com")
		ask(http.StatusCreated, http.MethodPost, "/products/categories", access, object{"name": "Tools"})
		item := ask(http.StatusCreated, http.MethodPost, "/products", access, object{"name": "Hammer", "description": "x", "category": "Tools", "quantity": 3})["id"].(string)
		order := object{"itemId": item, "client": "Acme", "description": "x", "quantity": 4, "state": "Pending"}
		ask(http.StatusConflict, http.MethodPost, "/products/orders", access, order)
		ask(http.StatusConflict, http.MethodPatch, "/products/quantity/"+item, access, object{"delta": -4})
		order["quantity"] = 1
		placed := ask(http.StatusCreated, http.MethodPost, "/products/orders", access, order)["id"].(string)
		ask(http.StatusConflict, http.MethodPatch, "/products/orders/state/"+placed, access, object{"transition": "Completed"})
		stale, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, p.url+"/products/"+item, http.NoBody)
		require.NoError(t, err)
		stale.Header.Set("Authorization", "Bearer "+access)
		stale.Header.Set("If-Match", `"77"`)
		answer, err := http.DefaultClient.Do(stale)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, answer.Body)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusPreconditionFailed, answer.StatusCode)
		ask(http.StatusNotFound, http.MethodGet, "/made/up/path", "", nil)

		login := func(email, password string, want int) {
			t.Helper()
			ask(want, http.MethodPost, "/auth/login", "", object{"email": email, "password": password})
		}
		secret := ask(http.StatusCreated, http.MethodPost, "/auth/2fa", access, object{"currentPassword": adminPassword})["secret"].(string)
		code, err := totp.GenerateCode(secret, time.Now())
		require.NoError(t, err)
		ask(http.StatusOK, http.MethodPost, "/auth/2fa/confirm", access, object{"code": code})
		login("admin@example.com", adminPassword, http.StatusUnauthorized)
		for range 10 {
			login("nobody@example.com", "wrong", http.StatusUnauthorized)
		}
		login("nobody@example.com", "wrong", http.StatusTooManyRequests)

		// The event stays pending while the mail server is away, and its mail waits for the next try.
		var after map[string]float64
		require.Eventually(t, func() bool {
			after = scrape(t, address)
			return after[`mail_deliveries{state="Retrying"}`] == 1 && after[`outbox_oldest_pending_seconds`] > 0
		}, 30*time.Second, 20*time.Millisecond, p.out)
		for series, want := range map[string]float64{
			`login_attempts_total{result="succeeded"}`:    1,
			`login_attempts_total{result="refused"}`:      10,
			`login_attempts_total{result="throttled"}`:    1,
			`login_attempts_total{result="code_refused"}`: 1,
			`stock_conflicts_total{reason="quantity"}`:    2,
			`stock_conflicts_total{reason="step"}`:        1,
			`stock_conflicts_total{reason="changed"}`:     1,
			`outbox_events{state="pending"}`:              1,
			`outbox_events{state="dead"}`:                 0,
			`mail_deliveries{state="Sent"}`:               0,
			`http_requests_in_flight`:                     0,

			`http_request_duration_seconds_count{code="201",method="POST",route="/auth/invite"}`:                    1,
			`http_request_duration_seconds_count{code="409",method="PATCH",route="/products/quantity/:id"}`:         1,
			`http_request_duration_seconds_count{code="409",method="PATCH",route="/products/orders/state/:id"}`:     1,
			`http_request_duration_seconds_count{code="404",method="",route="unknown"}`:                             1,
			`http_request_duration_seconds_bucket{code="201",method="POST",route="/products/categories",le="+Inf"}`: 1,
		} {
			require.Contains(t, after, series)
			require.InDelta(t, want, after[series], 0, series)
		}
		pools := []string{"postgres"}
		if strings.HasPrefix(url, "sqlite") {
			pools = []string{"sqlite_read", "sqlite_write"}
		}
		for _, pool := range pools {
			require.Positive(t, after[`go_sql_open_connections{db_name="`+pool+`"}`])
			require.Positive(t, after[`go_sql_max_open_connections{db_name="`+pool+`"}`])
			require.Contains(t, after, `go_sql_in_use_connections{db_name="`+pool+`"}`)
			require.Contains(t, after, `go_sql_wait_count_total{db_name="`+pool+`"}`)
			require.Contains(t, after, `go_sql_wait_duration_seconds_total{db_name="`+pool+`"}`)
		}
		require.Positive(t, after["go_goroutines"])
		built := regexp.MustCompile(`^go_build_info\{checksum="[^"]*",path="[^"]*",version="[^"]*"\}$`)
		var said []string
		for series := range after {
			require.NotContains(t, series, "made/up")
			require.NotContains(t, series, "example.com")
			if built.MatchString(series) {
				said = append(said, series)
			}
		}
		require.Len(t, said, 1)
	})
}

// TestMetrics_whatIsCounted holds the words that the metrics read against the answers that no walk can bring about at will.
func TestMetrics_whatIsCounted(t *testing.T) {
	t.Parallel()
	fields := func(name string) map[string][]string { return map[string][]string{name: {"said"}} }
	for _, c := range []struct {
		observed        httpapi.Observed
		login, conflict string
	}{
		{observed: httpapi.Observed{Method: "POST", Route: "/auth/login", Status: 400, Refused: fields("email")}},
		{observed: httpapi.Observed{Method: "POST", Route: "/auth/login", Status: 503, Refused: fields("server")}},
		{observed: httpapi.Observed{Method: "GET", Route: "/auth/login", Status: 405, Refused: fields("request")}},
		{observed: httpapi.Observed{Method: "POST", Route: "/auth/refresh", Status: 200}},
		{observed: httpapi.Observed{Method: "PATCH", Route: "/products/orders/state/:id", Status: 409, Refused: fields("quantity")}, conflict: conflictQuantity},
		{observed: httpapi.Observed{Method: "PUT", Route: "/products/orders/:id", Status: 409, Refused: fields("request")}, conflict: conflictChanged},
		{observed: httpapi.Observed{Method: "POST", Route: "/products/import", Status: 409, Refused: fields("request")}, conflict: conflictChanged},
		{observed: httpapi.Observed{Method: "POST", Route: "/products/orders", Status: 409, Refused: fields("request")}},     // the key's request still runs
		{observed: httpapi.Observed{Method: "POST", Route: "/products/categories", Status: 409, Refused: fields("name")}},    // taken
		{observed: httpapi.Observed{Method: "DELETE", Route: "/users/me/keys/:id", Status: 409, Refused: fields("request")}}, // no stock
		{observed: httpapi.Observed{Method: "POST", Route: "/products/orders", Status: 400, Refused: fields("quantity")}},
	} {
		require.Equal(t, c.login, loginResult(c.observed), c.observed)
		require.Equal(t, c.conflict, stockConflict(c.observed), c.observed)
	}
}

// TestMetrics_failed counts what went wrong on the server's side, and nothing else.
func TestMetrics_failed(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(storetest.Open(t, storetest.SQLiteURL(t)))
	require.NoError(t, err)
	for _, status := range []int{http.StatusOK, http.StatusNotFound, 499, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		m.observe(httpapi.Observed{Method: http.MethodGet, Route: "/products", Status: status})
	}
	families, err := m.registry.Gather()
	require.NoError(t, err)
	counted := map[string]float64{}
	for _, f := range families {
		counted[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	require.Equal(t, 2.0, counted["http_requests_failed_total"])
}
