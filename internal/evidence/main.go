// Command evidence runs `go test -json`, shows what plain go test would show, and then checks that every test which a document names as
// evidence has passed in that run:
//
//	go run ./internal/evidence [-keep FILE] DOCUMENT go test -json [ARGUMENTS...]
//
// The exit status is that of go test; where that is 0, it is 1 if a test that the document names has not passed. All that go test said is kept
// in FILE.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: evidence [-keep FILE] DOCUMENT go test -json [ARGUMENTS...]")
		flag.PrintDefaults()
	}
	keep := flag.String("keep", os.DevNull, "the `FILE` for all that go test says")
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
		os.Exit(2)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	status, err := check(flag.Arg(0), *keep, flag.Args()[1:], signals, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "evidence:", err)
	}
	os.Exit(status)
}

// check runs the command and compares what has passed with the document. It gives the exit status.
func check(document, keep string, command []string, signals <-chan os.Signal, out io.Writer) (int, error) {
	text, err := os.ReadFile(document)
	if err != nil {
		return 1, err
	}
	named, err := namedTests(string(text))
	if err != nil {
		return 1, fmt.Errorf("%s: %w", document, err)
	}
	kept, err := os.Create(keep)
	if err != nil {
		return 1, err
	}
	defer func() { _ = kept.Close() }()

	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // ended by its own timeout, or by a signal that is handed on
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended already
		}
	}()
	r := newReport(out)
	reading := r.read(io.TeeReader(stdout, kept))
	err = cmd.Wait()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		return max(1, failed.ExitCode()), nil // -1 when a signal ended it
	case errors.Join(reading, err) != nil:
		return 1, errors.Join(reading, err)
	}
	missing := r.missing(named)
	for _, m := range missing {
		_, _ = fmt.Fprintf(out, "%s names %s, which has not passed\n", document, m)
	}
	if len(missing) > 0 {
		return 1, nil
	}
	_, err = fmt.Fprintf(out, "%s names %d tests; all of them passed\n", document, len(named))
	return 0, err
}
