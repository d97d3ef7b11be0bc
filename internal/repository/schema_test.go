package repository_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// kinds are the names of types that stand for the same on the two engines.
var kinds = map[string]string{
	"TEXT": "text", "INTEGER": "integer", "DATETIME": "time",
	"uuid": "text", "text": "text", "bigint": "integer", "timestamp with time zone": "time",
}

// TestSchema_sameOnBothEngines compares the catalogues: tables, columns, nullability, keys, references and indexes. Only what is searched is kept in
// each engine's own way, in the tables named ..._texts.
func TestSchema_sameOnBothEngines(t *testing.T) {
	t.Parallel()
	sqlite, postgres := newBase(t, storetest.SQLiteURL(t)), newBase(t, storetest.PostgresURL(t))
	for name, query := range map[string][2]string{
		"columns": {
			`SELECT t.name || '.' || c.name || ' ' || c.type || CASE c."notnull" WHEN 1 THEN ' NOT NULL' ELSE '' END || COALESCE(' DEFAULT ' || c.dflt_value, '')
				FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'goose%' AND t.name NOT LIKE 'sqlite%'`,
			`SELECT table_name || '.' || column_name || ' ' || data_type || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END || COALESCE(' DEFAULT ' || column_default, '')
				FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`,
		},
		"primary keys and uniqueness": {
			`SELECT t.name || ' ' || i.origin || ' ' || (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
				FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.origin <> 'c' AND t.name NOT LIKE 'goose%' AND t.name NOT LIKE 'sqlite%'
				UNION ALL SELECT t.name || ' pk ' || c.name -- the row's own number, which needs no index
				FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.pk > 0 AND c.type = 'INTEGER' AND t.name NOT LIKE 'goose%'`,
			`SELECT c.conrelid::regclass || ' ' || CASE c.contype WHEN 'p' THEN 'pk' ELSE 'u' END || ' ' ||
				(SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num)
				FROM pg_constraint c WHERE c.contype IN ('p', 'u') AND c.conrelid::regclass::text NOT LIKE 'goose%' AND c.connamespace = 'public'::regnamespace`,
		},
		"references": {
			`SELECT t.name || '.' || f."from" || ' -> ' || f."table" || '.' || f."to" || ' ' || f.on_delete || ' ' || f.on_update
				FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'`,
			`SELECT c.conrelid::regclass || '.' || a.attname || ' -> ' || c.confrelid::regclass || '.' || b.attname || ' ' ||
				CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'a' THEN 'NO ACTION' ELSE c.confdeltype::text END || ' ' || CASE c.confupdtype WHEN 'a' THEN 'NO ACTION' ELSE c.confupdtype::text END
				FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
				WHERE c.contype = 'f' AND cardinality(c.conkey) = 1`,
		},
		"indexes": {
			`SELECT t.name || '.' || i.name || CASE i."unique" WHEN 1 THEN ' UNIQUE' ELSE '' END || CASE i.partial WHEN 1 THEN ' PARTIAL' ELSE '' END || ' ' ||
				(SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
				FROM sqlite_master t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.origin = 'c'`,
			`SELECT i.indrelid::regclass || '.' || i.indexrelid::regclass || CASE WHEN i.indisunique THEN ' UNIQUE' ELSE '' END || CASE WHEN i.indpred IS NULL THEN '' ELSE ' PARTIAL' END || ' ' ||
				(SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(i.indkey::int[]) WITH ORDINALITY k(num, n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num)
				FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := sqlite.strings(query[0]), postgres.strings(query[1])
			isText := func(line string) bool { return strings.Contains(line, "_texts") }
			a, b = slices.DeleteFunc(a, isText), slices.DeleteFunc(b, isText)
			for _, lines := range [][]string{a, b} {
				require.Greater(t, len(lines), 10, "the catalogue was not read")
				for i, line := range lines {
					name, rest, _ := strings.Cut(line, " ")
					for engine, kind := range kinds {
						if after, found := strings.CutPrefix(rest, engine); found {
							lines[i] = name + " " + kind + after
							break
						}
					}
				}
			}
			require.Equal(t, []string{}, slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) }), "on SQLite alone")
			require.Equal(t, []string{}, slices.DeleteFunc(slices.Clone(b), func(line string) bool { return slices.Contains(a, line) }), "on Postgres alone")
		})
	}
}

// row is what a test writes around the store, by column.
type row map[string]any

func (b *base) insert(table string, r row) error {
	columns := slices.Sorted(maps.Keys(r))
	values := make([]any, len(columns))
	for i, c := range columns {
		values[i] = r[c]
	}
	return b.exec(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(columns, ", "), strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")), values...)
}

// TestSchema_constraints writes around the store: rows that are right but for one thing, which the database itself must refuse.
func TestSchema_constraints(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		phones := b.category("Phones")
		p := b.product("iPhone", phones, 5)
		b.ok(b.exec("UPDATE products SET sku_key = 'a-1'"))
		o := b.order(p, domain.OrderReady, u)
		s := b.session(u, "hash")
		token, e := b.token(domain.TokenInvitation, u, now), b.event(now)
		_, _, err := b.Deliveries.Claim(b.ctx, e, now, 0)
		b.ok(err)
		b.ok(b.Logins.Failed(b.ctx, "jane", "192.0.2.1", now))
		reserved := domain.NewMovement(p.ID, -1, domain.MovementReserved, u.ID, now)
		reserved.OrderID = &o.ID
		_, err = b.Stock.Apply(b.ctx, reserved)
		b.ok(err)

		id, at, nobody := func() string { return domain.NewID().String() }, "2021-01-01 12:00:00+00:00", domain.NewID().String()
		good := map[string]func() row{
			"users": func() row {
				return row{"id": id(), "email": "x", "email_key": id(), "username": "x", "username_key": id(), "first_name": "x", "first_name_key": "x", "last_name": "x",
					"last_name_key": "x", "role": "User", "status": "Active", "password_hash": "x", "created_at": at, "updated_at": at}
			},
			"sessions": func() row {
				return row{"id": id(), "user_id": u.ID.String(), "created_at": at, "idle_until": at, "expires_at": at}
			},
			"refresh_tokens": func() row { return row{"hash": id(), "session_id": s.ID.String(), "created_at": at} },
			"one_time_tokens": func() row {
				return row{"id": id(), "kind": "Invitation", "user_id": u.ID.String(), "token_hash": id(), "event_id": id(), "created_at": at, "expires_at": at}
			},
			"login_failures": func() row { return row{"account": id(), "address": "x", "failures": 0, "last_failed_at": at} },
			"categories":     func() row { return row{"id": id(), "name": "x", "name_key": id(), "created_at": at} },
			"products": func() row {
				return row{"id": id(), "name": "x", "name_key": "x", "category_id": phones.ID.String(), "quantity": 0, "description": "", "search_key": "", "version": 1,
					"sku": "x", "sku_key": id(), "reorder_level": 0, "created_at": at, "updated_at": at}
			},
			"orders": func() row {
				return row{"id": id(), "product_id": p.ID.String(), "client": "x", "client_key": "x", "description": "", "search_key": "", "quantity": 1, "state": "Draft", "version": 1,
					"created_at": at, "updated_at": at}
			},
			"order_steps": func() row {
				return row{"id": id(), "order_id": o.ID.String(), "order_version": 99, "from_state": "Draft", "to_state": "Pending", "created_at": at}
			},
			"movements": func() row {
				return row{"id": id(), "product_id": p.ID.String(), "product_version": 99, "delta": 0, "quantity_after": 0, "reason": "Adjusted", "note": "", "created_at": at}
			},
			"outbox": func() row {
				return row{"id": id(), "type": "x", "subject": id(), "data": "", "occurred_at": at, "state": "Pending", "retries": 0, "due_at": at, "last_error": ""}
			},
			"deliveries": func() row {
				return row{"event_id": id(), "user_id": id(), "type": "x", "state": "Sent", "attempts": 0, "last_error": "", "polls": 0, "created_at": at, "updated_at": at}
			},
		}
		for table, rows := range map[string][]row{
			"users": {
				{"id": u.ID.String()}, {"email_key": u.EmailKey}, {"username_key": *u.UsernameKey}, {"role": "Root"}, {"role": "admin"}, {"status": "Deleted"},
				{"username": nil}, {"username_key": nil}, {"password_hash": nil},
			},
			"sessions":       {{"id": s.ID.String()}, {"user_id": nobody}},
			"refresh_tokens": {{"hash": "hash"}, {"session_id": nobody}},
			"one_time_tokens": {
				{"id": token.ID.String()}, {"kind": "Other"}, {"user_id": nobody}, {"created_by": nobody}, {"token_hash": token.TokenHash}, {"event_id": token.EventID.String()},
			},
			"login_failures": {{"account": "jane", "address": "192.0.2.1"}, {"failures": -1}},
			"categories":     {{"id": phones.ID.String()}, {"name_key": "phones"}},
			"products":       {{"id": p.ID.String()}, {"category_id": nobody}, {"quantity": -1}, {"sku_key": "a-1"}, {"reorder_level": -1}},
			"orders": {
				{"id": o.ID.String()}, {"product_id": nobody}, {"created_by": nobody}, {"quantity": 0}, {"quantity": -1}, {"state": "Lost"}, {"state": "draft"},
			},
			"order_steps": {
				{"order_id": nobody}, {"user_id": nobody}, {"order_version": 1}, {"from_state": "Completed"}, {"from_state": "Cancelled"}, {"from_state": "Lost"}, {"to_state": "Lost"},
			},
			"movements": {
				{"product_id": nobody}, {"user_id": nobody}, {"product_version": 2}, {"quantity_after": -1}, {"reason": "Lost"},
				{"reason": "Reserved"}, {"reason": "Released"}, {"order_id": o.ID.String()}, {"order_id": nobody, "reason": "Released"},
				{"order_id": o.ID.String(), "reason": "Created"}, {"order_id": o.ID.String(), "reason": "Reserved"},
			},
			"outbox":     {{"id": e.ID.String()}, {"state": "Lost"}},
			"deliveries": {{"event_id": e.ID.String()}, {"state": "Lost"}},
		} {
			require.NoError(t, b.insert(table, good[table]()), "a row of %s that is right passes", table)
			before := b.count(table)
			for _, fault := range rows {
				r := good[table]()
				maps.Copy(r, fault)
				requireConstraint(t, b.insert(table, r), table, fault)
			}
			for _, column := range slices.Sorted(maps.Keys(good[table]())) {
				if nullable := map[string]bool{"username": true, "username_key": true, "password_hash": true, "from_state": true, "sku": true, "sku_key": true, "reorder_level": true}; !nullable[column] {
					r := good[table]()
					r[column] = nil
					requireConstraint(t, b.insert(table, r), table, column+" is null")
				}
			}
			require.Equal(t, before, b.count(table))
		}

		released := good["movements"]()
		released["order_id"], released["reason"], released["product_version"] = o.ID.String(), "Released", 100
		b.ok(b.insert("movements", released))
		again := good["movements"]()
		again["order_id"], again["reason"], again["product_version"] = o.ID.String(), "Released", 101
		requireConstraint(t, b.insert("movements", again), "movements", "a second release")

		for _, statement := range []string{
			"UPDATE products SET quantity = quantity - 5", "UPDATE orders SET quantity = 0", "UPDATE orders SET state = 'Lost'", "UPDATE users SET role = ''",
			"DELETE FROM users", "DELETE FROM categories", "DELETE FROM products", "DELETE FROM orders",
		} {
			requireConstraint(t, b.exec(statement), statement, "")
		}
	})
}

// requireConstraint checks that it was a constraint that refused, and not a mistake in the statement.
func requireConstraint(t *testing.T, err error, what string, fault any) {
	t.Helper()
	require.Error(t, err, "%s: %v", what, fault)
	message := err.Error()
	require.True(t, strings.Contains(message, "SQLSTATE 23") || strings.Contains(message, "constraint failed"), "%s: %v: %s", what, fault, message)
}

// TestSchema_deletedNamesAreFree: uniqueness is among those not deleted, and drafts have no username.
func TestSchema_deletedNamesAreFree(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		for range 3 {
			b.ok(b.Users.Delete(b.ctx, b.user("jane", domain.RoleUser).ID, now))
			b.ok(b.Categories.Delete(b.ctx, b.category("Phones"), now))
			d := domain.NewDraft(domain.NewID().String()+"@example.com", "x", "x", domain.RoleUser, now)
			b.ok(b.Users.Create(b.ctx, d))
		}
		require.Equal(t, []int{6, 3}, []int{b.count("users"), b.count("categories")})
	})
}

func TestSchema_sessionsTakeTheirTokensAlong(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.session(b.user("jane", domain.RoleUser), "hash")
		b.ok(b.exec("DELETE FROM sessions"))
		require.Zero(t, b.count("refresh_tokens"))
	})
}

// TestSchema_storeCountsOnItsConstraints makes the store itself run into them: the rows of a failed transaction are gone.
func TestSchema_storeCountsOnItsConstraints(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		p := b.product("iPhone", b.category("Phones"), 5)
		o := b.order(p, domain.OrderReady, u)
		reserve := func() error {
			return b.InTx(b.ctx, func(tx *repository.Store) error {
				m := domain.NewMovement(p.ID, -1, domain.MovementReserved, u.ID, now)
				m.OrderID = &o.ID
				_, err := tx.Stock.Apply(b.ctx, m)
				return err
			})
		}
		b.ok(reserve())
		err := reserve()
		require.Error(t, err)
		require.False(t, isKind(err, domain.KindUnavailable), "a defect of ours is not to be waited for")
		found, err := b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		require.EqualValues(t, 4, found.Quantity, "the stock was not taken a second time")
	})
}
