package email

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// fakeSender answers by the next function of a list, or that the mail is sent, and keeps what it was given.
type fakeSender struct {
	mu    sync.Mutex
	next  []func(context.Context, Mail) (Receipt, error)
	mails []Mail
}

func (s *fakeSender) Send(ctx context.Context, m Mail) (Receipt, error) {
	s.mu.Lock()
	s.mails = append(s.mails, m)
	answer := func(context.Context, Mail) (Receipt, error) { return Receipt{Sent: true}, nil }
	if len(s.next) > 0 {
		answer = s.next[0]
		s.next = s.next[1:]
	}
	s.mu.Unlock()
	return answer(ctx, m)
}

func (s *fakeSender) then(receipt Receipt, err error) *fakeSender {
	s.next = append(s.next, func(context.Context, Mail) (Receipt, error) { return receipt, err })
	return s
}

// world is a mailer on a real store, with a clock that stands still.
type world struct {
	t      *testing.T
	store  *repository.Store
	sender *fakeSender
	mailer *Mailer
	now    time.Time
	logs   bytes.Buffer
}

func newWorld(t *testing.T, store *repository.Store) *world {
	t.Helper()
	w := &world{t: t, store: store, sender: &fakeSender{}, now: happened.Add(time.Minute)}
	w.mailer = w.newMailer(w.sender)
	t.Cleanup(func() { assert.NotContains(t, w.logs.String(), token) })
	return w
}

func (w *world) newMailer(s Sender) *Mailer {
	m := NewMailer(Config{
		Store: w.store, Sender: s, AppURL: appURL, From: from, MaxRetries: 3, RetryDelay: 2 * time.Second, RetryMaxDelay: 15 * time.Minute,
		Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(&w.logs, nil)),
	})
	m.recordTime = 2 * time.Second
	return m
}

// event makes an event about a new user, with the live token that belongs to it.
func (w *world) event(typ domain.EventType) domain.Event {
	w.t.Helper()
	user := domain.NewDraft("ada@example.com", "Ada", "Lovelace", domain.RoleManager, happened)
	if typ == domain.EventStockLow {
		user.Activate("ada", "hash", happened)
	}
	require.NoError(w.t, w.store.Users.Create(w.t.Context(), user))
	kind, data := domain.TokenInvitation, any(invited())
	switch typ {
	case domain.EventPasswordReset:
		kind, data = domain.TokenPasswordReset, reset()
	case domain.EventEmailChanged:
		data = domain.EmailChanged{Email: "ada@example.com"}
	case domain.EventStockLow:
		e, err := domain.NewStockLow(user, w.lowProduct(), happened)
		require.NoError(w.t, err)
		return e
	}
	e, err := domain.NewEvent(typ, user.ID, happened, data)
	require.NoError(w.t, err)
	if typ != domain.EventEmailChanged {
		require.NoError(w.t, w.store.Tokens.Create(w.t.Context(), domain.OneTimeToken{
			ID: domain.NewID(), Kind: kind, UserID: user.ID, TokenHash: e.ID.String(), EventID: e.ID, CreatedAt: happened, ExpiresAt: happened.Add(time.Hour),
		}))
	}
	return e
}

// lowProduct makes a product with 2 units, of which there should be more than 5.
func (w *world) lowProduct() domain.Product {
	w.t.Helper()
	category := domain.NewCategory("Tools", happened)
	require.NoError(w.t, w.store.Categories.Create(w.t.Context(), category))
	p := domain.NewProduct("Nail", "", category, nil, happened)
	p.Label(new("N-1"), new(int64(5)))
	require.NoError(w.t, w.store.Products.Create(w.t.Context(), p))
	m := domain.NewMovement(p.ID, 2, domain.MovementCreated, uuid.Nil, happened)
	m.UserID = nil
	_, err := w.store.Stock.Apply(w.t.Context(), m)
	require.NoError(w.t, err)
	p.Quantity = 2
	return p
}

func (w *world) invitation() domain.Event {
	w.t.Helper()
	return w.event(domain.EventUserInvited)
}

