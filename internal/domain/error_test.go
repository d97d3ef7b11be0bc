package domain_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// now is when everything in these tests happens, unless time is their subject.
var now = time.Date(2021, 1, 1, 12, 0, 0, 0, time.UTC)

// refusal is what a caller can tell of an error: its kind and the fields at fault.
type refusal struct {
	kind  domain.Kind
	field string
}

// refused gives the refusal that an error is, and none for nil. Texts are for people and are not compared.
func refused(t *testing.T, err error) refusal {
	t.Helper()
	if err == nil {
		return refusal{}
	}
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Fields, 1)
	for field, messages := range e.Fields {
		require.NotEmpty(t, messages)
		return refusal{e.Kind, field}
	}
	panic("unreachable")
}

func TestError_constructors(t *testing.T) {
	for kind, err := range map[domain.Kind]*domain.Error{
		domain.KindInvalid:         domain.Invalid("name", "The name '%s' is bad", "x"),
		domain.KindUnauthenticated: domain.Unauthenticated("name", "The name '%s' is bad", "x"),
		domain.KindForbidden:       domain.Forbidden("name", "The name '%s' is bad", "x"),
		domain.KindNotFound:        domain.NotFound("name", "The name '%s' is bad", "x"),
		domain.KindConflict:        domain.Conflict("name", "The name '%s' is bad", "x"),
	} {
		require.Equal(t, &domain.Error{Kind: kind, Fields: domain.Fields{"name": {"The name 'x' is bad"}}}, err)
		require.Equal(t, "map[name:[The name 'x' is bad]]", err.Error())
	}
	throttled := domain.Throttled(3 * time.Second)
	require.Equal(t, refusal{domain.KindThrottled, "request"}, refused(t, throttled))
	require.Equal(t, 3*time.Second, throttled.RetryAfter)
}

func TestError_unavailableKeepsItsCauseForTheLogAlone(t *testing.T) {
	err := domain.Unavailable(fmt.Errorf("read table: %w", io.ErrUnexpectedEOF))
	require.Equal(t, refusal{domain.KindUnavailable, "server"}, refused(t, err))
	require.Positive(t, err.RetryAfter)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Contains(t, err.Error(), "read table")
	require.NotContains(t, fmt.Sprint(err.Fields), "read table")
}

func TestFaults(t *testing.T) {
	var faults domain.Faults
	require.NoError(t, faults.Err(), "no fault is no error, and no typed nil either")
	require.False(t, faults.Has("name"))

	faults.Add("name", "The name is %d too long", 3)
	faults.Add("name", "The name is odd")
	require.NoError(t, faults.Merge(domain.Invalid("role", "The role '%s' is not valid", "100%d")))
	require.NoError(t, faults.Merge(nil))
	require.True(t, faults.Has("name"))
	require.False(t, faults.Has("email"))
	require.Equal(t, &domain.Error{Kind: domain.KindInvalid, Fields: domain.Fields{
		"name": {"The name is 3 too long", "The name is odd"},
		"role": {"The role '100%d' is not valid"},
	}}, faults.Err())
}

func TestFaults_mergeGivesBackWhatIsNoFaultOfTheInput(t *testing.T) {
	var faults domain.Faults
	for _, err := range []error{errors.New("broken"), domain.Conflict("name", "taken"), domain.Unavailable(io.EOF)} {
		require.Same(t, err, faults.Merge(err))
	}
	require.NoError(t, faults.Err())
}

func TestFaults_Beside(t *testing.T) {
	faults := domain.Faults{"name": {"The name is odd"}, "id": {"The id is odd"}}
	missing := domain.NotFound("id", "The item does not exist")
	require.Equal(t, &domain.Error{Kind: domain.KindNotFound, Fields: domain.Fields{
		"id": {"The item does not exist", "The id is odd"}, "name": {"The name is odd"},
	}}, faults.Beside(missing))
	require.Equal(t, domain.Faults{"name": {"The name is odd"}, "id": {"The id is odd"}}, faults, "they stay what they were")
	require.Equal(t, domain.NotFound("id", "The item does not exist"), missing)

	require.Same(t, missing, domain.Faults(nil).Beside(missing), "nothing to add")
	require.NoError(t, faults.Beside(nil))
	for _, err := range []error{errors.New("broken"), domain.Conflict("name", "taken"), domain.Forbidden("authorization", "no")} {
		require.Same(t, err, faults.Beside(err))
	}
}

func TestFaults_cloneIsApart(t *testing.T) {
	var none domain.Faults
	require.Nil(t, none.Clone())

	original := domain.Faults{"name": append(make([]string, 0, 8), "The name is odd")}
	clone := original.Clone()
	require.Equal(t, original, clone)
	clone.Add("name", "one more")
	clone.Add("role", "another")
	require.Equal(t, domain.Faults{"name": {"The name is odd"}}, original)
	require.Equal(t, "", original["name"][:2][1], "not even behind the slice's end")
}
