// Package tracing is a tool: it tells an OpenTelemetry collector what was done for a request, one span a step, from the answer over HTTP
// to the mail that follows it. It is off unless a collector is named, and then costs next to nothing.
//
// Spans bear names and numbers of ours: no text of a caller's, no address, no token, no value of a statement.
package tracing

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Kind says which part a step has among those of other programs (OpenTelemetry, SpanKind).
type Kind = trace.SpanKind

// The kinds of spans.
const (
	Internal = trace.SpanKindInternal
	Server   = trace.SpanKindServer   // answers a request
	Client   = trace.SpanKindClient   // waits for another program's answer
	Producer = trace.SpanKindProducer // leaves something in a queue
	Consumer = trace.SpanKindConsumer // takes it from there
)

// closeLimit is how long the collector may take for the last spans when the program ends.
const closeLimit = 5 * time.Second

const library = "inventoryhub"

// Tracer begins traces. A nil Tracer begins none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	log      *slog.Logger
}

// Open makes a tracer that sends its spans to the collector at an endpoint, such as http://localhost:4318, in the service's name. Without an
// endpoint it gives nil. A collector that is away is none of an error: what it misses is dropped after a while, with a line in the log.
// What else the environment says in OpenTelemetry's own variables holds: headers, sampler, another name.
func Open(ctx context.Context, endpoint, service string, log *slog.Logger) (*Tracer, error) {
	if endpoint == "" {
		return nil, nil //nolint:nilnil // a tracer that is off
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", service)), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	// The library has one place for what goes wrong behind the program's back.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "error", err) }))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer(library), log: log}, nil
}

// Close sends what is not sent yet, for some seconds at most.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("traces are lost", "error", err)
	}
}

// Begin begins a trace. The span must be ended.
func (t *Tracer) Begin(ctx context.Context, kind Kind, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithNewRoot())
	return ctx, Span{span}
}

// Continue goes on with the trace that a [Parent] stands for, or begins one if it stands for none.
func (t *Tracer) Continue(ctx context.Context, parent string, kind Kind, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx = propagation.TraceContext{}.Extract(trace.ContextWithSpan(ctx, nil), propagation.MapCarrier{traceParent: parent})
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// traceParent is the header's name in W3C Trace Context.
const traceParent = "traceparent"

// Parent gives what another program, or this one later, needs to go on with the trace of ctx: a traceparent of W3C Trace Context. It is
// empty if ctx is in none.
func Parent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceParent]
}

// ID gives the id of the trace of ctx, and nothing if ctx is in none that is recorded.
func ID(ctx context.Context) string {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return span.SpanContext().TraceID().String()
	}
	return ""
}

// Begin begins a step inside the program in the trace of ctx. Outside of any it does nothing. The span must be ended.
func Begin(ctx context.Context, name string) (context.Context, Span) {
	return BeginKind(ctx, Internal, name)
}

// BeginKind is Begin for a step of any kind.
func BeginKind(ctx context.Context, kind Kind, name string) (context.Context, Span) {
	outer := trace.SpanFromContext(ctx)
	if !outer.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := outer.TracerProvider().Tracer(library).Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// Within gives ctx in the trace of another context.
func Within(ctx, other context.Context) context.Context {
	return trace.ContextWithSpan(ctx, trace.SpanFromContext(other))
}

// Span is one step. The zero Span is one that nobody is told of.
type Span struct{ span trace.Span }

// On says whether anybody is told of it.
func (s Span) On() bool { return s.span != nil && s.span.IsRecording() }

// Name renames it.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Set notes a string or an int of it. Nothing secret may be among them.
func (s Span) Set(key string, value any) {
	if s.span == nil {
		return
	}
	switch v := value.(type) {
	case string:
		s.span.SetAttributes(attribute.String(key, v))
	case int:
		s.span.SetAttributes(attribute.Int(key, v))
	}
}

// Fail says that it failed, in words of ours: the text of an error may quote what a caller sent.
func (s Span) Fail(reason string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, reason)
	}
}

// End ends it.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