func (w *world) handle(e domain.Event, retries int) domain.Outcome {
	w.t.Helper()
	return w.mailer.Handle(w.t.Context(), e, retries)
}

func (w *world) delivery(e domain.Event) domain.Delivery {
	w.t.Helper()
	d, err := w.store.Deliveries.ByEvent(context.Background(), e.ID)
	require.NoError(w.t, err)
	return d
}

var done = domain.Outcome{Verdict: domain.VerdictDone}

func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, store *repository.Store) { test(t, newWorld(t, store)) })
}

func TestMailer_mails_each_kind_once(t *testing.T) {
	for _, typ := range []domain.EventType{domain.EventUserInvited, domain.EventPasswordReset, domain.EventEmailChanged, domain.EventStockLow} {
		t.Run(string(typ), func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				e := w.event(typ)
				assert.Equal(t, done, w.handle(e, 0))
				assert.Equal(t, done, w.handle(e, 0), "the event comes again")
				require.Len(t, w.sender.mails, 1)
				sent := w.sender.mails[0]
				assert.Equal(t, "ada@example.com", sent.To)
				assert.Equal(t, "<"+e.ID.String()+"@mail.example.com>", sent.MessageID)
				assert.Equal(t, e.ID, sent.OperationID)
				assert.False(t, sent.Resume)
				assert.Equal(t, domain.Delivery{
					EventID: e.ID, UserID: e.Subject, Type: typ, State: domain.DeliverySent, Attempts: 1, OperationID: &e.ID,
					CreatedAt: w.now, UpdatedAt: w.now, SentAt: &w.now,
				}, utcTimes(w.delivery(e)))
				assert.Equal(t, 1, strings.Count(w.logs.String(), "mail sent"))
			})
		})
	}
}

func utcTimes(d domain.Delivery) domain.Delivery {
	d.CreatedAt, d.UpdatedAt = d.CreatedAt.UTC(), d.UpdatedAt.UTC()
	if d.SentAt != nil {
		at := d.SentAt.UTC()
		d.SentAt = &at
	}
	return d
}

func TestMailer_a_hundred_copies_at_once(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		other := w.newMailer(w.sender) // another process
		w.mailer.recordTime, other.recordTime = 10*time.Second, 10*time.Second
		var all sync.WaitGroup
		for i := range 100 {
			mailer := []*Mailer{w.mailer, other}[i%2]
			all.Go(func() {
				outcome := mailer.Handle(t.Context(), e, 0)
				assert.NotEqual(t, domain.VerdictDead, outcome.Verdict)
				assert.False(t, outcome.Spent)
			})
		}
		all.Wait()
		assert.Len(t, w.sender.mails, 1)
		assert.Equal(t, domain.DeliverySent, w.delivery(e).State)
	})
}

func TestMailer_another_worker_is_at_it(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		_, claimed, err := w.store.Deliveries.Claim(t.Context(), e, w.now, 40*time.Second)
		require.NoError(t, err)
		require.True(t, claimed)
		assert.Equal(t, later(40*time.Second, "another worker is at it"), w.handle(e, 0))
		assert.Empty(t, w.sender.mails)
	})
}

func TestMailer_drops_what_waited_too_long(t *testing.T) {
	stale := map[string]func(w *world, e *domain.Event){
		"expired": func(w *world, _ *domain.Event) { w.now = happened.Add(time.Hour) },
		"superseded or revoked": func(w *world, e *domain.Event) {
			require.NoError(w.t, w.store.Tokens.Revoke(w.t.Context(), e.Subject, w.now, domain.TokenInvitation))
		},
		"used": func(w *world, e *domain.Event) {
			token, err := w.store.Tokens.ByHash(w.t.Context(), domain.TokenInvitation, e.ID.String())
			require.NoError(w.t, err)
			used, err := w.store.Tokens.Use(w.t.Context(), token.ID, w.now)
			require.NoError(w.t, err)
			require.True(w.t, used)
		},
		"never heard of": func(_ *world, e *domain.Event) { e.ID = domain.NewID() },
	}
	for name, spoil := range stale {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				e := w.invitation()
				spoil(w, &e)
				assert.Equal(t, done, w.handle(e, 0))
				assert.Equal(t, done, w.handle(e, 0))
				assert.Empty(t, w.sender.mails)
				d := w.delivery(e)
				assert.Equal(t, domain.DeliveryDropped, d.State)
				assert.Nil(t, d.SentAt)
				assert.Equal(t, 1, strings.Count(w.logs.String(), "mail dropped"))
			})
		})
	}
}

