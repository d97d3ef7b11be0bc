package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// report shows events as plain go test would, and remembers which tests have passed.
type report struct {
	out    io.Writer
	passed map[test]bool
	open   map[string]map[string]*strings.Builder // what the tests under way have said, by package and test; the package itself has no name
}

func newReport(out io.Writer) *report {
	return &report{out: out, passed: map[test]bool{}, open: map[string]map[string]*strings.Builder{}}
}

// read takes all events. What is no event is shown as it is.
func (r *report) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			r.take(e)
		} else {
			r.show(string(line))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	switch {
	case e.Action == "build-output":
		r.show(e.Output)
	case e.Action == "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			r.said(e.Package, e.Test).WriteString(e.Output)
		}
	case e.Action == "fail" && e.Test == "": // and some tests may have ended with their package
		for _, name := range slices.Sorted(maps.Keys(r.open[e.Package])) {
			if name != "" {
				r.tell(e.Package, name)
			}
		}
		r.tell(e.Package, "")
	case e.Action == "fail":
		r.tell(e.Package, e.Test)
	case e.Action == "pass", e.Action == "skip":
		if e.Test == "" {
			r.show(lastLine(r.said(e.Package, "").String()))
		}
		delete(r.open[e.Package], e.Test)
		if _, folder, ok := strings.Cut(e.Package, "/"); ok && e.Action == "pass" {
			r.passed[test{folder, e.Test}] = true
		}
	}
}

func lastLine(text string) string {
	return text[strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n')+1:]
}

// said gives the place for what a test says, or its package.
func (r *report) said(pkg, name string) *strings.Builder {
	if r.open[pkg] == nil {
		r.open[pkg] = map[string]*strings.Builder{}
	}
	if r.open[pkg][name] == nil {
		r.open[pkg][name] = &strings.Builder{}
	}
	return r.open[pkg][name]
}

// tell shows what a test or its package has said, and forgets it.
func (r *report) tell(pkg, name string) {
	r.show(r.said(pkg, name).String())
	delete(r.open[pkg], name)
}

func (r *report) show(text string) { _, _ = fmt.Fprint(r.out, text) }

// missing gives those of the tests that have not passed.
func (r *report) missing(named []test) []test {
	return slices.DeleteFunc(slices.Clone(named), func(t test) bool { return r.passed[t] })
}
