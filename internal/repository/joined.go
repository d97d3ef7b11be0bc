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
	// readersAtOnce is how many statements of one lookup are on their way to Postgres at a time; whoever comes meanwhile waits for one of them to
	// come back, and is read with all others who wait.
	readersAtOnce = 2
	// maxJoined bounds how many are read by one statement.
	maxJoined = 64
	// joinedTimeout bounds that statement, which no caller's going away ends. It leaves time within a request's for each to ask alone.
	joinedTimeout = 5 * time.Second
)

// lookup finds things by their ids.
type lookup[T any] struct {
	query string // up to the condition
	id    string // the column
	scan  func(*T, row) error
	idOf  func(*T) uuid.UUID
}

// find gives what an id stands for, and whether there is any such, alone or joined with others.
func (l lookup[T]) find(db *gorm.DB, with *joined[T], id uuid.UUID) (T, bool, error) {
	if with == nil {
		return l.one(db, id)
	}
	return with.one(db, id)
}

func (l lookup[T]) one(db *gorm.DB, id uuid.UUID) (T, bool, error) {
	var none T
	found, err := collect(db, l.query+" AND "+l.id+" = ?", []any{id}, l.scan)
	if err != nil || len(found) == 0 {
		return none, false, err
	}
	return found[0], true, nil
}

// several is for Postgres alone.
func (l lookup[T]) several(db *gorm.DB, ids []pgtype.UUID) ([]T, error) {
	return collect(db, l.query+" AND "+l.id+" = ANY(?)", []any{ids}, l.scan)
}

// joined reads by one statement what several callers look up at the same time, which costs each a third of a statement of its own. Nobody waits for
// company: as long as few are reading, whoever comes reads at once and alone. What is read is as fresh as if each had asked alone, since
// a statement begins after those have come who are read by it.
type joined[T any] struct {
	lookup[T]
	mu     sync.Mutex
	queues map[*sql.DB]*queue[T]
}

func newJoined[T any](l lookup[T]) *joined[T] {
	return &joined[T]{lookup: l, queues: map[*sql.DB]*queue[T]{}}
}

type queue[T any] struct {
	atWork  int
	waiting []*wish[T]
}

// wish is what one caller looks up, and what becomes of it.
type wish[T any] struct {
	id     uuid.UUID
	turn   chan []*wish[T] // bears those whom this one has to read, itself the first; closed if another has read it
	chosen bool            // to read for others
	left   bool
	found  T
	exists bool
	err    error
}

func (j *joined[T]) one(db *gorm.DB, id uuid.UUID) (T, bool, error) {
	pool, outside := db.Statement.ConnPool.(*sql.DB)
	if !outside {
		return j.lookup.one(db, id)
	}
	j.mu.Lock()
	q := j.queues[pool]
	if q == nil {
		q = &queue[T]{}
		j.queues[pool] = q
	}
	if q.atWork < readersAtOnce {
		q.atWork++
		j.mu.Unlock()
		defer j.passOn(q)
		return j.lookup.one(db, id)
	}
	w := &wish[T]{id: id, turn: make(chan []*wish[T], 1)}
	q.waiting = append(q.waiting, w)
	j.mu.Unlock()

	ctx := db.Statement.Context
	var batch []*wish[T]
	select {
	case batch = <-w.turn:
	case <-ctx.Done():
		if j.leave(w) {
			var none T
			return none, false, ctx.Err()
		}
		batch = <-w.turn
	}
	if batch != nil {
		j.read(q, db, batch)
	}
	if w.err != nil { // so that it hurts only the one whose fault it is
		return j.lookup.one(db, id)
	}
	return w.found, w.exists, nil
}

// leave is for a caller who waits no longer, unless others depend on it by now.
func (j *joined[T]) leave(w *wish[T]) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.left = !w.chosen
	return w.left
}

// passOn has the first of those who wait read for all of them.
func (j *joined[T]) passOn(q *queue[T]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var batch []*wish[T]
	for len(q.waiting) > 0 && len(batch) < maxJoined {
		if w := q.waiting[0]; !w.left {
			batch = append(batch, w)
		}
		q.waiting = q.waiting[1:]
	}
	if len(batch) == 0 {
		q.atWork--
		return
	}
	batch[0].chosen = true
	batch[0].turn <- batch
}

var errNotRead = errors.New("nothing was read")

func (j *joined[T]) read(q *queue[T], db *gorm.DB, batch []*wish[T]) {
	err := errNotRead
	defer func() { // whatever happens, nobody is left waiting
		for i, w := range batch {
			if w.err = err; i > 0 {
				close(w.turn)
			}
		}
		j.passOn(q)
	}()
	ids := make([]pgtype.UUID, len(batch))
	for i, w := range batch {
		ids[i] = pgtype.UUID{Bytes: w.id, Valid: true}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(db.Statement.Context), joinedTimeout)
	defer cancel()
	found, failed := j.several(db.WithContext(ctx), ids)
	places := make(map[uuid.UUID]int, len(found))
	for i := range found {
		places[j.idOf(&found[i])] = i
	}
	for _, w := range batch {
		if i, exists := places[w.id]; exists {
			w.found, w.exists = found[i], true
		}
	}
	err = failed
}