func TestMailer_drops_what_is_no_longer_low(t *testing.T) {
	product := func(w *world) domain.Product {
		products, _, err := w.store.Products.List(w.t.Context(), domain.ProductFilter{Page: domain.Page{Number: 1, Size: 1, Sort: domain.Sort{Field: "name"}}})
		require.NoError(w.t, err)
		return products[0]
	}
	describe := func(email string, role domain.Role) func(w *world, e domain.Event) error {
		return func(w *world, e domain.Event) error {
			user, err := w.store.Users.ByID(w.t.Context(), e.Subject)
			require.NoError(w.t, err)
			user.Describe(email, user.FirstName, user.LastName, role, w.now)
			return w.store.Users.SaveDescription(w.t.Context(), user)
		}
	}
	for why, change := range map[string]func(w *world, e domain.Event) error{
		"its recipient is gone":                     func(w *world, e domain.Event) error { return w.store.Users.Delete(w.t.Context(), e.Subject, w.now) },
		"its recipient no longer watches the stock": describe("ada@example.com", domain.RoleUser),
		"its recipient has another address now":     describe("ada@example.org", domain.RoleManager),
		"the product is gone": func(w *world, _ domain.Event) error {
			return w.store.Products.Delete(w.t.Context(), product(w).ID, w.now)
		},
		"the stock has recovered": func(w *world, _ domain.Event) error {
			m := domain.NewMovement(product(w).ID, 4, domain.MovementAdjusted, uuid.Nil, w.now)
			m.UserID = nil
			_, err := w.store.Stock.Apply(w.t.Context(), m)
			return err
		},
	} {
		t.Run(why, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				e := w.event(domain.EventStockLow)
				require.NoError(t, change(w, e))
				assert.Equal(t, done, w.handle(e, 0))
				assert.Empty(t, w.sender.mails)
				assert.Equal(t, domain.DeliveryDropped, w.delivery(e).State)
				assert.Contains(t, w.logs.String(), "mail dropped: "+why)
			})
		})
	}
}

func TestMailer_bad_event(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.event(domain.EventEmailChanged)
		e.Data = []byte(`{"email":"` + token + `"}`)
		outcome := w.handle(e, 0)
		assert.Equal(t, domain.Outcome{Verdict: domain.VerdictDead, Reason: "render user.email-changed: the recipient's address is not one"}, outcome)
		d := w.delivery(e)
		assert.Equal(t, domain.DeliveryFailed, d.State)
		assert.Equal(t, outcome.Reason, d.LastError)
		assert.Zero(t, d.Attempts)
		assert.Empty(t, w.sender.mails)
	})
}

func TestMailer_temporary_failure(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.then(Receipt{}, &SendError{NotSent: true, Reason: "451 busy " + token})
		outcome := w.handle(e, 0)
		assert.InDelta(t, 2*time.Second, outcome.After, float64(400*time.Millisecond))
		outcome.After = 0
		assert.Equal(t, domain.Outcome{Verdict: domain.VerdictRetry, Spent: true, Reason: "451 busy [token]"}, outcome)
		d := w.delivery(e)
		assert.Equal(t, domain.DeliveryRetrying, d.State)
		assert.Equal(t, "451 busy [token]", d.LastError)
		assert.Equal(t, 1, d.Attempts)
		assert.Nil(t, d.OperationID, "what is known to have failed gets a new id")

		assert.Equal(t, done, w.handle(e, 1))
		require.Len(t, w.sender.mails, 2)
		assert.False(t, w.sender.mails[1].Resume)
		assert.NotEqual(t, w.sender.mails[0].OperationID, w.sender.mails[1].OperationID)
		assert.Equal(t, w.sender.mails[0].MessageID, w.sender.mails[1].MessageID)
		assert.Equal(t, 2, w.delivery(e).Attempts)
	})
}

