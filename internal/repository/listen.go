package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// callersChannel is where the schema's triggers tell of changes of who may call (migration 7).
	callersChannel = "callers"
	// quietLimit is how long nothing may be heard before the connection is asked for a sign of life, and how long that may take.
	quietLimit = 5 * time.Second
)

// listen hears what is told in a channel of Postgres: began is called when it hears, heard for each word. It returns when the connection fails or ctx
// ends. It needs a session of its own, which a pooler between it and the server that lends connections by the transaction has not.
func listen(ctx context.Context, config pgx.ConnConfig, channel string, began, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, &config)
	if err != nil {
		return fmt.Errorf("listen: %w", readable(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	began()
	for {
		err := within(ctx, func(ctx context.Context) error {
			_, err := conn.WaitForNotification(ctx)
			return err
		})
		switch {
		case err == nil:
			heard()
		case pgconn.Timeout(err) && ctx.Err() == nil:
			if err := within(ctx, conn.Ping); err != nil {
				return fmt.Errorf("listen: %w", err)
			}
		default:
			return fmt.Errorf("listen: %w", err)
		}
	}
}

func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, quietLimit)
	defer cancel()
	return do(ctx)
}
