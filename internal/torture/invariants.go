package torture

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// invariant is a promise about the tables: the query finds the rows that break it, and must find none at any moment.
type invariant struct {
	promise string
	query   string
}

// invariants hold on both engines, whatever happens. CAST makes both give ids as text.
var invariants = []invariant{
	{"no quantity is below zero", `
		SELECT CAST(id AS TEXT) FROM products WHERE quantity < 0
		UNION ALL SELECT CAST(id AS TEXT) FROM movements WHERE quantity_after < 0`},
	{"a product's quantity is the sum of its ledger", `
		SELECT CAST(p.id AS TEXT) FROM products p LEFT JOIN movements m ON m.product_id = p.id
		GROUP BY p.id, p.quantity HAVING p.quantity <> COALESCE(SUM(m.delta), 0)`},
	{"each line of a ledger follows from the one before", `
		SELECT CAST(id AS TEXT) FROM (
			SELECT id, quantity_after - delta AS before, COALESCE(LAG(quantity_after) OVER (PARTITION BY product_id ORDER BY product_version), 0) AS after
			FROM movements) lines
		WHERE before <> after`},
	{"every change of a product is a movement or in the audit log, and is there once", `
		SELECT CAST(p.id AS TEXT) FROM products p WHERE p.version <> 1 + (SELECT COUNT(*) FROM movements m WHERE m.product_id = p.id)
			+ (SELECT COUNT(*) FROM audit_log a WHERE a.target = CAST(p.id AS TEXT) AND a.action = 'product.updated')`},
	{"an order's history is a path of the state diagram", `
		SELECT CAST(order_id AS TEXT) FROM (
			SELECT order_id, COALESCE(from_state, '') AS from_state, to_state,
				COALESCE(LAG(to_state) OVER (PARTITION BY order_id ORDER BY order_version), '') AS before
			FROM order_steps) steps
		WHERE from_state <> before OR from_state || '>' || to_state NOT IN (
			'>Draft', '>Pending', 'Draft>Pending', 'Draft>Cancelled', 'Pending>Ready', 'Pending>Cancelled', 'Ready>Completed', 'Ready>Cancelled')`},
	{"an order stands where its history ends", `
		SELECT CAST(o.id AS TEXT) FROM orders o WHERE o.state <> COALESCE(
			(SELECT s.to_state FROM order_steps s WHERE s.order_id = o.id ORDER BY s.order_version DESC LIMIT 1), '')`},
	{"no transition happens twice", `
		SELECT CAST(order_id AS TEXT) FROM order_steps GROUP BY order_id, to_state HAVING COUNT(*) > 1`},
	{"an approval takes the order's quantity once, a cancellation or deletion gives it back once, and nothing else does", `
		SELECT CAST(o.id AS TEXT) FROM orders o
		JOIN (SELECT order_id, SUM(CASE WHEN to_state = 'Ready' THEN 1 ELSE 0 END) AS approved,
				SUM(CASE WHEN from_state = 'Ready' AND to_state = 'Cancelled' THEN 1 ELSE 0 END) AS cancelled
			FROM order_steps GROUP BY order_id) s ON s.order_id = o.id
		LEFT JOIN (SELECT order_id, SUM(CASE WHEN reason = 'Reserved' THEN 1 ELSE 0 END) AS reserved, SUM(CASE WHEN reason = 'Released' THEN 1 ELSE 0 END) AS released,
				SUM(CASE WHEN reason = 'Reserved' THEN -delta ELSE 0 END) AS taken, SUM(CASE WHEN reason = 'Released' THEN delta ELSE 0 END) AS given
			FROM movements WHERE order_id IS NOT NULL GROUP BY order_id) m ON m.order_id = o.id
		WHERE COALESCE(m.reserved, 0) <> s.approved OR COALESCE(m.taken, 0) <> s.approved * o.quantity
			OR COALESCE(m.released, 0) <> s.cancelled + CASE WHEN o.state = 'Ready' AND o.deleted_at IS NOT NULL THEN 1 ELSE 0 END
			OR COALESCE(m.given, 0) <> COALESCE(m.released, 0) * o.quantity`},
	{"every change of an order is in its history or in the audit log, and is there once", `
		SELECT CAST(o.id AS TEXT) FROM orders o WHERE o.version <> (SELECT COUNT(*) FROM order_steps s WHERE s.order_id = o.id)
			+ (SELECT COUNT(*) FROM audit_log a WHERE a.target = CAST(o.id AS TEXT) AND a.action = 'order.edited')
			+ CASE WHEN o.deleted_at IS NULL THEN 0 ELSE 1 END`},
	{"every step of an order is in the audit log once", `
		SELECT CAST(o.id AS TEXT) FROM orders o
		WHERE (SELECT COUNT(*) FROM order_steps s WHERE s.order_id = o.id) <>
				(SELECT COUNT(*) FROM audit_log a WHERE a.target = CAST(o.id AS TEXT) AND a.action IN ('order.placed', 'order.moved'))
			OR (SELECT COUNT(*) FROM audit_log a WHERE a.target = CAST(o.id AS TEXT) AND a.action = 'order.deleted') <> CASE WHEN o.deleted_at IS NULL THEN 0 ELSE 1 END`},
	{"a deleted product has no open order", `
		SELECT CAST(o.id AS TEXT) FROM orders o JOIN products p ON p.id = o.product_id
		WHERE p.deleted_at IS NOT NULL AND o.deleted_at IS NULL AND o.state IN ('Draft', 'Pending', 'Ready')`},
	{"a deleted category holds no product", `
		SELECT CAST(p.id AS TEXT) FROM products p JOIN categories c ON c.id = p.category_id WHERE c.deleted_at IS NOT NULL AND p.deleted_at IS NULL`},
	{"products and orders are as many as the totals of lists say", `
		SELECT CAST(c.id AS TEXT) FROM categories c LEFT JOIN product_counts k ON k.category_id = c.id
		LEFT JOIN (SELECT category_id, COUNT(*) AS n FROM products WHERE deleted_at IS NULL GROUP BY category_id) p ON p.category_id = c.id
		WHERE COALESCE(k.n, 0) <> COALESCE(p.n, 0)
		UNION ALL SELECT s.state FROM (SELECT state FROM order_counts UNION SELECT state FROM orders) s LEFT JOIN order_counts k ON k.state = s.state
		LEFT JOIN (SELECT state, COUNT(*) AS n FROM orders WHERE deleted_at IS NULL GROUP BY state) o ON o.state = s.state
		WHERE COALESCE(k.n, 0) <> COALESCE(o.n, 0)`},
	{"no step was taken by a role that is too low for it", `
		SELECT CAST(s.order_id AS TEXT) FROM order_steps s JOIN users u ON u.id = s.user_id
		WHERE u.role = 'ReadonlyUser' OR u.role = 'User' AND (s.to_state IN ('Ready', 'Completed') OR s.from_state = 'Ready')`},
	{"every invitation has its event, and none was given up", `
		SELECT CAST(u.id AS TEXT) FROM users u WHERE u.status = 'Draft' AND
			(SELECT COUNT(*) FROM audit_log a WHERE a.target = CAST(u.id AS TEXT) AND a.action = 'user.invited') <>
			(SELECT COUNT(*) FROM outbox o WHERE o.subject = u.id AND o.type = 'user.invited' AND o.state <> 'Dead')`},
	{"an event is done when its mail is", `
		SELECT CAST(o.id AS TEXT) FROM outbox o WHERE o.state = 'Sent' AND NOT EXISTS (
			SELECT 1 FROM deliveries d WHERE d.event_id = o.id AND d.state = 'Sent')`},
	{"nothing is the result of two keys", `
		SELECT CAST(result_id AS TEXT) FROM attempts WHERE result_id IS NOT NULL GROUP BY result_id HAVING COUNT(*) > 1`},
	{"the audit log has no gap", `
		SELECT CAST(seq AS TEXT) FROM (SELECT seq, COALESCE(LAG(seq) OVER (ORDER BY seq), 0) AS before FROM audit_log) lines WHERE seq <> before + 1`},
}

