// Package service holds the use cases: who may, what happens, in which transaction. It knows neither HTTP nor SQL.
//
// Every use case takes the actor who asks and decides by itself whether they may. Those that take input also take the faults
// that the edge has found in it, so that one answer names every fault.
package service

import (
	"context"
	"errors"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// clock gives the time in UTC, cut to the milliseconds that the API shows and both databases keep.
type clock func() time.Time

func (c clock) now() time.Time { return c().UTC().Truncate(time.Millisecond) }

// note has the audit log tell, in the same transaction, what the actor did to what.
func note(tx *repository.Store, actor domain.Actor, action domain.AuditAction, kind, target string, details domain.AuditDetails, now time.Time) {
	tx.Audit.Add(domain.NewAuditEntry(actor, action, domain.AuditTarget{Kind: kind, Name: target}, details, now))
}

// isKind says whether err is a refusal of the kind.
func isKind(err error, kind domain.Kind) bool {
	var refused *domain.Error
	return errors.As(err, &refused) && refused.Kind == kind
}

// checkFilter returns KindInvalid for the faults of a list's filter, and for a category that does not exist.
func checkFilter(ctx context.Context, store *repository.Store, category string, faults domain.Faults) error {
	if category != "" {
		if _, err := checkCategory(ctx, store.Categories.ByName, category, &faults); err != nil {
			return err
		}
	}
	return faults.Err()
}

// filtered reads a list, and returns KindInvalid for the faults of its filter and for a category that does not exist. That is only looked for when it may be
// so: a category that something is in exists.
func filtered[T any](ctx context.Context, store *repository.Store, category string, faults domain.Faults, read func() ([]T, domain.Extent, error)) ([]T, domain.Extent, error) {
	var things []T
	var extent domain.Extent
	var err error
	if len(faults) == 0 {
		if things, extent, err = read(); err == nil && len(things) > 0 || err != nil && !isKind(err, domain.KindInvalid) {
			return things, extent, err
		}
	}
	if wrong := checkFilter(ctx, store, category, faults); wrong != nil {
		return nil, domain.Extent{}, wrong
	}
	return things, extent, err
}

// checkCategory notes a category that does not exist as a fault of the input.
func checkCategory(ctx context.Context, find func(context.Context, string) (domain.Category, error), name string, faults *domain.Faults) (domain.Category, error) {
	if faults.Has("category") {
		return domain.Category{}, nil
	}
	category, err := find(ctx, name)
	if isKind(err, domain.KindNotFound) {
		faults.Add("category", "The category with name '%s' does not exist", domain.Clip(name))
		return domain.Category{}, nil
	}
	return category, err
}
