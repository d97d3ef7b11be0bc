package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"inventoryhub/internal/cloudevents"
	"inventoryhub/internal/config"
	"inventoryhub/internal/daemon"
	"inventoryhub/internal/domain"
	"inventoryhub/internal/email"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/outbox"
	"inventoryhub/internal/password"
	"inventoryhub/internal/rabbitmq"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
	"inventoryhub/internal/token"
	"inventoryhub/internal/tracing"
)

const (
	// stopGrace is how long the requests under way may go on after a stop.
	stopGrace = 20 * time.Second
	// housekeepingEvery is how often what no longer counts is removed.
	housekeepingEvery = time.Hour
	// Go's garbage collector runs whenever what is in use has doubled. With the few MiB that the server needs that is many times a second under load, and
	// a tenth of all its work; at six times it is rare. The limit has it run in time all the same when pictures and passwords, which take 19 MiB each,
	// come at once. In percent and bytes; GOGC and GOMEMLIMIT win.
	heapGrowth = 500
	heapLimit  = 72 << 20
)

// serve runs the server until ctx ends.
func serve(ctx context.Context, c config.Config, stdout, stderr io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit)
	}
	log := daemon.NewLog(stderr, c.LogLevel, c.LogFormat)
	now := time.Now
	tracer, err := tracing.Open(ctx, c.OTLPEndpoint, "inventoryhub-api", log)
	if err != nil {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	defer tracer.Close()

	secret, err := signingSecret(c)
	if err != nil {
		return err
	}
	release, err := repository.ReserveForServer(ctx, c.DatabaseURL) // before the schema is touched, which may be that of an older server
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	store, err := repository.OpenAmong(ctx, c.DatabaseURL, repository.Servers{Direct: c.DirectURL, Replicas: c.ReplicaURLs})
	if err != nil {
		return namingDirect(c, err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Ping(ctx); err != nil { // of a pooler, nothing was asked yet
		return naming("DATABASE_URL", err)
	}
	files, err := openImages(ctx, c)
	if err != nil {
		return err
	}
	tokens, err := token.NewIssuer(secret, c.AccessTokenTTL, now)
	if err != nil {
		return err
	}
	vault, err := token.NewVault(secret)
	if err != nil {
		return err
	}
	hasher := password.NewHasher()

	relay, mail, err := newRelay(ctx, c, store, now, tracer, log)
	if err != nil {
		return err
	}
	defer mail.close()

	pictures := service.NewPictures(store, files, log, now)
	housekeeping := service.NewHousekeeping(store, pictures, now)
	settings := service.AuthSettings{RefreshTTL: c.RefreshTokenTTL, SessionTTL: c.SessionTTL, InvitationTTL: c.InvitationTTL, MinPassword: c.PasswordMin}
	for _, name := range c.RequireFactor {
		settings.RequireFactor = append(settings.RequireFactor, domain.Role(name))
	}
	metrics, err := newMetrics(store)
	if err != nil {
		return err
	}
	var stopping atomic.Bool
	auth := service.NewAuth(store, tokens, vault, hasher, settings, now)
	ready := func(ctx context.Context) error {
		if stopping.Load() {
			return errors.New("the server is stopping")
		}
		return errors.Join(store.Ping(ctx), mail.ready(ctx))
	}
	handler, err := httpapi.New(httpapi.Services{
		Auth:       auth,
		Users:      service.NewUsers(store, c.InvitationTTL, now),
		Categories: service.NewCategories(store, pictures, now),
		Products:   service.NewProducts(store, pictures, now),
		Pictures:   pictures,
		Orders:     service.NewOrders(store, now),
		Attempts:   service.NewAttempts(store, now),
		Audit:      service.NewAudit(store, now),
	}, httpapi.Config{
		ImagesBaseURL: c.ImagesBaseURL, CORSOrigins: c.CORSOrigins, TrustedProxies: c.TrustedProxies, AuthRateLimit: c.AuthRateLimit, UserRateLimit: c.UserRateLimit,
		Ready: []func(context.Context) error{ready}, Observe: metrics.observe, Tracer: tracer, Now: now, Log: log,
	})
	if err != nil {
		return err
	}

	made, generated, err := service.NewOperator(store, hasher, c.PasswordMin, now).FirstAdmin(ctx, c.AdminEmail, c.AdminPassword)
	if err != nil {
		return fmt.Errorf("ADMIN_EMAIL, ADMIN_PASSWORD: %s", daemon.OneLine(err))
	}
	if made {
		debug.FreeOSMemory() // hashing took 19 MiB, which an idle server need not hold
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.HTTPAddr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR: %w", err)
	}
	defer func() { _ = listener.Close() }()

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { relay.Run(background) })
	running.Go(func() { keepHouse(background, housekeeping, log) })
	running.Go(func() {
		auth.RememberCallers(background, func(hears bool, err error) {
			if !hears && background.Err() == nil {
				log.Warn("changes by other servers are not heard of; who calls is asked for on each request", "error", err)
			}
		})
	})
	if c.MetricsAddr != "" {
		if err := daemon.Watch(background, c.MetricsAddr, metrics.registry, ready, log); err != nil {
			return err
		}
	}
	if err := greet(stdout, listener.Addr(), c, made, generated); err != nil {
		return err
	}
	for _, warning := range c.Warnings(c.RabbitMQURL == "") { // with a broker the worker mails
		log.Warn(warning)
	}

	server := &http.Server{
		Handler: metrics.watch(handler), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true, // net/http's answer to "OPTIONS *" would bear none of our headers
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping.Store(true)
	log.Info("stopping")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	err = server.Shutdown(ending)
	stop() // after the last request, whose event may still be relayed
	running.Wait()
	return err
}

// openImages opens the store of pictures.
func openImages(ctx context.Context, c config.Config) (*imagestore.Store, error) {
	files, err := imagestore.Open(ctx, c.ImagesURL)
	if err != nil {
		return nil, fmt.Errorf("IMAGES_URL: %w", err)
	}
	return files, nil
}

// signingSecret gives the secret for access tokens. On the embedded database one is made at the first start and kept beside it.
func signingSecret(c config.Config) ([]byte, error) {
	if c.JWTSecret != "" {
		return []byte(c.JWTSecret), nil
	}
	if c.OnPostgres() {
		return nil, errors.New("JWT_SECRET must be set when DATABASE_URL is a postgres:// one, so that all instances share it")
	}
	path := filepath.Join(filepath.Dir(strings.TrimPrefix(c.DatabaseURL, "sqlite://")), "jwt.secret")
	kept, err := os.ReadFile(path) //nolint:gosec // the path is the operator's
	if err == nil && len(kept) >= token.MinSecret {
		return kept, nil
	}
	if err == nil {
		return nil, fmt.Errorf("the file %s is damaged; remove it, and everybody has to log in again", path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the secret for signing: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("keep the secret for signing: %w", err)
	}
	random := make([]byte, token.MinSecret)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the process instead
	secret := []byte(hex.EncodeToString(random))
	// Written aside and linked, so that a second process that starts now finds a whole file or none.
	part, err := os.CreateTemp(filepath.Dir(path), "jwt.secret.*") // made with mode 0600
	if err != nil {
		return nil, fmt.Errorf("keep the secret for signing: %w", err)
	}
	defer func() { _ = os.Remove(part.Name()) }()
	_, err = part.Write(secret)
	if err := errors.Join(err, part.Sync(), part.Close()); err != nil {
		return nil, fmt.Errorf("keep the secret for signing: %w", err)
	}
	if err := os.Link(part.Name(), path); err != nil {
		if errors.Is(err, os.ErrExist) {
			return signingSecret(c)
		}
		return nil, fmt.Errorf("keep the secret for signing: %w", err)
	}
	return secret, nil
}

// greet says in four lines where the server is, who may log in, where mails go and where to begin.
func greet(w io.Writer, addr net.Addr, c config.Config, made bool, generated string) error {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(c.HTTPAddr)
	if host == "" {
		host = "localhost"
	}
	who := "Log in as one of the users; 'api admin create EMAIL' makes an Admin"
	switch {
	case generated != "":
		who = fmt.Sprintf("Log in as %s with the password %s (shown only now)", c.AdminEmail, generated)
	case made:
		who = fmt.Sprintf("Log in as %s with ADMIN_PASSWORD", c.AdminEmail)
	}
	mails := map[string]string{
		"file": "Mails are written to the directory " + c.MailDir, "smtp": "Mails go out through SMTP_URL", "azure": "Mails go out through Azure Communication Services",
	}[c.MailProvider]
	if c.RabbitMQURL != "" {
		mails = "Mails go out through RabbitMQ and the email worker"
	}
	at := "http://" + net.JoinHostPort(host, port)
	_, err = fmt.Fprintf(w, "Inventory Hub answers at %s\n%s\n%s\nTry it out at %s/docs\n", at, who, mails, at)
	return err
}

func keepHouse(ctx context.Context, h *service.Housekeeping, log *slog.Logger) {
	timer := time.NewTicker(housekeepingEvery)
	defer timer.Stop()
	for {
		if err := h.Run(ctx); err != nil && ctx.Err() == nil {
			log.Warn("housekeeping is incomplete and will be tried again", "error", err)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// mailPath is how mails leave this process.
type mailPath struct {
	ready func(context.Context) error
	close func()
}

// How long an event belongs to the relay that claimed it: longer than the broker may take to confirm it (10 s), or the mailer to send and record it.
const (
	publishLease = 30 * time.Second
	mailLease    = 2 * time.Minute
)

// newRelay joins the outbox with the broker or, without one, with the mailer itself.
func newRelay(ctx context.Context, c config.Config, store *repository.Store, now func() time.Time, tracer *tracing.Tracer, log *slog.Logger) (*outbox.Relay, mailPath, error) {
	var handler outbox.Handler
	path, lease := mailPath{ready: func(context.Context) error { return nil }, close: func() {}}, mailLease
	if c.RabbitMQURL != "" {
		lease = publishLease
		publisher, err := rabbitmq.NewPublisher(rabbitmq.Config{URL: c.RabbitMQURL, Name: "inventoryhub api", RetryDelay: c.MailRetryDelay, RetryMaxDelay: c.MailRetryMax, Logger: log})
		if err != nil {
			return nil, mailPath{}, fmt.Errorf("RABBITMQ_URL: %w", err)
		}
		handler = brokerHandler{publisher}
		path.ready = func(context.Context) error { return publisher.Ready() }
		path.close = func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = publisher.Close(ctx)
		}
	} else {
		sender, err := email.OpenSender(email.SenderConfig{Provider: c.MailProvider, From: c.MailFrom, Dir: c.MailDir, SMTPURL: c.SMTPURL, AzureConnectionString: c.AzureConnection})
		if err != nil {
			return nil, mailPath{}, err
		}
		handler = email.NewMailer(email.Config{
			Store: store, Sender: sender, AppURL: c.AppURL, From: c.MailFrom, MaxRetries: c.MailMaxRetries,
			RetryDelay: c.MailRetryDelay, RetryMaxDelay: c.MailRetryMax, Now: now, Log: log,
		})
	}
	if store.Embedded() {
		// Nobody else is at work on this database: whatever a process before held, it holds no more.
		if err := errors.Join(store.Outbox.ReleaseAll(ctx, now().UTC()), store.Deliveries.ReleaseAll(ctx)); err != nil {
			return nil, mailPath{}, err
		}
	}
	relay := outbox.NewRelay(store, handler, lease, now, tracer, log)
	store.OnOutbox(relay.Wake)
	return relay, path, nil
}

// brokerHandler publishes events. The broker keeps them from there on.
type brokerHandler struct{ publisher *rabbitmq.Publisher }

// republishAfter is the pause after the broker did not take an event. It costs no retry: the outbox waits for as long as it takes.
const republishAfter = 2 * time.Second

// Handle publishes an event.
func (h brokerHandler) Handle(ctx context.Context, e domain.Event, _ int) domain.Outcome {
	ctx, span := tracing.BeginKind(ctx, tracing.Producer, "publish "+string(e.Type))
	defer span.End()
	span.Set("messaging.system", "rabbitmq")
	span.Set("messaging.message.id", e.ID.String())
	e.TraceParent = tracing.Parent(ctx)
	body, err := cloudevents.Encode(e)
	if err != nil {
		return domain.Outcome{Verdict: domain.VerdictDead, Reason: err.Error()}
	}
	err = h.publisher.Publish(ctx, rabbitmq.Message{ID: e.ID.String(), Type: string(e.Type), ContentType: cloudevents.ContentType, Body: body, Time: e.At})
	if err != nil {
		span.Fail("not confirmed")
		return domain.Outcome{Verdict: domain.VerdictRetry, After: republishAfter, Reason: err.Error()}
	}
	return domain.Outcome{Verdict: domain.VerdictDone}
}
