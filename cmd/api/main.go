// Command api is the server of Inventory Hub, and the operator's tool beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"inventoryhub/internal/daemon"
)

func main() {
	ctx, stop := daemon.UntilStopped(context.Background())
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "api:", daemon.OneLine(err))
		os.Exit(exitStatus(err))
	}
}

// usageError is a command line that says nothing that can be done.
type usageError struct{ text string }

// Error says what is wrong with it.
func (e usageError) Error() string { return e.text }

// exitStatus is 2 for wrong usage, and 1 for everything else that went wrong.
func exitStatus(err error) int {
	var wrong usageError
	if errors.As(err, &wrong) {
		return 2
	}
	return 1
}

// run is the whole program, so that tests can start it.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := newCommand(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	err := root.ExecuteContext(ctx)
	if err != nil && !began { // cobra refused the words
		return usageError{err.Error() + "; see api --help"}
	}
	return err
}