func TestMailer_unclear_outcome_is_resumed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.then(Receipt{}, errors.New("connection reset")).then(Receipt{}, &SendError{Reason: "500"})
		assert.True(t, w.handle(e, 0).Spent)
		assert.True(t, w.handle(e, 1).Spent)
		assert.Equal(t, done, w.handle(e, 2))
		require.Len(t, w.sender.mails, 3)
		for i, m := range w.sender.mails {
			assert.Equal(t, e.ID, m.OperationID)
			assert.Equal(t, i > 0, m.Resume)
			assert.False(t, m.Accepted)
		}
	})
}

func TestMailer_delay(t *testing.T) {
	w := &world{now: happened}
	w.mailer = w.newMailer(nil)
	for retries, want := range map[int]time.Duration{
		0: 2 * time.Second, 1: 4 * time.Second, 8: 512 * time.Second, 9: 15 * time.Minute, 99: 15 * time.Minute, 1 << 40: 15 * time.Minute,
	} {
		seen := map[time.Duration]bool{}
		for range 50 {
			got := (&handling{Mailer: w.mailer, retries: retries}).delay()
			assert.InDelta(t, want, got, 0.2*float64(want))
			seen[got] = true
		}
		assert.Greater(t, len(seen), 1, "they do not all come back at once")
	}
}

func TestMailer_last_retry_and_requeue(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.then(Receipt{}, &SendError{NotSent: true, Reason: "connection refused"})
		assert.Equal(t, domain.Outcome{Verdict: domain.VerdictDead, Reason: "gave up after 3 retries: connection refused"}, w.handle(e, 3))
		assert.Equal(t, domain.DeliveryFailed, w.delivery(e).State)

		assert.Equal(t, done, w.handle(e, 0), "an operator puts it back")
		d := w.delivery(e)
		assert.Equal(t, domain.DeliverySent, d.State)
		assert.Equal(t, 2, d.Attempts)
	})
}

func TestMailer_permanent_failure(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.then(Receipt{}, &SendError{Permanent: true, NotSent: true, Reason: "550 nobody here"})
		assert.Equal(t, domain.Outcome{Verdict: domain.VerdictDead, Reason: "550 nobody here"}, w.handle(e, 0))
		d := w.delivery(e)
		assert.Equal(t, domain.DeliveryFailed, d.State)
		assert.Equal(t, "550 nobody here", d.LastError)
		assert.Nil(t, d.LeaseUntil)
	})
}

func TestMailer_throttled_costs_no_retry(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.then(Receipt{}, &SendError{Throttled: true, NotSent: true, RetryAfter: 17 * time.Minute, Reason: "429"})
		assert.Equal(t, later(17*time.Minute, "429"), w.handle(e, 3))
		assert.Equal(t, domain.DeliveryRetrying, w.delivery(e).State)
		assert.Equal(t, done, w.handle(e, 3))
	})
}

func TestMailer_provider_says_when(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.sender.then(Receipt{}, &SendError{RetryAfter: time.Hour, Reason: "503"})
		outcome := w.handle(w.invitation(), 0)
		assert.Equal(t, time.Hour, outcome.After)
		assert.True(t, outcome.Spent)
	})
}

const awaited = "accepted by the provider, its final word is awaited"

func TestMailer_accepted_then_sent(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.then(Receipt{AskAfter: 40 * time.Second}, nil)
		assert.Equal(t, later(40*time.Second, awaited), w.handle(e, 0))
		assert.Equal(t, domain.DeliveryAccepted, w.delivery(e).State)

		// The invited person is quicker than the provider's word. That is no reason to forget the mail.
		require.NoError(t, w.store.Tokens.Revoke(t.Context(), e.Subject, w.now, domain.TokenInvitation))
		assert.Equal(t, done, w.handle(e, 0))
		d := w.delivery(e)
		assert.Equal(t, domain.DeliverySent, d.State)
		assert.Equal(t, 1, d.Attempts)
		assert.Equal(t, 1, d.Polls)
		require.Len(t, w.sender.mails, 2)
		assert.True(t, w.sender.mails[1].Resume)
		assert.True(t, w.sender.mails[1].Accepted)
		assert.Equal(t, e.ID, w.sender.mails[1].OperationID)
	})
}

