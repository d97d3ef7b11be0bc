package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/storetest"
)

// truth is a server at work, and the operator beside it.
type truth struct {
	*program
	t        *testing.T
	database string
	settings []string
	access   string // an Admin's
}

// eachTruth runs a test on both engines.
func eachTruth(t *testing.T, test func(t *testing.T, o *truth)) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		o := &truth{t: t, database: url, settings: []string{"DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("k", 32)}}
		o.program = start(t, t.TempDir(), append(o.settings, "ADMIN_PASSWORD="+adminPassword)...)
		o.access = o.login("admin@example.com", adminPassword)
		test(t, o)
	})
}

// operate runs a command and gives its exit status and what it printed.
func (o *truth) operate(args ...string) (status int, stdout, stderr string) {
	o.t.Helper()
	cmd := command(o.t, o.dir, args, o.settings...)
	var out, faults strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &faults
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.True(o.t, errors.As(err, &exit), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), faults.String()
}

// succeeds checks that a command ends well and prints this alone.
func (o *truth) succeeds(want string, args ...string) {
	o.t.Helper()
	status, stdout, stderr := o.operate(args...)
	require.Equal(o.t, []any{0, want, ""}, []any{status, stdout, stderr})
}

// fails checks that a command fails with one line, after it printed this.
func (o *truth) fails(fault, want string, args ...string) {
	o.t.Helper()
	status, stdout, stderr := o.operate(args...)
	require.Equal(o.t, []any{1, want, "api: " + fault + "\n"}, []any{status, stdout, stderr})
}

