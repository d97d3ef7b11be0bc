package service

import (
	"context"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Audit is the log of who did what to what. Use cases write it themselves; here it is read, and told what was refused before one began.
type Audit struct {
	store *repository.Store
	clock clock
}

// NewAudit makes the use cases of /audit.
func NewAudit(store *repository.Store, now func() time.Time) *Audit {
	return &Audit{store: store, clock: now}
}

// List gives one page of the log and how many lines the filter leaves. It returns KindForbidden, and KindInvalid for faults.
func (s *Audit) List(ctx context.Context, actor domain.Actor, f domain.AuditFilter, faults domain.Faults) ([]domain.AuditEntry, domain.Extent, error) {
	if err := actor.Require(domain.ReadAudit); err != nil {
		return nil, domain.Extent{}, err
	}
	if err := faults.Err(); err != nil {
		return nil, domain.Extent{}, err
	}
	return s.store.Audit.List(ctx, f)
}

// Refused notes that somebody was kept from a route.
func (s *Audit) Refused(ctx context.Context, actor domain.Actor, action domain.AuditAction, route string) error {
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		note(tx, actor, action, "route", route, nil, s.clock.now())
		return nil
	})
}

// Verify reads the whole log and says how many lines it has and what is wrong with its chain: an empty text for nothing. It is the operator's.
func (s *Audit) Verify(ctx context.Context) (lines int64, fault string, err error) {
	return s.store.Audit.Verify(ctx)
}