func TestMailer_accepted_for_ever(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		running := Receipt{AskAfter: 30 * time.Second}
		w.sender.then(running, nil).then(running, nil).then(Receipt{}, &SendError{Throttled: true, RetryAfter: time.Minute, Reason: "429"}).then(running, nil)
		assert.Equal(t, later(30*time.Second, awaited), w.handle(e, 0))
		assert.Equal(t, later(2*time.Minute, awaited), w.handle(e, 0))
		assert.Equal(t, later(15*time.Minute, "429"), w.handle(e, 0), "16 minutes, but not above the longest delay")
		assert.Equal(t, done, w.handle(e, 0))
		assert.Len(t, w.sender.mails, 1+maxPolls)
		d := w.delivery(e)
		assert.Equal(t, domain.DeliverySent, d.State)
		assert.NotNil(t, d.SentAt)
		assert.Contains(t, w.logs.String(), "final word did not come")
	})
}

func TestMailer_accepted_then_failed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		own := uuid.New()
		w.sender.then(Receipt{OperationID: own}, nil).
			then(Receipt{}, errors.New("timeout")).
			then(Receipt{}, &SendError{Permanent: true, NotSent: true, Reason: "EmailDropped"})
		assert.Equal(t, later(pollPause, awaited), w.handle(e, 3))
		assert.Equal(t, later(pollGrowth*pollPause, "timeout"), w.handle(e, 3), "no word is no failure")
		assert.Equal(t, domain.Outcome{Verdict: domain.VerdictDead, Reason: "EmailDropped"}, w.handle(e, 3))
		assert.Equal(t, own, w.sender.mails[1].OperationID, "the provider's own name for it")

		assert.Equal(t, done, w.handle(e, 0), "an operator puts it back")
		last := w.sender.mails[3]
		assert.False(t, last.Resume)
		assert.NotContains(t, []uuid.UUID{own, e.ID}, last.OperationID)
		assert.Zero(t, w.delivery(e).Polls)
	})
}

// A worker that died while sending leaves the operation id behind: the next one asks first.
func TestMailer_after_a_crash(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		w.sender.next = append(w.sender.next, func(context.Context, Mail) (Receipt, error) { panic("killed") })
		assert.Panics(t, func() { w.handle(e, 0) })
		assert.Equal(t, domain.VerdictRetry, w.handle(e, 0).Verdict, "its lease holds")
		w.now = w.now.Add(lease)
		assert.Equal(t, done, w.handle(e, 0))
		require.Len(t, w.sender.mails, 2)
		assert.True(t, w.sender.mails[1].Resume)
		assert.Equal(t, e.ID, w.sender.mails[1].OperationID)
	})
}

func TestMailer_database_away(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		require.NoError(t, w.store.Close())
		assert.Equal(t, later(databasePause, "the database is away"), w.handle(e, 3))
		assert.Empty(t, w.sender.mails)
	})
}

// The database goes away while the mail is being sent. The mail is not sent again because of that.
func TestMailer_database_away_after_the_send(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, storetest.Open(t, url))
		e := w.invitation()
		db := openSQL(t, url)
		exec := func(statement string) {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		w.sender.next = append(w.sender.next, func(context.Context, Mail) (Receipt, error) {
			exec("ALTER TABLE deliveries RENAME TO gone")
			return Receipt{Sent: true}, nil
		})
		assert.Equal(t, later(databasePause, "the database is away"), w.handle(e, 0))
		assert.Equal(t, later(databasePause, "the database is away"), w.handle(e, 0))
		exec("ALTER TABLE gone RENAME TO deliveries")
		assert.Equal(t, done, w.handle(e, 0))
		assert.Len(t, w.sender.mails, 1)
		assert.Equal(t, domain.DeliverySent, w.delivery(e).State)
	})
}