// Checks during the storm: how many, at most how often, and which of them ask the operator's commands too.
const (
	checksInStorm    = 30
	checksAtMost     = 2 * time.Second
	commandsInChecks = 3
)

// checkNowAndThen checks the invariants while everything goes on, but for the database, which is neither restarted nor paused meanwhile.
func (w *world) checkNowAndThen(storm context.Context) {
	for n := 1; sleep(storm, max(checksAtMost, w.config.Duration/checksInStorm)); n++ {
		if err := w.check(storm, n%commandsInChecks == 0); err != nil && storm.Err() == nil {
			w.tally.violate("the invariants cannot be checked: %v", err)
		}
	}
}

func (w *world) check(ctx context.Context, withCommands bool) error {
	w.checking.Lock()
	defer w.checking.Unlock()
	if err := w.checkInvariants(ctx); err != nil || !withCommands {
		return err
	}
	return w.checkCommands(ctx)
}

// checkInvariants looks at one moment of the database. It returns an error when it could not look.
func (w *world) checkInvariants(ctx context.Context) error {
	tx, err := w.db.BeginTx(ctx, &sql.TxOptions{Isolation: map[string]sql.IsolationLevel{Postgres: sql.LevelRepeatableRead}[w.config.Engine]})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	broken := map[string][]string{}
	for _, i := range invariants {
		rows, err := texts(ctx, tx, i.query)
		if err != nil {
			return fmt.Errorf("%s: %w", i.promise, err)
		}
		if len(rows) > 0 {
			broken[i.promise] = rows
		}
	}
	for promise, rows := range broken {
		w.tally.violate("it is not true that %s: %d, such as %s", promise, len(rows), rows[0])
	}
	w.tally.checked()
	return nil
}

func texts(ctx context.Context, tx *sql.Tx, query string) (found []string, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, rows.Err()
}

// checkCommands asks the operator's own commands, which end with an error too when they cannot look.
func (w *world) checkCommands(ctx context.Context) error {
	for args, complaint := range map[string]string{"audit verify": "the audit log is broken", "stock reconcile": "differ from their ledger"} {
		cmd := exec.CommandContext(ctx, w.api, strings.Fields(args)...)
		cmd.Dir, cmd.Env = w.dir, w.environ(w.direct)
		said, err := cmd.CombinedOutput()
		if err == nil {
			continue
		}
		if strings.Contains(string(said), complaint) {
			w.tally.violate("api %s says: %s", args, said)
			continue
		}
		return fmt.Errorf("api %s: %w: %s", args, err, said)
	}
	return nil
}
