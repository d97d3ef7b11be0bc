package email

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

const (
	// lease is how long a mail belongs to the worker that took it up. It is longer than sending and recording can take, so
	// that nobody else begins while this one may still succeed.
	lease = 2 * time.Minute
	// sendTime bounds one call of the Sender: the Azure one may make two exchanges of 30 s.
	sendTime = 65 * time.Second
	// shutdownGrace is how much longer a send may go on once the process is told to stop: cut off after the last byte, it
	// would be sent twice.
	shutdownGrace = 10 * time.Second
	// recordTime bounds the tries to write down what became of a send.
	recordTime = 15 * time.Second
	// databasePause is how long to wait when the database is away.
	databasePause = 5 * time.Second
	// maxPolls is how often the provider is asked for the final word on a mail that it has accepted. After that the mail
	// counts as sent. Azure allows about two questions a mail.
	maxPolls = 3
	// pollPause is the wait before the first poll if the provider names none; each further one waits pollGrowth times longer,
	// up to the longest retry delay.
	pollPause  = 30 * time.Second
	pollGrowth = 4
	// jitter spreads the retries of mails that failed together, by up to this part of the delay either way.
	jitter = 0.2
)

// Config is what a [Mailer] needs.
type Config struct {
	Store         *repository.Store
	Sender        Sender
	AppURL        string        // what the links begin with
	From          string        // the sender's address; its domain is the message ids'
	MaxRetries    int           // tries after the first
	RetryDelay    time.Duration // after the first try; doubles with each further one
	RetryMaxDelay time.Duration
	Now           func() time.Time
	Log           *slog.Logger
}

// Mailer mails events, each once, and keeps the deliveries' record. It may be used by several goroutines and by several
// processes on one database.
type Mailer struct {
	cfg        Config
	recordTime time.Duration

	mu sync.Mutex
	// unrecorded holds what was sent while the database was away, so that the event's next round only records it.
	unrecorded map[uuid.UUID]handled
}

// NewMailer makes a Mailer.
func NewMailer(cfg Config) *Mailer {
	return &Mailer{cfg: cfg, recordTime: recordTime, unrecorded: map[uuid.UUID]handled{}}
}

// Handle mails the event, unless that is done already or no longer wanted, and says what its queue has to do with it.
// Retries is how many the queue has spent on it so far. Once a send has begun, cancelling ctx ends it only after a
// grace of 10 s.
func (m *Mailer) Handle(ctx context.Context, e domain.Event, retries int) domain.Outcome {
	if ctx.Err() != nil {
		return later(0, "shutting down")
	}
	h := handling{Mailer: m, event: e, retries: retries, log: m.cfg.Log.With("event", e.ID, "type", e.Type, "user", e.Subject)}
	if d, ok := m.forget(e.ID); ok {
		h.handled = d
		return h.record(ctx, domain.Outcome{Verdict: domain.VerdictDone})
	}
	now := m.cfg.Now()
	d, claimed, err := m.cfg.Store.Deliveries.Claim(ctx, e, now, lease)
	if err != nil {
		return h.databaseAway(err)
	}
	if !claimed {
		return held(d, now)
	}
	h.handled = handled{d, d.UpdatedAt}
	return h.run(ctx)
}

// held is the answer for an event that is finished or in another worker's hands.
func held(d domain.Delivery, now time.Time) domain.Outcome {
	if d.State == domain.DeliverySent || d.State == domain.DeliveryDropped {
		return domain.Outcome{Verdict: domain.VerdictDone}
	}
	wait := time.Second
	if d.LeaseUntil != nil {
		wait = max(wait, d.LeaseUntil.Sub(now))
	}
	return later(wait, "another worker is at it")
}

// later puts an event back without a cost.
func later(after time.Duration, reason string) domain.Outcome {
	return domain.Outcome{Verdict: domain.VerdictRetry, After: after, Reason: reason}
}

// handling is one try to mail one event, whose delivery is claimed.
type handling struct {
	*Mailer
	handled
	event   domain.Event
	retries int
	log     *slog.Logger
}

// handled is a delivery, and when its record was written that we saw last.
type handled struct {
	delivery domain.Delivery
	seen     time.Time
}

func (h *handling) run(ctx context.Context) domain.Outcome {
	accepted := h.delivery.State == domain.DeliveryAccepted
	if !accepted {
		why, err := h.unwanted(ctx)
		if err != nil {
			h.release(ctx)
			return h.databaseAway(err)
		}
		if why != "" {
			return h.dropped(ctx, why)
		}
	}
	mail, err := Render(h.event, h.cfg.AppURL, h.cfg.From)
	if err != nil {
		return h.failed(ctx, &SendError{Permanent: true, NotSent: true, Reason: line(err.Error(), "")})
	}
	if ctx.Err() != nil {
		h.release(ctx)
		return later(0, "shutting down")
	}
	mail.Resume, mail.Accepted = h.delivery.OperationID != nil, accepted
	mail.OperationID = h.begin(accepted)
	if err := h.save(ctx); isLost(err) {
		return later(time.Second, "another worker is at it")
	} else if err != nil {
		h.release(ctx)
		return h.databaseAway(err)
	}
	sending, cancel := linger(ctx)
	defer cancel()
	receipt, err := h.send(sending, mail)
	if err != nil {
		return h.notTaken(ctx, asSendError(err, mail.secret), accepted)
	}
	if receipt.Sent {
		return h.sent(ctx, "mail sent")
	}
	return h.accepted(ctx, receipt)
}