// A short absence is sat out.
func TestMailer_database_back_in_time(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, storetest.Open(t, url))
		w.mailer.recordTime = 10 * time.Second
		e := w.invitation()
		db := openSQL(t, url)
		w.sender.next = append(w.sender.next, func(context.Context, Mail) (Receipt, error) {
			_, err := db.ExecContext(t.Context(), "ALTER TABLE deliveries RENAME TO gone")
			require.NoError(t, err)
			time.AfterFunc(300*time.Millisecond, func() {
				_, err := db.ExecContext(t.Context(), "ALTER TABLE gone RENAME TO deliveries")
				assert.NoError(t, err)
			})
			return Receipt{Sent: true}, nil
		})
		assert.Equal(t, done, w.handle(e, 0))
		assert.Equal(t, domain.DeliverySent, w.delivery(e).State)
	})
}

// openSQL opens a second, plain connection to a store's database, with the drivers that the store brings.
func openSQL(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite://"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestMailer_shutdown(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		ctx, cancel := context.WithCancel(t.Context())
		w.sender.next = append(w.sender.next, func(sending context.Context, _ Mail) (Receipt, error) {
			cancel()
			assert.NoError(t, sending.Err(), "a send that has begun may end")
			return Receipt{Sent: true}, nil
		})
		assert.Equal(t, done, w.mailer.Handle(ctx, e, 0))
		assert.Equal(t, domain.DeliverySent, w.delivery(e).State, "and is recorded")

		assert.Equal(t, later(0, "shutting down"), w.mailer.Handle(ctx, e, 0))
		assert.Len(t, w.sender.mails, 1)
	})
}

func TestMailer_shutdown_cuts_a_send_off(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.invitation()
		ctx, cancel := context.WithCancel(t.Context())
		w.sender.next = append(w.sender.next, func(context.Context, Mail) (Receipt, error) {
			cancel()
			return Receipt{}, context.Canceled
		})
		assert.Equal(t, later(0, "context canceled"), w.mailer.Handle(ctx, e, 3), "no retry is spent, even the last")
		d := w.delivery(e)
		assert.Equal(t, domain.DeliveryRetrying, d.State)
		assert.Equal(t, &e.ID, d.OperationID)
		assert.Nil(t, d.LeaseUntil)
	})
}

// The real sender with the real store, and a provider that loses an answer: one mail.
func TestMailer_with_Azure(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f, s := startFakeAzure(t)
		w.mailer = w.newMailer(s)
		f.next = []http.HandlerFunc{reply(429, map[string]string{"Retry-After": "7"}, ""), reply(401, nil, ""), f.lose}
		e := w.invitation()
		assert.Equal(t, later(7*time.Second, "Azure answered 429"), w.handle(e, 0))
		assert.True(t, w.handle(e, 0).Spent, "401")
		assert.True(t, w.handle(e, 1).Spent, "lost")
		assert.Equal(t, later(azureAskAfter, awaited), w.handle(e, 2))
		f.status = "Succeeded"
		assert.Equal(t, done, w.handle(e, 2))
		assert.Len(t, f.mails, 1)
		d := w.delivery(e)
		assert.Equal(t, domain.DeliverySent, d.State)
		assert.Equal(t, 4, d.Attempts)
	})
}

// A worker that is held up between its claim and its try, for longer than its lease, sends nothing and writes over nothing.
func TestMailer_comes_too_late(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e, asked := w.invitation(), 0
		held := w.mailer.cfg
		held.Now = func() time.Time {
			if asked++; asked == 2 {
				w.now = w.now.Add(2 * lease)
				require.Equal(t, domain.VerdictDone, w.handle(e, 0).Verdict)
			}
			return w.now
		}
		require.Equal(t, domain.VerdictRetry, NewMailer(held).Handle(t.Context(), e, 0).Verdict)
		require.Len(t, w.sender.mails, 1)
		require.Equal(t, domain.DeliverySent, w.delivery(e).State)
	})
}
