package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"inventoryhub/internal/config"
	"inventoryhub/internal/rabbitmq"
	"inventoryhub/internal/repository"
)

// deadEvent is what an operator may see of an event that was put aside. Its content holds a token and is not shown.
type deadEvent struct {
	id, kind, reason string
	at               time.Time
}

// deadLetters is where events are put aside: a queue of the broker or, without a broker, the outbox.
type deadLetters interface {
	list(ctx context.Context) ([]deadEvent, error)
	requeue(ctx context.Context, id string) (int, error) // an empty id is all
	drop(ctx context.Context, id string) (int, error)
	close()
}

func deadCommand(load loader) *cobra.Command {
	dead := &cobra.Command{Use: "dead", Short: "Look after the events that could not be mailed"}
	command := func(use, short string, args cobra.PositionalArgs, do func(cmd *cobra.Command, q deadLetters, args []string) error) {
		dead.AddCommand(&cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			q, err := openDead(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer q.close()
			return do(cmd, q, args)
		}})
	}
	command("list", "List them with the reason why", cobra.NoArgs, func(cmd *cobra.Command, q deadLetters, _ []string) error {
		events, err := q.list(cmd.Context())
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "ID\tTYPE\tTIME\tREASON") // Flush tells of an error
		for _, e := range events {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.id, e.kind, e.at.UTC().Format(time.RFC3339), e.reason)
		}
		return table.Flush()
	})
	command("requeue [ID]", "Try one of them, or all, again", cobra.MaximumNArgs(1), func(cmd *cobra.Command, q deadLetters, args []string) error {
		id := ""
		if len(args) == 1 {
			id = args[0]
		}
		return count(cmd, "requeued", id, q.requeue)
	})
	command("drop ID", "Delete one of them for good", cobra.ExactArgs(1), func(cmd *cobra.Command, q deadLetters, args []string) error {
		return count(cmd, "dropped", args[0], q.drop)
	})
	return dead
}

// count does something to the events of an id and says to how many. None is an error when one was named.
func count(cmd *cobra.Command, done, id string, do func(context.Context, string) (int, error)) error {
	n, err := do(cmd.Context(), id)
	if err != nil {
		return err
	}
	if n == 0 && id != "" {
		return fmt.Errorf("no event with the id %q was put aside", id)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", n, done)
	return err
}

func openDead(ctx context.Context, c config.Config) (deadLetters, error) {
	if c.RabbitMQURL != "" {
		q, err := rabbitmq.NewDeadLetters(broker(c, rabbitmq.Config{}))
		if err != nil {
			return nil, fmt.Errorf("RABBITMQ_URL: %w", err)
		}
		return deadQueue{q}, nil
	}
	store, err := repository.OpenExisting(ctx, c.Operator(), repository.Servers{})
	if err != nil {
		return nil, err
	}
	return deadRows{store}, nil
}

// deadQueue is the broker's dead-letter queue.
type deadQueue struct{ *rabbitmq.DeadLetters }

// maxListed bounds a listing.
const maxListed = 1000

func (q deadQueue) list(ctx context.Context) ([]deadEvent, error) {
	messages, err := q.List(ctx, maxListed)
	if err != nil {
		return nil, err
	}
	events := make([]deadEvent, len(messages))
	for i, m := range messages {
		events[i] = deadEvent{m.ID, m.Type, m.Reason, m.Time}
	}
	return events, nil
}

func (q deadQueue) requeue(ctx context.Context, id string) (int, error) {
	if id == "" {
		return q.RequeueAll(ctx)
	}
	return q.Requeue(ctx, id)
}

func (q deadQueue) drop(ctx context.Context, id string) (int, error) { return q.Drop(ctx, id) }

func (q deadQueue) close() {}

// deadRows are the outbox rows that the api put aside when it mails by itself.
type deadRows struct{ store *repository.Store }

func (q deadRows) list(ctx context.Context) ([]deadEvent, error) {
	rows, err := q.store.Outbox.ListDead(ctx)
	if err != nil {
		return nil, err
	}
	events := make([]deadEvent, len(rows))
	for i, r := range rows {
		events[i] = deadEvent{r.ID.String(), string(r.Type), r.LastError, r.At}
	}
	return events, nil
}

func (q deadRows) requeue(ctx context.Context, id string) (int, error) {
	event, known := eventID(id)
	if !known && id != "" {
		return 0, nil
	}
	n, err := q.store.Outbox.Requeue(ctx, event, time.Now().UTC())
	return int(n), err
}

func (q deadRows) drop(ctx context.Context, id string) (int, error) {
	event, known := eventID(id)
	if !known {
		return 0, nil
	}
	n, err := q.store.Outbox.Drop(ctx, event)
	return int(n), err
}

// eventID reads an event's id. What is none belongs to no event, and uuid.Nil stands for all.
func eventID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && id != uuid.Nil
}

func (q deadRows) close() { _ = q.store.Close() }
