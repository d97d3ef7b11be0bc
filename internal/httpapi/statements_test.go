package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"inventoryhub/internal/domain"
)

// maxStatements is how many statements one request may run, BEGIN and COMMIT not among them. A login takes twelve.
const maxStatements = 15

// TestStatements counts the statements of each route: with a dozen rows of everything in the tables they are as many as with one, so that none is
// run for each row.
func TestStatements(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		count := func() [][]string {
			var all [][]string
			for _, g := range grants {
				s.run(g.route, func(*testing.T) { all = append(all, s.statements(g)) })
			}
			return all
		}
		fill := func() {
			item := s.product("iPhone 12", unique("Electronics"), 10)
			s.order(item, 1, domain.OrderReady)
			s.as(domain.RoleAdmin).patch("/products/quantity/"+item, j{"delta": 1}).wants(http.StatusOK)
			s.newUser(domain.RoleReadonlyUser)
		}
		fill()
		few := count()
		for range 12 {
			fill()
		}
		many := count()
		require.Len(t, many, len(grants))
		for i, g := range grants {
			require.Len(t, many[i], len(few[i]), "%s runs %s with a few rows and %s with many", g.route, few[i], many[i])
			require.LessOrEqual(t, len(many[i]), maxStatements, "%s runs %s", g.route, many[i])
		}
	})
}

// statements makes a call of those who may, and gives what it asked the database.
func (s *server) statements(g grant) []string {
	s.t.Helper()
	caller := s.caller(g.may[0])
	path, body := g.request(s, caller)
	method, _, _ := strings.Cut(g.route, " ")
	recorder := tracetest.NewSpanRecorder()
	ctx, span := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test").Start(s.t.Context(), g.route)
	s.context = ctx
	caller.do(method, path, body).wants(g.status)
	s.context = nil
	span.End()
	run := []string{}
	for _, ended := range recorder.Ended() {
		if ended.SpanKind() == trace.SpanKindClient {
			run = append(run, ended.Name())
		}
	}
	return run
}
