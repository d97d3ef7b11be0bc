package domain

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind is the sort of refusal an [Error] stands for. The edges translate it: HTTP has one table from
// kinds to status codes.
type Kind int

const (
	// KindInvalid is input that no state of the data could make acceptable.
	KindInvalid Kind = iota + 1
	// KindUnauthenticated is a caller who could not show who they are.
	KindUnauthenticated
	// KindForbidden is a caller whose role does not suffice.
	KindForbidden
	// KindNotFound is a thing that does not exist, or not for this caller.
	KindNotFound
	// KindConflict is a well-formed request that the present state of the data forbids.
	KindConflict
	// KindPrecondition is a change that the caller made to depend on a version that is no longer there.
	KindPrecondition
	// KindReused is a key that the caller has used for something else.
	KindReused
	// KindThrottled is a caller who asks too often; RetryAfter says when to come back.
	KindThrottled
	// KindUnavailable is a fault of a part behind us that is expected to pass; RetryAfter says when to come back.
	KindUnavailable
)

// Fields names what is wrong, by input field. A fault that belongs to no input stands under
// "authorization", "request" or "server".
type Fields map[string][]string

// Error is a refusal that may be shown to the caller. Anything else that reaches an edge is a defect of ours
// and is shown without its text.
type Error struct {
	Kind   Kind
	Fields Fields
	// RetryAfter is set for KindThrottled and KindUnavailable.
	RetryAfter time.Duration
	// Whole asks the edges to tell all of Fields: whoever made it has bounded them.
	Whole bool
	cause error
}

// Error lists the faults, or gives the fault behind a KindUnavailable, for logs and tests; edges render Fields.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return fmt.Sprint(map[string][]string(e.Fields))
}

// Unwrap gives the fault behind a KindUnavailable.
func (e *Error) Unwrap() error { return e.cause }

func newError(kind Kind, field, format string, args ...any) *Error {
	return &Error{Kind: kind, Fields: Fields{field: {fmt.Sprintf(format, args...)}}}
}

// Invalid makes a KindInvalid about one field.
func Invalid(field, format string, args ...any) *Error {
	return newError(KindInvalid, field, format, args...)
}

// Conflict makes a KindConflict about one field.
func Conflict(field, format string, args ...any) *Error {
	return newError(KindConflict, field, format, args...)
}

// Reused makes a KindReused about one field.
func Reused(field, format string, args ...any) *Error {
	return newError(KindReused, field, format, args...)
}

// NotFound makes a KindNotFound about one field.
func NotFound(field, format string, args ...any) *Error {
	return newError(KindNotFound, field, format, args...)
}

// Forbidden makes a KindForbidden about one field, usually "authorization".
func Forbidden(field, format string, args ...any) *Error {
	return newError(KindForbidden, field, format, args...)
}

// Unauthenticated makes a KindUnauthenticated about one field, usually "authorization".
func Unauthenticated(field, format string, args ...any) *Error {
	return newError(KindUnauthenticated, field, format, args...)
}

// Throttled makes a KindThrottled that asks the caller to wait.
func Throttled(retryAfter time.Duration) *Error {
	e := newError(KindThrottled, "request", "There were too many requests; try again later")
	e.RetryAfter = retryAfter
	return e
}

// Unavailable makes a KindUnavailable around the fault of a part behind us. The cause is for the log only.
func Unavailable(cause error) *Error {
	e := newError(KindUnavailable, "server", "The server cannot answer at the moment; try again later")
	e.RetryAfter = 2 * time.Second
	e.cause = cause
	return e
}

// Faults collects every fault of one input, so that they are reported together.
type Faults Fields

// Add notes one more fault of a field.
func (f *Faults) Add(field, format string, args ...any) {
	if *f == nil {
		*f = Faults{}
	}
	(*f)[field] = append((*f)[field], fmt.Sprintf(format, args...))
}

// Has says whether a fault of the field is noted already.
func (f Faults) Has(field string) bool { return len(f[field]) > 0 }

// Merge takes over the faults of an err made by [Invalid] or [Faults.Err] and gives nil, or gives back any other err.
func (f *Faults) Merge(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindInvalid {
		return err
	}
	for field, messages := range e.Fields {
		for _, m := range messages {
			f.Add(field, "%s", m)
		}
	}
	return nil
}

// Beside adds the faults to an err that is a KindNotFound, so that one answer tells what is missing and what is wrong with the input. It gives
// back any other err.
func (f Faults) Beside(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindNotFound || len(f) == 0 {
		return err
	}
	all := f.Clone()
	for field, messages := range e.Fields {
		all[field] = append(slices.Clone(messages), all[field]...)
	}
	return &Error{Kind: KindNotFound, Fields: Fields(all)}
}

// Err gives a KindInvalid with all faults, or nil if there are none.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Fields: Fields(f)}
}

// Clone gives faults that can be added to without changing these.
func (f Faults) Clone() Faults {
	if f == nil {
		return nil
	}
	clone := make(Faults, len(f))
	for field, messages := range f {
		clone[field] = slices.Clone(messages)
	}
	return clone
}