// send hands the mail to the provider. The span of it tells neither the address nor what the provider said, which may quote it.
func (h *handling) send(ctx context.Context, mail Mail) (Receipt, error) {
	ctx, span := tracing.BeginKind(ctx, tracing.Client, "mail "+string(h.event.Type))
	defer span.End()
	span.Set("event.id", h.event.ID.String())
	span.Set("attempt", h.delivery.Attempts)
	receipt, err := h.cfg.Sender.Send(ctx, mail)
	if err != nil {
		span.Fail("not taken")
	}
	return receipt, err
}

// unwanted says why the mail makes no sense any more, and nothing if it does.
func (h *handling) unwanted(ctx context.Context) (string, error) {
	if h.event.Type == domain.EventStockLow {
		return h.unwantedStock(ctx)
	}
	if kinds[h.event.Type].path == "" {
		return "", nil
	}
	live, err := h.cfg.Store.Tokens.LiveForEvent(ctx, h.event.ID, h.cfg.Now())
	if live || err != nil {
		return "", err
	}
	return "its link was superseded, used, revoked or has expired", nil
}

// unwantedStock is unwanted for a product that became low.
func (h *handling) unwantedStock(ctx context.Context) (string, error) {
	told, err := decode[domain.StockLow](h.event.Data)
	if err != nil {
		return "", nil //nolint:nilerr // Render says so
	}
	user, err := h.cfg.Store.Users.ByID(ctx, h.event.Subject)
	switch {
	case isMissing(err):
		return "its recipient is gone", nil
	case err != nil:
		return "", err
	case !user.WatchesStock():
		return "its recipient no longer watches the stock", nil
	case user.Email != told.Email:
		return "its recipient has another address now", nil
	}
	product, err := h.cfg.Store.Products.ByID(ctx, told.ProductID)
	switch {
	case isMissing(err):
		return "the product is gone", nil
	case err != nil:
		return "", err
	case !product.Low():
		return "the stock has recovered", nil
	}
	return "", nil
}

func isMissing(err error) bool {
	var refused *domain.Error
	return errors.As(err, &refused) && refused.Kind == domain.KindNotFound
}

// begin notes the send, or the question, that comes next, and gives its operation id. Saved before the send, it makes
// whoever comes after a crash ask the provider first.
func (h *handling) begin(accepted bool) uuid.UUID {
	d := &h.delivery
	if accepted {
		d.Polls++
		return *d.OperationID
	}
	if d.OperationID == nil {
		id := h.event.ID
		if d.Attempts > 0 {
			// What was known to have failed under an id would fail again under it.
			id = uuid.New()
		}
		d.OperationID = &id
	}
	d.Attempts++
	d.Polls = 0
	return *d.OperationID
}

func (h *handling) sent(ctx context.Context, message string) domain.Outcome {
	now := h.cfg.Now()
	h.delivery.State, h.delivery.SentAt, h.delivery.LeaseUntil = domain.DeliverySent, &now, nil
	h.log.Info(message, "attempts", h.delivery.Attempts)
	return h.record(ctx, domain.Outcome{Verdict: domain.VerdictDone})
}

func (h *handling) dropped(ctx context.Context, why string) domain.Outcome {
	h.delivery.State, h.delivery.LeaseUntil = domain.DeliveryDropped, nil
	h.log.Info("mail dropped: " + why)
	return h.record(ctx, domain.Outcome{Verdict: domain.VerdictDone})
}

// accepted waits for the provider's final word, which it asks for up to maxPolls times.
func (h *handling) accepted(ctx context.Context, receipt Receipt) domain.Outcome {
	h.delivery.State = domain.DeliveryAccepted
	if receipt.OperationID != uuid.Nil {
		h.delivery.OperationID = &receipt.OperationID
	}
	return h.askLater(ctx, receipt.AskAfter, "accepted by the provider, its final word is awaited")
}

// askLater ends a round in which the provider had no final word on a mail that it has accepted.
func (h *handling) askLater(ctx context.Context, after time.Duration, reason string) domain.Outcome {
	if h.delivery.Polls >= maxPolls {
		return h.sent(ctx, "mail counted as sent: accepted by the provider, whose final word did not come")
	}
	if after <= 0 {
		after = pollPause
	}
	wait := after
	for range h.delivery.Polls {
		wait = min(wait*pollGrowth, max(after, h.cfg.RetryMaxDelay))
	}
	h.delivery.LeaseUntil = nil
	return h.record(ctx, later(wait, reason))
}

