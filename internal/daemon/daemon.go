// Package daemon is what every program of ours needs beside its work: a log, a listener for those who watch it, and the question
// whether it is ready. It knows nothing of what the program does.
package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/term"

	"inventoryhub/internal/domain"
)

// NewLog makes the log: "text" or "json", and without a choice text for a person at a terminal and JSON for a machine.
func NewLog(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" || (format == "" && IsTerminal(w)) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// UntilStopped gives a context that ends when the program is asked to stop: by SIGINT, by SIGTERM, or because its terminal has gone. Whoever asks for the
// second time, by SIGINT or SIGTERM, ends the program at once.
func UntilStopped(ctx context.Context) (stopped context.Context, stop context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup, which is to outlive its terminal
		signals = append(signals, syscall.SIGHUP)
	}
	stopped, stop = signal.NotifyContext(ctx, signals...)
	context.AfterFunc(stopped, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) }) // not SIGHUP: both shell and kernel send it
	return stopped, stop
}

// IsTerminal says whether a person looks at what is written there.
func IsTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// Columns gives the width of a terminal as it is now, and 0 if it does not know or is none.
func Columns(w io.Writer) int {
	file, isFile := w.(*os.File)
	if !isFile {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// NewRegistry makes a registry for Prometheus that tells of the process, the Go runtime, the build and the named pools of
// database connections already.
func NewRegistry(pools map[string]*sql.DB) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	for name, pool := range pools {
		r.MustRegister(collectors.NewDBStatsCollector(pool, name))
	}
	return r
}

// Watch answers `GET /metrics`, `/healthz` and `/readyz` at an address of their own until ctx ends.
func Watch(ctx context.Context, addr string, registry *prometheus.Registry, ready func(context.Context) error, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("METRICS_ADDR: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			log.Warn("not ready", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the listener for metrics has ended", "error", err)
		}
	}()
	return nil
}

// AskReady asks the program that listens at an address whether it is ready, and returns why not. Containers ask that way, whose image has
// no other program.
func AskReady(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("the address to ask: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it is not ready: %s", response.Status)
	}
	return nil
}

// OneLine gives an error as one line; of a refusal, its sentences alone.
func OneLine(err error) string {
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Kind != domain.KindUnavailable {
		var all []string
		for _, messages := range refused.Fields {
			all = append(all, messages...)
		}
		slices.Sort(all)
		return strings.Join(all, "; ")
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
