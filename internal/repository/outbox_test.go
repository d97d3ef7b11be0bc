package repository_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

func eventIDs(events []repository.QueuedEvent) []uuid.UUID {
	return ids(events, func(e repository.QueuedEvent) uuid.UUID { return e.ID })
}

// claim takes up to n events for a minute.
func (b *base) claim(n int, at time.Time) []repository.QueuedEvent {
	b.t.Helper()
	events, err := b.Outbox.Claim(b.ctx, n, at, time.Minute)
	b.ok(err)
	return events
}

func TestOutbox_Claim(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		require.Equal(t, []repository.QueuedEvent{}, b.claim(5, now))
		one, two, three := b.event(now), b.event(now.Add(time.Second)), b.event(now.Add(time.Minute))

		require.Empty(t, b.claim(5, now.Add(-time.Millisecond)), "nothing is due yet")
		require.Equal(t, []repository.QueuedEvent{{Event: one, DueAt: now.Add(61 * time.Second)}}, b.claim(1, now.Add(time.Second)), "the one that waits longest")
		require.Equal(t, []repository.QueuedEvent{{Event: two, DueAt: now.Add(61 * time.Second)}}, b.claim(5, now.Add(time.Second)))
		require.Empty(t, b.claim(5, now.Add(59*time.Second)), "both are taken")
		require.Equal(t, []uuid.UUID{three.ID}, eventIDs(b.claim(5, now.Add(time.Minute))))
		require.ElementsMatch(t, []uuid.UUID{one.ID, two.ID}, eventIDs(b.claim(5, now.Add(61*time.Second))), "their leases have ended")
	})
}

func TestOutbox_verdicts(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		sent, retried, dead := b.event(now), b.event(now), b.event(now)
		b.claim(3, now)
		b.ok(b.Outbox.Sent(b.ctx, sent.ID, now.Add(time.Second)))
		b.ok(b.Outbox.Retry(b.ctx, retried.ID, 3, now.Add(time.Hour), "no route"))
		b.ok(b.Outbox.Dead(b.ctx, dead.ID, "malformed"))

		require.Empty(t, b.claim(5, now.Add(time.Hour-time.Millisecond)))
		again := repository.QueuedEvent{Event: retried, Retries: 3, DueAt: now.Add(time.Hour + time.Minute), LastError: "no route"}
		require.Equal(t, []repository.QueuedEvent{again}, b.claim(5, now.Add(time.Hour)))
		require.Equal(t, []string{""}, b.strings("SELECT data FROM outbox WHERE id = ?", sent.ID.String()), "what was sent is forgotten, with the token in it")
		require.Zero(t, scan[int](b, "SELECT COUNT(*) FROM outbox WHERE state = 'Sent' AND data LIKE '%secret%'"))

		for _, id := range []uuid.UUID{sent.ID, dead.ID, domain.NewID()} {
			b.refuses(b.Outbox.Sent(b.ctx, id, now), domain.KindNotFound, "id")
			b.refuses(b.Outbox.Retry(b.ctx, id, 0, now, ""), domain.KindNotFound, "id")
			b.refuses(b.Outbox.Dead(b.ctx, id, ""), domain.KindNotFound, "id")
		}
	})
}

func TestOutbox_deadEvents(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		later, earlier, other := b.event(now.Add(time.Second)), b.event(now), b.event(now)
		pending := b.event(now.Add(time.Hour))
		for i, e := range []domain.Event{later, earlier, other} {
			b.ok(b.Outbox.Retry(b.ctx, e.ID, 8, now, "first"))
			b.ok(b.Outbox.Dead(b.ctx, e.ID, "reason "+string(rune('a'+i))))
		}
		dead, err := b.Outbox.ListDead(b.ctx)
		b.ok(err)
		require.Equal(t, []uuid.UUID{earlier.ID, other.ID, later.ID}, eventIDs(dead), "oldest first")
		require.Equal(t, repository.QueuedEvent{Event: earlier, Retries: 8, DueAt: now, LastError: "reason b"}, dead[0])

		for _, id := range []uuid.UUID{pending.ID, domain.NewID()} {
			n, err := b.Outbox.Requeue(b.ctx, id, now)
			b.ok(err)
			require.Zero(t, n)
			n, err = b.Outbox.Drop(b.ctx, id)
			b.ok(err)
			require.Zero(t, n, "only what is dead")
		}
		n, err := b.Outbox.Requeue(b.ctx, earlier.ID, now.Add(time.Minute))
		b.ok(err)
		require.EqualValues(t, 1, n)
		require.Equal(t, []repository.QueuedEvent{{Event: earlier, DueAt: now.Add(2 * time.Minute), LastError: "reason b"}}, b.claim(9, now.Add(time.Minute)), "with all its tries")
		n, err = b.Outbox.Drop(b.ctx, other.ID)
		b.ok(err)
		require.EqualValues(t, 1, n)
		n, err = b.Outbox.Requeue(b.ctx, uuid.Nil, now)
		b.ok(err)
		require.EqualValues(t, 1, n, "all that are left")
		dead, err = b.Outbox.ListDead(b.ctx)
		b.ok(err)
		require.Equal(t, []repository.QueuedEvent{}, dead)
		require.Equal(t, 3, b.count("outbox"))
	})
}

