package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"
)

// agree asks both servers the same, or what is alike where an answer changes something, and returns an error unless both answer with the case's
// status and the same JSON values.
func agree(ctx context.Context, ours, reference *server, cases []benchCase) error {
	const tries = 5
	dice := rand.New(rand.NewPCG(1, 2))
	for _, c := range cases {
		for range tries {
			r, ok := c.next(dice)
			if !ok {
				return fmt.Errorf("%s: there is nothing to ask for", c.name)
			}
			own, err := ours.expect(ctx, c, r)
			if err != nil {
				return err
			}
			if c.alone {
				if r, ok = c.next(dice); !ok {
					break
				}
			}
			other, err := reference.expect(ctx, c, r)
			if err != nil {
				return err
			}
			if !same(own.body, other.body, c.varies) {
				return fmt.Errorf("%s: %s %s is answered in two ways:\n%s\n%s", c.name, r.method, r.path, own.body, other.body)
			}
			if tag := "ETag"; len(c.varies) == 0 && own.header.Get(tag) != other.header.Get(tag) {
				return fmt.Errorf("%s: %s %s has two entity tags: %s and %s", c.name, r.method, r.path, own.header.Get(tag), other.header.Get(tag))
			}
		}
	}
	return nil
}

func (s *server) expect(ctx context.Context, c benchCase, r request) (reply, error) {
	answer, err := s.ask(ctx, r)
	if err == nil && answer.status != c.status {
		err = fmt.Errorf("%s: %s answers %s %s with %d instead of %d: %s", c.name, s.name, r.method, r.path, answer.status, c.status, answer.body)
	}
	return answer, err
}

// same compares bodies, JSON by its values without those of the fields that vary.
func same(a, b []byte, varies []string) bool {
	var left, right any
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(without(left, varies), without(right, varies))
}

func without(value any, fields []string) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if slices.Contains(fields, name) {
				delete(v, name)
				continue
			}
			v[name] = without(v[name], fields)
		}
	case []any:
		for i := range v {
			v[i] = without(v[i], fields)
		}
	}
	return value
}

// reconcile has our program look for stock that is not its ledger's sum, and for a line of the audit log that does not fit.
func (w *world) reconcile(ctx context.Context, database string) error {
	for _, look := range [][]string{{"stock", "reconcile"}, {"audit", "verify"}} {
		said, err := w.run(ctx, database, look...)
		if err != nil {
			return err
		}
		w.say("%s", said)
	}
	return nil
}

// approvedOnce looks for approvals that were answered, but are not there, or have not taken just the order's quantity.
func approvedOnce(ctx context.Context, in *catalogue) error {
	db, err := pgx.Connect(ctx, in.url)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	handed := slices.Concat(in.stock.pending.handedOut(), in.stock.hot.handedOut())
	var approved int
	err = db.QueryRow(ctx, `SELECT count(*) FROM unnest($1::uuid[]) asked (id) JOIN orders o ON o.id = asked.id AND o.state = 'Ready'
		JOIN movements m ON m.order_id = o.id AND m.product_id = o.product_id AND m.delta = -o.quantity AND m.reason = 'Reserved'
		JOIN order_steps s ON s.order_id = o.id AND s.order_version = o.version AND s.to_state = o.state`, handed).Scan(&approved)
	if err == nil && approved != len(handed) {
		err = fmt.Errorf("%d approvals were answered, but %d are in the database", len(handed), approved)
	}
	return err
}
