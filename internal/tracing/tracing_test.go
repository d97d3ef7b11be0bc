package tracing_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/tracing"
)

// open gives a tracer that tells a collector, and counts what comes there when it is closed.
func open(t *testing.T) (tracer *tracing.Tracer, batches *atomic.Int32) {
	t.Helper()
	batches = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/v1/traces", r.URL.Path)
		batches.Add(1)
	}))
	t.Cleanup(server.Close)
	tracer, err := tracing.Open(t.Context(), server.URL+"/", "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return tracer, batches
}

// TestTracer_off: without a collector nothing is traced, and nothing breaks.
func TestTracer_off(t *testing.T) {
	tracer, err := tracing.Open(t.Context(), "", "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, outer := tracer.Begin(t.Context(), tracing.Server, "outer")
	ctx, carried := tracer.Continue(ctx, "00-"+strings.Repeat("ab", 16)+"-"+strings.Repeat("cd", 8)+"-01", tracing.Consumer, "carried")
	ctx, inner := tracing.Begin(ctx, "inner")
	for _, span := range []tracing.Span{outer, carried, inner} {
		require.False(t, span.On())
		span.Name("name")
		span.Set("key", "value")
		span.Fail("reason")
		span.End()
	}
	require.Empty(t, tracing.Parent(ctx))
	require.Empty(t, tracing.ID(ctx))
	tracer.Close()
}

// TestTracer_goesOn joins steps over a gap that only a text can cross.
func TestTracer_goesOn(t *testing.T) {
	tracer, batches := open(t)
	ctx, request := tracer.Begin(t.Context(), tracing.Server, "request")
	require.True(t, request.On())
	trace := tracing.ID(ctx)
	require.Len(t, trace, 32)
	require.Regexp(t, `^00-`+trace+`-[0-9a-f]{16}-01$`, tracing.Parent(ctx))

	inner, step := tracing.Begin(ctx, "step")
	require.Equal(t, trace, tracing.ID(inner))
	require.NotEqual(t, tracing.Parent(ctx), tracing.Parent(inner))
	step.End()
	request.End()

	later, consumed := tracer.Continue(context.Background(), tracing.Parent(ctx), tracing.Consumer, "later")
	require.Equal(t, trace, tracing.ID(later))
	consumed.End()

	other, begun := tracer.Begin(ctx, tracing.Server, "other")
	require.NotEqual(t, trace, tracing.ID(other), "each request has a trace of its own")
	begun.End()
	unsampled, quiet := tracer.Continue(context.Background(), "00-"+trace+"-"+strings.Repeat("cd", 8)+"-00", tracing.Consumer, "quiet")
	require.False(t, quiet.On(), "what was not recorded where it began is not recorded later")
	require.Empty(t, tracing.ID(unsampled))
	quiet.End()
	tracer.Close()
	require.EqualValues(t, 1, batches.Load())
}

// TestTracer_nonsense: a traceparent that is none begins a trace.
func TestTracer_nonsense(t *testing.T) {
	tracer, _ := open(t)
	defer tracer.Close()
	for _, parent := range []string{
		"", "x", "00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("cd", 8) + "-01", "00-" + strings.Repeat("ab", 16) + "-" + strings.Repeat("cd", 8),
		strings.Repeat("a", 10_000), "00-" + strings.Repeat("zz", 16) + "-" + strings.Repeat("cd", 8) + "-01", "\x00\n",
	} {
		ctx, span := tracer.Continue(context.Background(), parent, tracing.Consumer, "later")
		require.True(t, span.On(), parent)
		require.Len(t, tracing.ID(ctx), 32)
		span.End()
	}
}

// TestBegin_outside: a step that is in no trace begins none.
func TestBegin_outside(t *testing.T) {
	_, span := tracing.Begin(t.Context(), "step")
	require.False(t, span.On())
}
