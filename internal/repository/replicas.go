package repository

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

const (
	// lookEvery is how often the replicas are asked how far they are.
	lookEvery = 250 * time.Millisecond
	// maxReplicaLag is how old what a replica answers may be. One that is further behind, or away, is not asked until it has caught up.
	maxReplicaLag = 3 * time.Second
)

// replicas are copies of a Postgres that follow it a little later. They take reads of callers who may see what was true a moment ago. A caller's own
// changes are never missing: a replica answers only those who changed nothing, through this process, since the moment that it has reached.
type replicas struct {
	all    []*replica
	next   atomic.Uint64
	maxLag atomic.Int64 // maxReplicaLag, but for tests

	mu     sync.Mutex
	wrote  map[uuid.UUID]time.Time // when somebody's last change was committed; those older than maxReplicaLag no longer count
	sweep  time.Time
	ending context.CancelFunc
	ended  sync.WaitGroup
}

// replica is one of them.
type replica struct {
	db *gorm.DB
	// reached is a moment, in nanoseconds since the epoch, whose committed changes it all has; 0 for one that was not heard of.
	reached atomic.Int64
}

// caller is on whose behalf a statement runs.
type caller struct {
	user   uuid.UUID
	lagged bool
}

type callerKey struct{}

// OnBehalf names the user for whom everything under the context is done. If it may lag, reads may be answered by a replica, up to three seconds late but with all
// that the user has changed.
func (s *Store) OnBehalf(ctx context.Context, user uuid.UUID, mayLag bool) context.Context {
	if s.replicas == nil {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, caller{user, mayLag})
}

// openReplicas connects to the replicas. One that is away now is asked again for as long as the store is open.
func openReplicas(primary *gorm.DB, urls []string) (*replicas, error) {
	r := &replicas{wrote: map[uuid.UUID]time.Time{}}
	r.maxLag.Store(int64(maxReplicaLag))
	var pools []func() error
	for _, url := range urls {
		config, err := postgresConfig(url)
		if err != nil {
			return nil, errors.Join(err, closeAll(pools))
		}
		boundStatements(config, false)
		db, pool, err := postgresConn(*config, postgresConns)
		if err != nil {
			return nil, errors.Join(err, closeAll(pools))
		}
		pools = append(pools, pool.Close)
		r.all = append(r.all, &replica{db: db})
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.ending = func() {
		cancel()
		r.ended.Wait()
		_ = closeAll(pools)
	}
	for _, one := range r.all {
		r.ended.Go(func() { one.follow(ctx, primary) })
	}
	return r, nil
}

func closeAll(closers []func() error) error {
	var errs []error
	for _, c := range closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// follow keeps an eye on how far the replica is, until ctx ends: it notes how far the primary is, and when the replica has got there.
func (r *replica) follow(ctx context.Context, primary *gorm.DB) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var at time.Time
	var position string
	for {
		if position == "" {
			at = time.Now() // before the position is asked for, so that nothing committed until then is beyond it
			position, _ = ask(ctx, primary, "SELECT pg_current_wal_lsn()::text")
		}
		switch got, err := ask(ctx, r.db, "SELECT COALESCE(pg_last_wal_replay_lsn() >= NULLIF(?, '')::pg_lsn, false)::text", position); {
		case err != nil:
			r.reached.Store(0) // away: nobody shall run into that
		case got == "true":
			r.reached.Store(at.UnixNano())
			position = ""
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask gives the one text of a statement's one row.
func ask(ctx context.Context, db *gorm.DB, statement string, args ...any) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxReplicaLag)
	defer cancel()
	err = db.WithContext(ctx).Raw(statement, args...).Scan(&text).Error
	return text, err
}

// Changed tells that a transaction which was run under another context has changed something for the user of this one.
func (s *Store) Changed(ctx context.Context) { s.replicas.noteWrite(ctx) }

// noteWrite remembers that a user has just changed something.
func (r *replicas) noteWrite(ctx context.Context) {
	by, known := ctx.Value(callerKey{}).(caller)
	if r == nil || !known {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.wrote[by.user] = now
	if now.Before(r.sweep) {
		return
	}
	r.sweep = now.Add(maxReplicaLag)
	for user, at := range r.wrote {
		if now.Sub(at) > time.Duration(r.maxLag.Load()) {
			delete(r.wrote, user)
		}
	}
}

// choose gives a replica that may answer the caller, in turn, and nil if there is none.
func (r *replicas) choose(ctx context.Context) *gorm.DB {
	by, known := ctx.Value(callerKey{}).(caller)
	if r == nil || !known || !by.lagged {
		return nil
	}
	r.mu.Lock()
	wrote := r.wrote[by.user]
	r.mu.Unlock()
	now, first := time.Now(), r.next.Add(1)
	for i := range uint64(len(r.all)) {
		one := r.all[(first+i)%uint64(len(r.all))]
		if reached := time.Unix(0, one.reached.Load()); now.Sub(reached) < time.Duration(r.maxLag.Load()) && reached.After(wrote) {
			return one.db
		}
	}
	return nil
}

// close ends the connections.
func (r *replicas) close() error {
	r.ending()
	return nil
}

// reader gives what a read of ctx goes to. What decides about a change, or about who may do what, goes to read and never to a replica.
func (t table) reader(ctx context.Context) *gorm.DB {
	if db := t.replicas.choose(ctx); db != nil {
		return db.WithContext(ctx)
	}
	return t.read.WithContext(ctx)
}
