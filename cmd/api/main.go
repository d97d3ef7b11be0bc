// Command api is the server of Inventory Hub, and the operator's tool beside it.
package main

import (
	"context"
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

// run is the whole program, so that tests can start it.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := newCommand(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !began { // the words were refused
		return usageError{err.Error() + "; see " + cmd.CommandPath() + " --help"}
	}
	return err
}
