package domain

import "slices"

// Expectation is the version that a caller saw last of what it is about to change. The zero value expects nothing.
type Expectation struct {
	conditional bool
	versions    []int64
}

// ExpectOneOf makes a change depend on one of the versions. With none of them it never holds.
func ExpectOneOf(versions ...int64) Expectation {
	return Expectation{conditional: true, versions: versions}
}

// Check returns a KindPrecondition on `request` unless the version is an expected one.
func (e Expectation) Check(version int64) error {
	if !e.conditional || slices.Contains(e.versions, version) {
		return nil
	}
	return newError(KindPrecondition, "request", "It was changed by someone else since you read it")
}
