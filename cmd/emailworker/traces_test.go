package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collected "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"inventoryhub/internal/storetest"
)

// collector takes spans as an OpenTelemetry collector does, by OTLP over HTTP, and keeps them.
type collector struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	spans []span
	raw   strings.Builder // all that was sent
}

// span is what a program told of one step.
type span struct {
	service, trace, id, parent, name string
	kind                             v1.Span_SpanKind
	failed                           bool
	attributes                       map[string]string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// ServeHTTP takes one batch.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var batch collected.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &batch) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.WriteString(batch.String())
	for _, of := range batch.ResourceSpans {
		service := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				attributes := map[string]string{}
				for _, a := range s.Attributes {
					attributes[a.Key] = strings.Trim(a.Value.String()[strings.IndexByte(a.Value.String(), ':')+1:], `"`)
				}
				c.spans = append(c.spans, span{
					service: service, trace: hex.EncodeToString(s.TraceId), id: hex.EncodeToString(s.SpanId), parent: hex.EncodeToString(s.ParentSpanId),
					name: s.Name, kind: s.Kind, failed: s.GetStatus().GetCode() == v1.Status_STATUS_CODE_ERROR, attributes: attributes,
				})
			}
		}
	}
}

// all gives the spans that came so far, and everything that was said with them.
func (c *collector) all() ([]span, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans), c.raw.String()
}

// named gives the spans of a name.
func named(spans []span, name string) []span {
	return slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return s.name != name })
}

// TestTraces follows an invitation from the request to the mail: one trace, whoever does the work, and no secret in it.
func TestTraces(t *testing.T) {
	t.Parallel()
	const hop = "mail user.invited"
	inProcess := []string{"POST /auth/invite", "relay user.invited", hop}
	n, err := sharedNode()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		database string
		node     *node
		way      []string // each span's name, the parent first
		system   string
	}{
		"in process, sqlite":   {storetest.SQLiteURL(t), nil, inProcess, "sqlite"},
		"in process, postgres": {storetest.PostgresURL(t), nil, inProcess, "postgresql"},
		"rabbitmq":             {storetest.PostgresURL(t), n, []string{"POST /auth/invite", "relay user.invited", "publish user.invited", "process user.invited", hop}, "postgresql"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := startCollector(t)
			h := newHubOn(t, c.database, c.node)
			traced := "OTEL_EXPORTER_OTLP_ENDPOINT=" + told.url
			api := h.startAPI(traced)
			var worker *program
			if c.node != nil {
				worker = h.startWorker(traced)
			}
			stranger, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.url+"/products?search=private+words", http.NoBody)
			require.NoError(t, err)
			stranger.Header.Set("traceparent", "00-"+strings.Repeat("ab", 16)+"-"+strings.Repeat("cd", 8)+"-01")
			answer, err := h.client.Do(stranger)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())

			h.invite(api, jane)
			mail := h.mails.only(jane)
			eventually(t, "the outbox was not told", func() bool { return h.count("outbox WHERE state = 'Sent'") == 1 })
			eventually(t, "the mail was not written down", func() bool { return h.count("deliveries WHERE state = 'Sent'") == 1 })
			said := api.out.String()
			api.stop() // with which the last spans are sent
			if worker != nil {
				worker.stop()
			}

			spans, raw := told.all()
			ids := map[string]string{} // of the spans by their names
			for i, name := range c.way {
				found := named(spans, name)
				require.Len(t, found, 1, name)
				ids[name] = found[0].id
				require.False(t, found[0].failed, name)
				require.Equal(t, named(spans, c.way[0])[0].trace, found[0].trace, name)
				if i == 0 {
					require.Empty(t, found[0].parent)
				} else {
					require.Equal(t, ids[c.way[i-1]], found[0].parent, name)
				}
			}
			request := named(spans, c.way[0])[0]
			require.Equal(t, v1.Span_SPAN_KIND_SERVER, request.kind)
			require.Equal(t, "inventoryhub-api", request.service)
			require.Equal(t, "/auth/invite", request.attributes["http.route"])
			require.Equal(t, "201", request.attributes["http.response.status_code"])
			require.Contains(t, said, "requestId="+request.attributes["request.id"])
			require.Contains(t, said, "traceId="+request.trace)
			if c.node != nil {
				require.Equal(t, "inventoryhub-emailworker", named(spans, hop)[0].service)
			}

			inserts := named(spans, "INSERT outbox")
			require.Len(t, inserts, 1)
			require.Equal(t, ids[c.way[0]], inserts[0].parent)
			require.Equal(t, c.system, inserts[0].attributes["db.system.name"])
			require.Contains(t, inserts[0].attributes["db.query.text"], "INSERT INTO")
			require.Contains(t, inserts[0].attributes["db.query.text"], "VALUES (")
			for _, s := range named(spans, "UPDATE deliveries") {
				require.Equal(t, request.trace, s.trace)
			}
			require.NotEmpty(t, named(spans, "UPDATE deliveries"))

			refused := named(spans, "GET /products")
			require.Len(t, refused, 1)
			require.Equal(t, "401", refused[0].attributes["http.response.status_code"])
			require.NotEqual(t, strings.Repeat("ab", 16), refused[0].trace, "a stranger chose the trace")
			require.Empty(t, refused[0].parent)
			for _, s := range spans {
				require.NotContains(t, s.name, "readyz")
			}

			for _, secret := range []string{mail.token(t), jane, "Jane", adminEmail, adminPassword, h.access, "private", "argon2", "smtp://", "postgres://"} {
				require.NotContains(t, raw, secret)
			}
		})
	}
}

// TestTraces_failure tells of a mail that nobody takes, without what the mail server said, and of a collector that is away.
func TestTraces_failure(t *testing.T) {
	t.Parallel()
	told := startCollector(t)
	h := newHubOn(t, storetest.SQLiteURL(t), nil)
	h.mails.on(jane, refuses(550))
	api := h.startAPI("OTEL_EXPORTER_OTLP_ENDPOINT="+told.url, "OTEL_SERVICE_NAME=shop")
	h.invite(api, jane)
	eventually(t, "the event was not put aside", func() bool { return h.count("outbox WHERE state = 'Dead'") == 1 })
	api.stop()
	spans, raw := told.all()
	for _, name := range []string{"relay user.invited", "mail user.invited"} {
		require.Len(t, named(spans, name), 1)
		require.True(t, named(spans, name)[0].failed, name)
		require.Equal(t, "shop", named(spans, name)[0].service, "the environment names the service")
	}
	require.NotContains(t, raw, "not now, or not ever")

	alone := startAPI(t, h.with("OTEL_EXPORTER_OTLP_ENDPOINT=http://"+freeAddress(t)))
	h.must(http.StatusOK, alone, http.MethodGet, "/users/me", nil, nil)
	alone.stop()
	require.Contains(t, alone.out.String(), "traces are lost")
}
