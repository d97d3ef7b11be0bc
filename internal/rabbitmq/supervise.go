package rabbitmq

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 2 * time.Second // an attempt costs the broker little, and mail waits for it
)

// supervise holds a session with the broker until ctx ends: it starts one, serves it until it is lost, and starts
// the next. It pauses in between, longer each time and by chance, so that many clients do not come back at once.
func supervise[S any](
	ctx context.Context,
	log *slog.Logger,
	start func(context.Context) (S, error),
	serve func(context.Context, S) error,
) {
	pause := newReconnectPause()
	lastReason := ""
	for {
		session, err := start(ctx)
		if err == nil {
			log.Info("connected to the broker")
			lastReason = ""
			started := time.Now()
			err = serve(ctx, session)
			if time.Since(started) > reconnectMin { // one that is lost at once is as good as none
				pause.Reset()
			}
		}
		if ctx.Err() != nil {
			return
		}
		wait := pause.NextBackOff()
		level := slog.LevelWarn
		if reason := err.Error(); reason == lastReason {
			level = slog.LevelDebug // an outage is worth one warning, not one every two seconds
		} else {
			lastReason = reason
		}
		log.Log(ctx, level, "no connection to the broker", "error", err, "next_try_in", wait)
		sleep(ctx, wait)
	}
}

func newReconnectPause() *backoff.ExponentialBackOff {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = reconnectMin
	pause.MaxInterval = reconnectMax
	pause.Multiplier = 2
	return pause
}

// sleep waits for d, or less if ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