// exec changes the database behind the program's back.
func (o *truth) exec(statement string) {
	o.t.Helper()
	driver, source := "pgx", o.database
	if path, embedded := strings.CutPrefix(o.database, "sqlite://"); embedded {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(o.t, err)
	defer func() { require.NoError(o.t, db.Close()) }()
	_, err = db.ExecContext(o.t.Context(), statement)
	require.NoError(o.t, err)
}

// ask calls the API and decodes the answer, if there is one.
func (o *truth) ask(status int, method, path string, body any) map[string]any {
	o.t.Helper()
	got, text := o.send(method, path, o.access, body)
	require.Equal(o.t, status, got, text)
	var answer map[string]any
	if text != "" {
		require.NoError(o.t, json.Unmarshal([]byte(text), &answer))
	}
	return answer
}

func (o *truth) product(name string, quantity int) string {
	o.t.Helper()
	return o.ask(http.StatusCreated, http.MethodPost, "/products", map[string]any{"name": name, "category": "Electronics", "quantity": quantity})["id"].(string)
}

func (o *truth) movements(product string) []any {
	o.t.Helper()
	return o.ask(http.StatusOK, http.MethodGet, "/products/"+product+"/movements", nil)["movements"].([]any)
}

// TestStockReconcile makes quantities differ from their ledgers, which only another program can, and repairs them while the server runs.
func TestStockReconcile(t *testing.T) {
	eachTruth(t, func(t *testing.T, o *truth) {
		o.succeeds("0 products compared, 0 differ from their ledger\n", "stock", "reconcile")
		o.ask(http.StatusCreated, http.MethodPost, "/products/categories", map[string]any{"name": "Electronics"})
		more, fewer, right, gone := o.product("iPhone 12", 10), o.product(`"iPhone" 13`, 5), o.product("iPhone 14", 7), o.product("iPhone 15", 1)
		o.ask(http.StatusOK, http.MethodPatch, "/products/quantity/"+more, map[string]any{"delta": -2})
		o.ask(http.StatusNoContent, http.MethodDelete, "/products/"+gone, nil)
		o.succeeds("4 products compared, 0 differ from their ledger\n", "stock", "reconcile")
		o.succeeds("4 products compared, 0 were repaired\n", "stock", "reconcile", "--repair")
		o.succeeds(`{"products":4,"drifts":[],"repaired":false}`+"\n", "stock", "reconcile", "--json")

		o.exec("UPDATE products SET quantity = 11 WHERE id = '" + more + "'")
		o.exec("UPDATE products SET quantity = 0 WHERE id = '" + fewer + "'")
		o.exec("UPDATE products SET quantity = 3 WHERE id = '" + gone + "'") // whoever reads its orders still sees it
		report := fmt.Sprintf("%s %q has 11, its ledger adds up to 8\n%s %q has 0, its ledger adds up to 5\n%s %q has 3, its ledger adds up to 1\n",
			more, "iPhone 12", fewer, `"iPhone" 13`, gone, "iPhone 15")
		before := map[string][]any{}
		for _, id := range []string{more, fewer, right} {
			before[id] = o.movements(id)
		}
		for range 2 { // a look changes nothing
			o.fails("3 products differ from their ledger", report+"4 products compared, 3 differ from their ledger\n", "stock", "reconcile")
		}
		o.fails("3 products differ from their ledger", fmt.Sprintf(`{"products":4,"drifts":[{"productId":"%s","name":"iPhone 12","quantity":11,"ledger":8},`+
			`{"productId":"%s","name":"\"iPhone\" 13","quantity":0,"ledger":5},{"productId":"%s","name":"iPhone 15","quantity":3,"ledger":1}],"repaired":false}`+"\n",
			more, fewer, gone), "stock", "reconcile", "--json")

		o.succeeds(report+"4 products compared, 3 were repaired\n", "stock", "reconcile", "--repair")
		for id, want := range map[string]struct{ delta, quantity float64 }{more: {3, 11}, fewer: {-5, 0}, right: {0, 7}} {
			require.Equal(t, want.quantity, o.ask(http.StatusOK, http.MethodGet, "/products/"+id, nil)["quantity"])
			after := o.movements(id)
			require.Equal(t, before[id], after[len(after)-len(before[id]):])
			if want.delta == 0 {
				require.Equal(t, before[id], after)
				continue
			}
			require.Len(t, after, len(before[id])+1)
			added := after[0].(map[string]any)
			delete(added, "id")
			delete(added, "createdAt")
			require.Equal(t, map[string]any{
				"delta": want.delta, "quantityAfter": want.quantity, "reason": "Adjusted", "orderId": nil, "user": nil,
				"note": "reconciled: the ledger did not add up to the quantity",
			}, added)
		}
		for range 2 {
			o.succeeds("4 products compared, 0 differ from their ledger\n", "stock", "reconcile")
			o.succeeds("4 products compared, 0 were repaired\n", "stock", "reconcile", "--repair")
		}
		o.ask(http.StatusOK, http.MethodPatch, "/products/quantity/"+more, map[string]any{"delta": 1}) // the ledger goes on

		var repaired []string
		for _, line := range o.ask(http.StatusOK, http.MethodGet, "/audit?action=stock.repaired&sort=createdAt", nil)["audit"].([]any) {
			l := line.(map[string]any)
			require.Nil(t, l["user"])
			require.Equal(t, "command line", l["address"])
			repaired = append(repaired, fmt.Sprint(l["target"].(map[string]any)["name"], l["details"]))
		}
		want := []string{more + "map[delta:3]", fewer + "map[delta:-5]", gone + "map[delta:2]"}
		slices.Sort(want)
		require.Equal(t, want, slices.Sorted(slices.Values(repaired)))
		status, stdout, stderr := o.operate("audit", "verify")
		require.Equal(t, []any{0, ""}, []any{status, stderr}, stdout)
	})
}

// TestAuditVerify checks a log that is whole, and one that was changed past the database's guard.
func TestAuditVerify(t *testing.T) {
	eachTruth(t, func(t *testing.T, o *truth) {
		o.succeeds("2 lines checked, none changed or missing\n", "audit", "verify") // the first Admin, and that they logged in
		o.ask(http.StatusCreated, http.MethodPost, "/products/categories", map[string]any{"name": "Electronics"})
		o.succeeds("3 lines checked, none changed or missing\n", "audit", "verify")
		o.succeeds(`{"lines":3,"fault":null}`+"\n", "audit", "verify", "--json")
		drop := "DROP TRIGGER audit_log_append_only ON audit_log"
		if strings.HasPrefix(o.database, "sqlite") {
			drop = "DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete"
		}
		o.exec(drop)
		o.exec("DELETE FROM audit_log WHERE seq = 3")
		o.fails("the audit log is broken: the lines after 2 are missing; there should be 3", "", "audit", "verify")
		o.fails("the audit log is broken: the lines after 2 are missing; there should be 3",
			`{"lines":2,"fault":"the lines after 2 are missing; there should be 3"}`+"\n", "audit", "verify", "--json")
		o.exec("UPDATE audit_log SET address = '127.0.0.1' WHERE seq = 1")
		o.fails("the audit log is broken: line 1 was changed", "", "audit", "verify")
		o.ask(http.StatusCreated, http.MethodPost, "/products/categories", map[string]any{"name": "Furniture"}) // work goes on
	})
}

// TestTruth_wrongCommands fails with one line and touches nothing: with 2 for what cannot be understood, with 1 for what cannot be done.
func TestTruth_wrongCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		line   string
	}{
		{2, "nonsense"}, {2, "admin nonsense"}, {2, "admin create"}, {2, "users nonsense"}, {2, "stock nonsense"}, {2, "stock reconcile now"},
		{2, "stock reconcile --nonsense"}, {2, "audit nonsense"}, {2, "audit verify now"}, {2, "migrate nonsense"}, {2, "migrate down"}, {2, "version 1"},
		{1, "stock reconcile"}, {1, "audit verify --json"}, {1, "migrate status"}, {1, "migrate up"}, {1, "migrate down --yes"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, t.TempDir(), strings.Fields(c.line), "DATABASE_URL=postgres://u:secret@127.0.0.1:1/x", "JWT_SECRET="+strings.Repeat("k", 32))
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, c.status, exit.ExitCode(), stderr.String())
			require.Empty(t, stdout.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.NotContains(t, stderr.String(), "secret")
		})
	}
}
