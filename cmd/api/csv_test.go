package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/service"
	"inventoryhub/internal/sheet"
	"inventoryhub/internal/storetest"
)

// TestCSV takes products in, by the command line, and everything out again, on each engine.
func TestCSV(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		dir := t.TempDir()
		store := storetest.Open(t, url)
		files, err := imagestore.Open(t.Context(), "file://"+filepath.Join(dir, "images"))
		require.NoError(t, err)
		pictures := service.NewPictures(store, files, slog.New(slog.DiscardHandler), time.Now)
		_, err = service.NewCategories(store, pictures, time.Now).Create(t.Context(), service.CommandLine(), "Tools", nil, nil)
		require.NoError(t, err)

		path := filepath.Join(dir, "products.csv")
		api := func(args ...string) (stdout, stderr string, err error) {
			var out, said strings.Builder
			err = run(t.Context(), args, []string{"DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("k", 32)}, &out, &said)
			return out.String(), said.String(), err
		}
		does := func(args ...string) string {
			t.Helper()
			stdout, stderr, err := api(args...)
			require.NoError(t, err)
			require.Empty(t, stderr)
			return stdout
		}
		rows := func(args ...string) [][]string {
			t.Helper()
			records, err := csv.NewReader(strings.NewReader(does(append([]string{"export"}, args...)...))).ReadAll()
			require.NoError(t, err)
			return records
		}

		require.NoError(t, os.WriteFile(path, []byte("sku,name,category,quantity\nA-1,Hammer,Tools,7\nA-2,=Saw,tools,0\n"), 0o600))
		require.Equal(t, "2 products would be created, 0 updated, 0 unchanged; nothing was changed\n", does("import", "products", path, "--dry-run"))
		require.Len(t, rows("products"), 1)
		require.JSONEq(t, `{"dryRun": false, "created": 2, "updated": 0, "unchanged": 0, "faults": []}`, does("import", "products", path, "--json"))

		products := rows("products")
		require.Len(t, products, 3)
		require.Equal(t, []string{"A-1", "Hammer", "Tools", "7"}, products[1][1:5])
		require.Equal(t, []string{"A-2", "'=Saw", "Tools", "0"}, products[2][1:5])
		movements := rows("movements", "-")
		require.Equal(t, []string{"id", "itemId", "delta", "quantityAfter", "reason", "orderId", "user", "note", "createdAt"}, movements[0])
		require.Equal(t, []string{products[1][0], "7", "7", "Created", "", "", "import"}, movements[1][1:8])
		require.Len(t, movements, 3)
		entries, _, err := service.NewAudit(store, time.Now).List(t.Context(), service.CommandLine(),
			domain.AuditFilter{Action: string(domain.AuditProductsImported), Page: domain.Page{Number: 1, Size: 9, Sort: domain.Sort{Field: "createdAt"}}}, nil)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Nil(t, entries[0].UserID)
		require.Equal(t, "command line", entries[0].Address)

		require.Equal(t, []string{"id", "itemId", "itemSku", "itemName", "category", "client", "description", "quantity", "state", "createdAt", "updatedAt"}, rows("orders")[0])

		require.Equal(t, fmt.Sprintf("2 products written to %s\n", path), does("export", "products", path))
		written, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, does("export", "products"), string(written))
		require.Equal(t, "0 products created, 0 updated, 2 unchanged\n", does("import", "products", path))

		require.NoError(t, os.WriteFile(path, []byte("sku,name,category,quantity\nA-1,Hammer,Tools,8\nA-3,Axe,Toys,x\n"), 0o600))
		stdout, stderr, err := api("import", "products", path, "--json")
		require.EqualError(t, err, path+" has faults, and nothing was changed")
		require.Equal(t, 1, exitStatus(err))
		faults := []string{"Row 3, column quantity: expected a whole number from 0 to 1000000000, found 'x'", "Row 3, column category: the category with name 'Toys' does not exist"}
		require.Equal(t, strings.Join(faults, "\n")+"\n", stderr)
		var report importReport
		require.NoError(t, json.Unmarshal([]byte(stdout), &report))
		require.Equal(t, importReport{Faults: faults}, report)
		require.Equal(t, products, rows("products"))
	})
}

// TestCSV_files has files that cannot be taken.
func TestCSV_files(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large.csv")
	require.NoError(t, os.WriteFile(large, nil, 0o600))
	require.NoError(t, os.Truncate(large, sheet.MaxBytes+1))
	for path, told := range map[string]string{
		large: large + " has more than 32 MiB", dir: dir + " is not a file", filepath.Join(dir, "none.csv"): "open " + filepath.Join(dir, "none.csv") + ": no such file or directory",
	} {
		var out, said strings.Builder
		err := run(t.Context(), []string{"import", "products", path}, []string{"DATABASE_URL=" + storetest.SQLiteURL(t)}, &out, &said)
		require.EqualError(t, err, told)
		require.Equal(t, 1, exitStatus(err))
	}
}