func TestOutbox_ReleaseAll(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		held, waiting, dead := b.event(now), b.event(now), b.event(now)
		b.claim(3, now)
		b.ok(b.Outbox.Retry(b.ctx, waiting.ID, 2, now.Add(time.Hour), "no route"))
		b.ok(b.Outbox.Dead(b.ctx, dead.ID, "malformed"))
		b.ok(b.Outbox.ReleaseAll(b.ctx, now))
		require.Equal(t, []uuid.UUID{held.ID}, eventIDs(b.claim(5, now)), "what waits for its next try goes on waiting")
	})
}

func TestOutbox_Purge(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		old, young, dead, pending := b.event(now), b.event(now), b.event(now), b.event(now)
		b.ok(b.Outbox.Sent(b.ctx, old.ID, now))
		b.ok(b.Outbox.Sent(b.ctx, young.ID, now.Add(time.Second)))
		b.ok(b.Outbox.Dead(b.ctx, dead.ID, "malformed"))
		b.ok(b.Outbox.Purge(b.ctx, now.Add(time.Second)))
		require.ElementsMatch(t, []string{young.ID.String(), dead.ID.String(), pending.ID.String()}, b.strings("SELECT id FROM outbox"))
	})
}

// TestOutbox_Claim_fourClaimers share 500 events: each gets what no other gets, and never more than it asked for.
func TestOutbox_Claim_fourClaimers(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		const n = 500
		var want []uuid.UUID
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			want = nil
			for i := range n {
				e := newEvent(now.Add(time.Duration(i%7) * time.Millisecond))
				want = append(want, e.ID)
				if err := tx.Outbox.Add(b.ctx, e); err != nil {
					return err
				}
			}
			return nil
		}))
		later := now.Add(time.Second)
		var claimed []uuid.UUID
		for _, mine := range together(4, func(i int) []uuid.UUID {
			var mine []uuid.UUID
			size := []int{1, 7, 16, 50}[i]
			for len(mine) < n+1 {
				events, err := b.Outbox.Claim(b.ctx, size, later, time.Minute)
				if err != nil || len(events) > size {
					t.Errorf("asked for %d: got %d, %v", size, len(events), err)
					return mine
				}
				if len(events) == 0 {
					return mine
				}
				mine = append(mine, eventIDs(events)...)
			}
			return mine
		}) {
			claimed = append(claimed, mine...)
		}
		require.Len(t, claimed, n)
		require.ElementsMatch(t, want, claimed)
	})
}

// TestOutbox_Claim_takesNoMoreThanAsked when the planner believes that the table has one row, and would ask for the due ones
// once for each row there is.
func TestOutbox_Claim_takesNoMoreThanAsked(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.event(now)
		b.ok(b.exec("ANALYZE outbox"))
		for range 30 {
			b.event(now)
		}
		for range 10 {
			require.Len(t, eventIDs(b.claim(3, now)), 3)
		}
		require.Len(t, eventIDs(b.claim(3, now)), 1)
	})
}

// TestOutbox_Claim_takesWhatASlowTransactionCommitsLate: its event has a lower id and time than those already relayed.
func TestOutbox_Claim_takesWhatASlowTransactionCommitsLate(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		slow := newEvent(now)
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			if err := tx.Outbox.Add(b.ctx, slow); err != nil {
				return err
			}
			for range 10 {
				fast := b.event(now.Add(time.Second))
				require.Equal(t, []uuid.UUID{fast.ID}, eventIDs(b.claim(5, now.Add(time.Minute))))
				b.ok(b.Outbox.Sent(b.ctx, fast.ID, now.Add(time.Minute)))
			}
			return nil
		}))
		require.Equal(t, []uuid.UUID{slow.ID}, eventIDs(b.claim(5, now.Add(time.Minute))))
	})
}

