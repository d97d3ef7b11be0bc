// Command run tortures the API; see package torture. What it is to do stands in the environment:
//
//	DURATION  how long, such as 30s or 10m; 1m by default
//	SEED      a number that plans the run; one is drawn by default
//	INSTANCES how many API processes; 2 by default, 1 on sqlite
//	ENGINE    postgres, which is the default, or sqlite
//
// The exit status is 1 when a promise was broken or when it could not be run, and 2 for settings that cannot be read.
package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"inventoryhub/internal/testservers"
	"inventoryhub/internal/torture"
)

func main() {
	config, err := settings(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report, err := run(ctx, config)
	stop()
	fmt.Print(report)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
	}
	if err != nil || len(report.Violations) > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, config torture.Config) (torture.Report, error) {
	if config.Engine == torture.Postgres {
		if err := testservers.Install(os.Stderr, testservers.PostgreSQLServer); err != nil {
			return torture.Report{}, err
		}
	}
	return torture.Run(ctx, config, os.Stdout)
}

func settings(getenv func(string) string) (c torture.Config, err error) {
	c.Engine = cmp.Or(getenv("ENGINE"), torture.Postgres)
	if c.Duration, err = time.ParseDuration(cmp.Or(getenv("DURATION"), "1m")); err != nil {
		return c, fmt.Errorf("DURATION must be a duration such as 30s or 10m")
	}
	instances := map[string]string{torture.Postgres: "2", torture.SQLite: "1"}[c.Engine]
	if c.Instances, err = strconv.Atoi(cmp.Or(getenv("INSTANCES"), instances)); err != nil {
		return c, fmt.Errorf("INSTANCES must be a whole number")
	}
	drawn := strconv.FormatUint(uint64(rand.Uint32()), 10)
	if c.Seed, err = strconv.ParseUint(cmp.Or(getenv("SEED"), drawn), 10, 64); err != nil {
		return c, fmt.Errorf("SEED must be a whole number")
	}
	return c, nil
}
