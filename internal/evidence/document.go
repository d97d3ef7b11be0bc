package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// test is a test function by the folder of its package, as the document names it: `internal/token TestVerify_forged`.
type test struct{ folder, name string }

// String gives the test as the document writes it.
func (t test) String() string { return t.folder + " " + t.name }

var (
	codeSpan = regexp.MustCompile("`[^`]+`")
	// testName finds what looks like a test wherever it stands in a code span, so that none is overlooked for a slip of the pen.
	testName  = regexp.MustCompile(`\b(Test|Fuzz)[A-Z_]\w*`)
	wholeTest = regexp.MustCompile("^`([a-z][a-z0-9/]*) ((?:Test|Fuzz)[A-Z_]\\w*)`$")
)

// namedTests gives the tests that a document names, each once, by folder and name.
func namedTests(document string) ([]test, error) {
	var named []test
	for i, line := range strings.Split(document, "\n") {
		for _, span := range codeSpan.FindAllString(line, -1) {
			if !testName.MatchString(span) {
				continue
			}
			parts := wholeTest.FindStringSubmatch(span)
			if parts == nil {
				return nil, fmt.Errorf("line %d: %s is not of the form `folder TestName`", i+1, span)
			}
			named = append(named, test{parts[1], parts[2]})
		}
	}
	slices.SortFunc(named, func(a, b test) int {
		return cmp.Or(cmp.Compare(a.folder, b.folder), cmp.Compare(a.name, b.name))
	})
	return slices.Compact(named), nil
}