// TestOutbox_Claim_passesWhatIsBeingWritten by another claimer that has not committed yet, instead of waiting for it.
func TestOutbox_Claim_passesWhatIsBeingWritten(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		held, free := b.event(now), b.event(now)
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			events, err := tx.Outbox.Claim(b.ctx, 1, now, time.Minute)
			b.ok(err)
			require.Equal(t, []uuid.UUID{held.ID}, eventIDs(events))
			require.Equal(t, []uuid.UUID{free.ID}, eventIDs(b.claim(5, now)))
			return nil
		}))
	})
}

func TestOutbox_wakesAfterTheCommitAlone(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		woken := 0
		b.OnOutbox(func() {
			woken++
			require.Equal(t, woken, b.count("outbox"), "the row is there for everybody")
		})
		b.event(now)
		require.Equal(t, 1, woken)
		require.ErrorIs(t, b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(tx.Outbox.Add(b.ctx, newEvent(now)))
			return errBroken
		}), errBroken)
		b.ok(b.InTx(b.ctx, func(*repository.Store) error { return nil }))
		require.Equal(t, 1, woken, "neither after a rollback nor when there is nothing new")
		b.event(now)
		require.Equal(t, 2, woken)
	})
}

func TestDeliveries_Claim(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		e, until := newEvent(now), now.Add(time.Minute)
		_, err := b.Deliveries.ByEvent(b.ctx, e.ID)
		b.refuses(err, domain.KindNotFound, "id")
		want := domain.Delivery{EventID: e.ID, UserID: e.Subject, Type: e.Type, State: domain.DeliverySending, LeaseUntil: &until, CreatedAt: now, UpdatedAt: now}
		claim := func(at time.Time) (domain.Delivery, bool) {
			d, mine, err := b.Deliveries.Claim(b.ctx, e, at, time.Minute)
			b.ok(err)
			stored, err := b.Deliveries.ByEvent(b.ctx, e.ID)
			b.ok(err)
			require.Equal(t, stored, d)
			return d, mine
		}
		d, mine := claim(now)
		require.True(t, mine)
		require.Equal(t, want, d)
		d, mine = claim(until.Add(-time.Millisecond))
		require.False(t, mine, "another holds it")
		require.Equal(t, want, d)

		late := d
		d, mine = claim(until)
		require.True(t, mine, "the lease has ended")
		late.State, late.Attempts = domain.DeliverySent, 1
		b.refuses(b.Deliveries.Save(b.ctx, late, late.UpdatedAt), domain.KindConflict, "id")
		stored, err := b.Deliveries.ByEvent(b.ctx, e.ID)
		b.ok(err)
		require.Equal(t, d, stored, "who comes too late writes over nothing")
		next := until.Add(time.Minute)
		want.LeaseUntil, want.UpdatedAt = &next, until
		require.Equal(t, want, d)

		for state, c := range map[domain.DeliveryState]struct {
			mine bool
			now  domain.DeliveryState
		}{
			domain.DeliverySending:  {true, domain.DeliverySending},
			domain.DeliveryAccepted: {true, domain.DeliveryAccepted},
			domain.DeliveryRetrying: {true, domain.DeliverySending},
			domain.DeliveryFailed:   {true, domain.DeliverySending},
			domain.DeliverySent:     {false, domain.DeliverySent},
			domain.DeliveryDropped:  {false, domain.DeliveryDropped},
		} {
			operation := domain.NewID()
			saved := want
			saved.State, saved.Attempts, saved.LastError, saved.OperationID, saved.Polls = state, 3, "no route", &operation, 4
			saved.LeaseUntil, saved.UpdatedAt, saved.SentAt = nil, next, &next
			b.ok(b.exec("UPDATE deliveries SET state = 'Sending', lease_until = NULL"))
			d, mine := claim(next)
			require.True(t, mine)
			b.ok(b.Deliveries.Save(b.ctx, saved, d.UpdatedAt))
			stored, err := b.Deliveries.ByEvent(b.ctx, e.ID)
			b.ok(err)
			require.Equal(t, saved, stored)

			d, mine = claim(next)
			require.Equal(t, c.mine, mine, state)
			if c.mine {
				until := next.Add(time.Minute)
				saved.State, saved.LeaseUntil = c.now, &until
			}
			require.Equal(t, saved, d, state)
		}
		require.Equal(t, 1, b.count("deliveries"))
	})
}

