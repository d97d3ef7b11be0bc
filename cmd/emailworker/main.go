// Command emailworker takes events from RabbitMQ and mails them. Without RabbitMQ it is not needed: the api does the same by itself.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"inventoryhub/internal/daemon"
)

func main() {
	ctx, stop := daemon.UntilStopped(context.Background())
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "emailworker:", daemon.OneLine(err))
		os.Exit(1)
	}
}

// run is the whole program, so that tests can start it.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := newCommand(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
