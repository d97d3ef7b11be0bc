// Command reference is the least that could answer the requests of the benchmark: net/http, one pool of connections, hand-written SQL with one
// round trip a request, encoding/json. It is what the server is measured against, works on the server's own database, and keeps what is always
// true there: exact stock, its ledger, the orders' history, the chained audit log. It is no product: it asks for a valid token, but neither looks
// whether the session still lives nor which role the caller has, takes what it is told without finding faults, and writes no log.
//
// Its settings are DATABASE_URL, HTTP_ADDR, JWT_SECRET, IMAGES_DIR and POOL, the number of connections.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	conns, err := strconv.Atoi(os.Getenv("POOL"))
	if err != nil {
		return fmt.Errorf("POOL: %w", err)
	}
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	config.MaxConns = int32(conns)
	// One plan for each statement, made once. All statements are written for the plan that they get, and no text that is searched for makes a
	// better one.
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	s := &server{db: pool, secret: []byte(os.Getenv("JWT_SECRET")), images: os.Getenv("IMAGES_DIR"), hashing: make(chan struct{}, hashesAtOnce)}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", os.Getenv("HTTP_ADDR"))
	if err != nil {
		return err
	}
	fmt.Printf("The reference answers at http://%s\n", listener.Addr())
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = web.Close()
	}()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type server struct {
	db      *pgxpool.Pool
	secret  []byte
	images  string
	hashing chan struct{} // bounds how many passwords are hashed at once
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /images/{name}", s.image)
	mux.HandleFunc("POST /auth/login", answer(s.login))
	mux.HandleFunc("GET /products", answer(s.signedIn(s.listProducts)))
	mux.HandleFunc("GET /products/{id}", answer(s.signedIn(s.product)))
	mux.HandleFunc("PATCH /products/quantity/{id}", answer(s.signedIn(s.adjust)))
	mux.HandleFunc("GET /products/orders", answer(s.signedIn(s.listOrders)))
	mux.HandleFunc("POST /products/orders", answer(s.signedIn(s.place)))
	mux.HandleFunc("PATCH /products/orders/state/{id}", answer(s.signedIn(s.approve)))
	return mux
}

// refusal is an answer that is not what was asked for.
type refusal struct {
	status int
	field  string
	reason string
}

func (r refusal) Error() string { return r.reason }

func answer(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := handle(w, r)
		if err == nil {
			return
		}
		var refused refusal
		if !errors.As(err, &refused) {
			log.Print(err)
			refused = refusal{http.StatusInternalServerError, "server", "Something went wrong"}
		}
		_ = writeJSON(w, refused.status, map[string]map[string][]string{"errors": {refused.field: {refused.reason}}})
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // a client that went away is nobody's error
	return nil
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	const most = 1 << 20
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(into); err != nil {
		return refusal{http.StatusBadRequest, "request", "The body cannot be read"}
	}
	return nil
}

func (s *server) image(w http.ResponseWriter, r *http.Request) {
	name := filepath.Base(r.PathValue("name"))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("ETag", `"`+name+`"`)
	http.ServeFile(w, r, filepath.Join(s.images, name))
}

// stamp is a time in RFC 3339 with milliseconds.
type stamp time.Time

// MarshalJSON writes the time.
func (t stamp) MarshalJSON() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// now is the time as precise as it is kept.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// isRefused says whether the database refused a statement for the reason of the code.
func isRefused(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

func isNoRow(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