func TestDeliveries_Claim_ofTwentyOneHasIt(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		e := newEvent(now)
		for round, at := range []time.Time{now, now.Add(time.Minute)} { // a new row, and one whose lease has ended
			mine := together(20, func(int) bool {
				_, mine, err := b.Deliveries.Claim(b.ctx, e, at, time.Minute)
				return mine && err == nil
			})
			mine = slices.DeleteFunc(mine, func(mine bool) bool { return !mine })
			require.Len(t, mine, 1, "round %d", round)
		}
	})
}

func TestDeliveries_ReleaseAll_Purge(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		old, young := newEvent(now), newEvent(now)
		for i, e := range []domain.Event{old, young} {
			_, mine, err := b.Deliveries.Claim(b.ctx, e, now.Add(time.Duration(i)*time.Second), time.Hour)
			b.ok(err)
			require.True(t, mine)
		}
		b.ok(b.Deliveries.ReleaseAll(b.ctx))
		_, mine, err := b.Deliveries.Claim(b.ctx, old, now.Add(time.Minute), time.Hour)
		b.ok(err)
		require.True(t, mine)
		b.ok(b.Deliveries.Purge(b.ctx, now.Add(time.Second)))
		require.Equal(t, []string{young.ID.String()}, b.strings("SELECT event_id FROM deliveries"))
	})
}

// TestDeliveries_Save_again: whoever claimed a mail writes its record as often as they want, however exact their clock is.
func TestDeliveries_Save_again(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		exact := now.Add(1999 * time.Nanosecond)
		d, _, err := b.Deliveries.Claim(b.ctx, newEvent(now), exact, time.Minute)
		b.ok(err)
		seen := d.UpdatedAt
		for range 3 {
			d.Attempts, d.UpdatedAt = d.Attempts+1, d.UpdatedAt.Add(1999*time.Nanosecond)
			b.ok(b.Deliveries.Save(b.ctx, d, seen))
			b.refuses(b.Deliveries.Save(b.ctx, d, seen), domain.KindConflict, "id")
			seen = d.UpdatedAt
		}
	})
}

func TestOutbox_Backlog(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		backlog, err := b.Outbox.Backlog(b.ctx)
		b.ok(err)
		require.Equal(t, repository.Backlog{}, backlog)

		sent, dead := b.event(now.Add(-2*time.Hour)), b.event(now.Add(-time.Hour))
		oldest := b.event(now.Add(time.Second))
		b.event(now.Add(time.Minute))
		b.claim(4, now.Add(time.Minute))
		b.ok(b.Outbox.Sent(b.ctx, sent.ID, now))
		b.ok(b.Outbox.Dead(b.ctx, dead.ID, "malformed"))
		b.ok(b.Outbox.Retry(b.ctx, oldest.ID, 1, now.Add(time.Hour), "no route"))
		backlog, err = b.Outbox.Backlog(b.ctx)
		b.ok(err)
		require.Equal(t, repository.Backlog{Pending: 2, Dead: 1, Oldest: &oldest.At}, backlog)
	})
}

func TestDeliveries_Count(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		counts, err := b.Deliveries.Count(b.ctx)
		b.ok(err)
		require.Empty(t, counts)
		want := map[domain.DeliveryState]int64{}
		for i, state := range domain.DeliveryStates { // the schema takes each of them
			for range i + 1 {
				d, _, err := b.Deliveries.Claim(b.ctx, newEvent(now), now, time.Minute)
				b.ok(err)
				d.State = state
				b.ok(b.Deliveries.Save(b.ctx, d, d.UpdatedAt))
				want[state]++
			}
		}
		counts, err = b.Deliveries.Count(b.ctx)
		b.ok(err)
		require.Equal(t, want, counts)
	})
}

// TestOutbox_trace: what is done about an event later belongs to the trace that wrote it down.
func TestOutbox_trace(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.event(now)
		require.Empty(t, b.claim(1, now)[0].TraceParent)

		tracer, err := tracing.Open(b.ctx, "http://127.0.0.1:1", "test", slog.New(slog.DiscardHandler))
		b.ok(err)
		ctx, span := tracer.Begin(b.ctx, tracing.Server, "request")
		defer span.End() // nobody is told: the tracer is left open
		b.ok(b.InTx(ctx, func(tx *repository.Store) error { return tx.Outbox.Add(ctx, newEvent(now)) }))
		require.Equal(t, tracing.Parent(ctx), b.claim(1, now)[0].TraceParent)

		b.ok(b.exec("UPDATE outbox SET trace_parent = NULL, due_at = occurred_at")) // as those of before the column
		for _, e := range b.claim(2, now) {
			require.Empty(t, e.TraceParent)
		}
	})
}
