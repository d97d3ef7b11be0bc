package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/repository"
)

// Pictures keeps the files of pictures and the rows that name them together. A file is written before its row and removed after
// it, so that a crash leaves a file without a row, which [Pictures.Sweep] removes, and never a row without a file.
type Pictures struct {
	store *repository.Store
	files *imagestore.Store
	log   *slog.Logger
	clock clock
}

// NewPictures joins the store of files with that of rows.
func NewPictures(store *repository.Store, files *imagestore.Store, log *slog.Logger, now func() time.Time) *Pictures {
	return &Pictures{store: store, files: files, log: log, clock: now}
}

// Open gives a picture's file to anyone who knows its name. It returns KindNotFound on `name`. The caller closes the file.
func (s *Pictures) Open(ctx context.Context, name string) (imagestore.File, error) {
	return s.files.Get(ctx, name)
}

// keep stores a cleaned picture and gives its name, or nil for none.
func (s *Pictures) keep(ctx context.Context, picture *imagestore.Picture) (*string, error) {
	if picture == nil {
		return nil, nil
	}
	name, err := s.files.Put(ctx, *picture)
	return &name, err
}

// clean checks a picture that a caller sent, and notes what is wrong with it; nil for none.
func (s *Pictures) clean(ctx context.Context, raw []byte, faults *domain.Faults) (*imagestore.Picture, error) {
	if len(raw) == 0 || faults.Has("image") {
		return nil, nil
	}
	picture, err := imagestore.Clean(ctx, raw)
	return &picture, faults.Merge(err)
}

// undo removes a picture whose row was not written because of err. When the database did not answer, or nobody waited for its
// answer, the row may have been written all the same: then the picture stays, and is swept later if need be.
func (s *Pictures) undo(ctx context.Context, name *string, err error) {
	if isKind(err, domain.KindUnavailable) || errors.Is(err, context.Canceled) {
		return
	}
	s.forget(ctx, name)
}

// forget removes a picture that no row names any more. What fails now is swept later.
func (s *Pictures) forget(ctx context.Context, name *string) {
	if name == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.files.Delete(ctx, *name); err != nil {
		s.log.WarnContext(ctx, "a picture could not be removed and will be swept later", "image", *name, "error", err)
	}
}

const (
	// sweepAge is how old a file without a row must be: younger ones may still get theirs.
	sweepAge = time.Hour
	// sweepBatch is how many names the database is asked about at once.
	sweepBatch = 500
)

// Sweep removes the files that no row names, as a crash leaves them, and says how many there were.
func (s *Pictures) Sweep(ctx context.Context) (removed int, err error) {
	oldest := s.clock.now().Add(-sweepAge)
	var batch []string
	for info, err := range s.files.List(ctx) {
		if err != nil {
			return removed, err
		}
		if info.ModTime.After(oldest) {
			continue
		}
		if batch = append(batch, info.Name); len(batch) == sweepBatch {
			n, err := s.sweep(ctx, batch)
			if removed += n; err != nil {
				return removed, err
			}
			batch = batch[:0]
		}
	}
	n, err := s.sweep(ctx, batch)
	return removed + n, err
}

func (s *Pictures) sweep(ctx context.Context, names []string) (int, error) {
	if len(names) == 0 {
		return 0, nil
	}
	used, err := s.store.Products.UsedImages(ctx, names)
	if err != nil {
		return 0, err
	}
	keep := make(map[string]bool, len(used))
	for _, name := range used {
		keep[name] = true
	}
	removed := 0
	var errs []error
	for _, name := range names {
		if keep[name] {
			continue
		}
		if err := s.files.Delete(ctx, name); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}