// notTaken sorts a failure.
func (h *handling) notTaken(ctx context.Context, failure *SendError, accepted bool) domain.Outcome {
	switch {
	case failure.Permanent:
		return h.failed(ctx, failure)
	case accepted:
		h.log.Warn("could not ask for the mail's final word", "reason", failure.Reason)
		return h.askLater(ctx, failure.RetryAfter, failure.Reason)
	case failure.Throttled:
		return h.retry(ctx, failure, later(max(failure.RetryAfter, h.cfg.RetryDelay), failure.Reason))
	case ctx.Err() != nil:
		return h.retry(ctx, failure, later(0, failure.Reason))
	case h.retries >= h.cfg.MaxRetries:
		failure.Reason = fmt.Sprintf("gave up after %d retries: %s", h.retries, failure.Reason)
		return h.failed(ctx, failure)
	default:
		return h.retry(ctx, failure, domain.Outcome{
			Verdict: domain.VerdictRetry, After: max(h.delay(), failure.RetryAfter), Spent: true, Reason: failure.Reason,
		})
	}
}

func (h *handling) retry(ctx context.Context, failure *SendError, outcome domain.Outcome) domain.Outcome {
	h.note(domain.DeliveryRetrying, failure)
	h.log.Warn("mail not sent, to be tried again", "attempts", h.delivery.Attempts, "after", outcome.After, "reason", failure.Reason)
	return h.record(ctx, outcome)
}

func (h *handling) failed(ctx context.Context, failure *SendError) domain.Outcome {
	h.note(domain.DeliveryFailed, failure)
	h.log.Error("mail given up", "attempts", h.delivery.Attempts, "reason", failure.Reason)
	return h.record(ctx, domain.Outcome{Verdict: domain.VerdictDead, Reason: failure.Reason})
}

// note puts a failure into the record. The operation id is kept only while the mail may have been sent under it.
func (h *handling) note(state domain.DeliveryState, failure *SendError) {
	h.delivery.State, h.delivery.LastError, h.delivery.LeaseUntil = state, failure.Reason, nil
	if failure.NotSent {
		h.delivery.OperationID = nil
	}
}

// delay is how long to wait before the next try: doubling, bounded, with jitter.
func (h *handling) delay() time.Duration {
	d := h.cfg.RetryDelay
	for i := 0; i < h.retries && d < h.cfg.RetryMaxDelay; i++ {
		d *= 2
	}
	d = min(d, h.cfg.RetryMaxDelay)
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}

func (h *handling) save(ctx context.Context) error {
	h.delivery.UpdatedAt = h.cfg.Now()
	err := h.cfg.Store.Deliveries.Save(ctx, h.delivery, h.seen)
	if err == nil {
		h.seen = h.delivery.UpdatedAt
	}
	return err
}

// isLost says whether a record was not written because somebody else has claimed the mail: what it says now is for them to write.
func isLost(err error) bool {
	var refused *domain.Error
	return errors.As(err, &refused) && refused.Kind == domain.KindConflict
}

// record writes down how the round ended and gives its outcome. It does so also during a shutdown and keeps trying for a
// while, because what is not recorded is done again. If the database stays away, a send is remembered in memory.
func (h *handling) record(ctx context.Context, outcome domain.Outcome) domain.Outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.recordTime)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := h.save(ctx)
		if isLost(err) {
			h.log.Warn("mail not recorded, another worker has it") // or the first try was, and only its answer was lost
			return struct{}{}, nil
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewExponentialBackOff()))
	if err == nil {
		return outcome
	}
	if h.delivery.State == domain.DeliverySent {
		h.remember(h.handled)
	}
	return h.databaseAway(err)
}

// release gives the mail up without a word on it, as far as that is possible; else the lease runs out.
func (h *handling) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databasePause)
	defer cancel()
	h.delivery.LeaseUntil = nil
	if err := h.save(ctx); err != nil {
		h.log.Warn("mail not released", "error", err)
	}
}

func (h *handling) databaseAway(err error) domain.Outcome {
	h.log.Warn("mail waits for the database", "error", err)
	return later(databasePause, "the database is away")
}

func (m *Mailer) remember(d handled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unrecorded[d.delivery.EventID] = d
}

func (m *Mailer) forget(event uuid.UUID) (handled, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.unrecorded[event]
	delete(m.unrecorded, event)
	return d, ok
}

// asSendError takes any failure of a Sender. One that it did not sort leaves the outcome unclear.
func asSendError(err error, secret string) *SendError {
	failure := &SendError{Reason: err.Error()}
	if known := (*SendError)(nil); errors.As(err, &known) {
		copied := *known
		failure = &copied
	}
	failure.Reason = line(failure.Reason, secret)
	return failure
}

// linger gives a context for one send: bounded, and cancelled some time after ctx is.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(shutdownGrace, cancel) })
	return sending, func() {
		stop()
		cancel()
	}
}
