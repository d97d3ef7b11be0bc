package repository

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"gorm.io/gorm"
)

const (
	// readersAtOnce is how many of those who could be joined are reading at a time; whoever comes meanwhile waits for one of them to be done, and is read
	// for with all others who wait.
	readersAtOnce = 2
	// maxJoined bounds how many are answered together.
	maxJoined = 64
	// joinedTimeout bounds how long that may take, which no caller's going away ends. It leaves time within a request's for each to ask alone.
	joinedTimeout = 5 * time.Second
)

// joined has several callers who ask at the same time answered together, which costs each a part of a statement of its own. Nobody waits for
// company: as long as few are reading, whoever comes reads at once and alone. What is read is as fresh as if each had asked alone, since
// nothing is read before those have come who are answered by it.
type joined[K comparable, V any] struct {
	alone    func(*gorm.DB, K) (V, error)
	together func(*gorm.DB, []K) ([]V, error) // in the order of what is asked; nil if only those are joined who ask the same, and who then share what is found

	mu     sync.Mutex
	queues map[at[K]]*queue[K, V]
}

// at is where callers meet.
type at[K comparable] struct {
	pool *sql.DB
	same K // what all ask, if only those are joined who ask the same
}

type queue[K comparable, V any] struct {
	at      at[K]
	atWork  int
	waiting []*wish[K, V]
}

// wish is what one caller asks, and what becomes of it.
type wish[K comparable, V any] struct {
	asked  K
	turn   chan []*wish[K, V] // bears those for whom this one has to ask, itself the first; closed if another has asked for it
	chosen bool               // to ask for others
	left   bool
	answer V
	err    error
}

func newJoined[K comparable, V any](alone func(*gorm.DB, K) (V, error), together func(*gorm.DB, []K) ([]V, error)) *joined[K, V] {
	return &joined[K, V]{alone: alone, together: together, queues: map[at[K]]*queue[K, V]{}}
}

// or gives how to ask: with others, or alone where nobody is joined.
func (j *joined[K, V]) or(alone func(*gorm.DB, K) (V, error)) func(*gorm.DB, K) (V, error) {
	if j == nil {
		return alone
	}
	return j.ask
}

// ask gives what is asked, joined with others if there are any to join.
func (j *joined[K, V]) ask(db *gorm.DB, asked K) (V, error) {
	pool, outside := db.Statement.ConnPool.(*sql.DB)
	if !outside {
		return j.alone(db, asked)
	}
	place := at[K]{pool: pool}
	if j.together == nil {
		place.same = asked
	}
	j.mu.Lock()
	q := j.queues[place]
	if q == nil {
		q = &queue[K, V]{at: place}
		j.queues[place] = q
	}
	if q.atWork < readersAtOnce {
		q.atWork++
		j.mu.Unlock()
		defer j.passOn(q)
		return j.alone(db, asked)
	}
	w := &wish[K, V]{asked: asked, turn: make(chan []*wish[K, V], 1)}
	q.waiting = append(q.waiting, w)
	j.mu.Unlock()

	ctx := db.Statement.Context
	var batch []*wish[K, V]
	select {
	case batch = <-w.turn:
	case <-ctx.Done():
		if j.leave(w) {
			var none V
			return none, ctx.Err()
		}
		batch = <-w.turn
	}
	if batch != nil {
		j.read(q, db, batch)
	}
	if w.err != nil { // so that it hurts only the one whose fault it is
		return j.alone(db, asked)
	}
	return w.answer, nil
}

// leave is for a caller who waits no longer, unless others depend on it by now.
func (j *joined[K, V]) leave(w *wish[K, V]) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.left = !w.chosen
	return w.left
}

// passOn has the first of those who wait ask for all of them.
func (j *joined[K, V]) passOn(q *queue[K, V]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var batch []*wish[K, V]
	for len(q.waiting) > 0 && len(batch) < maxJoined {
		if w := q.waiting[0]; !w.left {
			batch = append(batch, w)
		}
		q.waiting = q.waiting[1:]
	}
	if len(batch) == 0 {
		if q.atWork--; q.atWork == 0 {
			delete(j.queues, q.at)
		}
		return
	}
	batch[0].chosen = true
	batch[0].turn <- batch
}

var errNotRead = errors.New("nothing was read")

func (j *joined[K, V]) read(q *queue[K, V], db *gorm.DB, batch []*wish[K, V]) {
	err := errNotRead
	defer func() { // whatever happens, nobody is left waiting
		for i, w := range batch {
			if w.err = err; i > 0 {
				close(w.turn)
			}
		}
		j.passOn(q)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(db.Statement.Context), joinedTimeout)
	defer cancel()
	err = j.answer(db.WithContext(ctx), batch)
}

func (j *joined[K, V]) answer(db *gorm.DB, batch []*wish[K, V]) error {
	if j.together == nil {
		answer, err := j.alone(db, batch[0].asked)
		for _, w := range batch {
			w.answer = answer
		}
		return err
	}
	asked := make([]K, len(batch))
	for i, w := range batch {
		asked[i] = w.asked
	}
	answers, err := j.together(db, asked)
	for i, answer := range answers {
		batch[i].answer = answer
	}
	return err
}

// lookup finds things by their ids.
type lookup[T any] struct {
	query string // up to the condition
	id    string // the column
	scan  func(*T, row) error
	idOf  func(*T) uuid.UUID
}

func (l lookup[T]) joined() *joined[uuid.UUID, *T] { return newJoined(l.one, l.several) }

// one gives what an id stands for, and nil if there is no such.
func (l lookup[T]) one(db *gorm.DB, id uuid.UUID) (*T, error) {
	found, err := collect(db, l.query+" AND "+l.id+" = ?", []any{id}, l.scan)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// several is one for several ids, on Postgres alone.
func (l lookup[T]) several(db *gorm.DB, ids []uuid.UUID) ([]*T, error) {
	asked := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		asked[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	found, err := collect(db, l.query+" AND "+l.id+" = ANY(?)", []any{asked}, l.scan)
	places := make(map[uuid.UUID]*T, len(found))
	for i := range found {
		places[l.idOf(&found[i])] = &found[i]
	}
	things := make([]*T, len(ids))
	for i, id := range ids {
		things[i] = places[id]
	}
	return things, err
}
