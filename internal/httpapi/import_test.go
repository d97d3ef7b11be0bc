package httpapi_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// stampText is a time as the API writes it.
var stampText = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)

// did wants the report of an import.
func (a answer) did(created, updated, unchanged int) {
	a.t.Helper()
	a.wants(http.StatusOK)
	require.JSONEq(a.t, fmt.Sprintf(`{"dryRun": false, "created": %d, "updated": %d, "unchanged": %d}`, created, updated, unchanged), a.Body)
}

func (c *client) imports(text string) answer { return c.post("/products/import", file(text)) }

// faults are what an import says of its file, which it must not have touched anything by.
func (c *client) faults(t *testing.T, text string) []string {
	t.Helper()
	before := c.s.dump()
	told := c.imports(text).refuses(http.StatusBadRequest, "file")["file"]
	require.Equal(t, before, c.s.dump())
	return told
}

// TestImport_roundTrip exports products with every odd text that there may be, and imports the file: nothing changes. After everything was changed the
// file brings it back to the letter.
func TestImport_roundTrip(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		s.category("Electronics")
		s.category("'-Toys, \"old\"")
		texts := []string{
			"x", "=1+1", "'=1", "''", "'", "'''@x", "-5", "+x", "@x", "'x", "\"", "a,b;c", "\\.", "Ä 東京 😀", "\ufeffx", "null", "007", "\"quoted\"", "1,5", "TRUE",
		}
		lines := append(slices.Clone(texts), "\t=", "\rx", "a\r\nb", "a\nb", "a\rb", "a\r\r\nb\r\n", "\r\n", "\n", " x ", "'\tx", "\"\r\n\"\"", "x\r", "")
		for i, line := range lines {
			body := j{"name": texts[i%len(texts)], "category": []string{"Electronics", "'-Toys, \"old\""}[i%2], "quantity": i, "description": line}
			if i < len(texts) {
				body["sku"], body["reorderLevel"] = strings.ToLower(texts[i])+"-", i/2
			}
			manager.post("/products", body).wants(http.StatusCreated)
		}
		// A cancellation may have given back more than a caller may give.
		s.exec("UPDATE products SET quantity = 1000000001 WHERE sku = 'x-'")
		exported := manager.get("/products/export").wants(http.StatusOK)
		before := s.dump()
		manager.imports(exported.Body).did(0, 0, len(lines))
		require.Equal(t, before, s.dump())

		rows := exported.records()
		for _, row := range rows[1:] {
			manager.put("/products/"+row[0], j{"name": "changed", "category": "Electronics", "quantity": 77, "description": "changed", "sku": nil, "reorderLevel": nil}).wants(http.StatusOK)
		}
		s.exec("UPDATE products SET quantity = 1000000001 WHERE quantity = 77 AND id = '" + rows[1][0] + "'")
		manager.imports(exported.Body).did(0, len(lines), 0)
		want, got := strings.Split(exported.Body, "\n"), strings.Split(manager.get("/products/export").wants(http.StatusOK).Body, "\n")
		withoutTimes := func(lines []string) string {
			return stampText.ReplaceAllString(strings.Join(lines, "\n"), "")
		}
		require.Equal(t, withoutTimes(want), withoutTimes(got))
	})
}

// TestImport_changes has rows of every kind.
func TestImport_changes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
		s.category("Electronics")
		s.category("Toys")
		manager := s.as(domain.RoleManager)
		one := manager.post("/products", j{"name": "One", "category": "Electronics", "quantity": 1, "description": "first", "sku": "A-1", "reorderLevel": 5, "image": base64Picture(1)}).wants(http.StatusCreated)
		two := manager.post("/products", j{"name": "Two", "category": "Electronics", "quantity": 2, "sku": "A-2"}).wants(http.StatusCreated)
		entries := len(s.entries(0))
		s.stop(time.Date(2021, 1, 1, 0, 1, 0, 0, time.UTC))
		const later = "2021-01-01T00:01:00.000Z"

		// Columns in any order, in quotes or not, with those that mean nothing; the ends of lines and the mark of a spreadsheet.
		manager.imports("\ufeffupdatedAt,quantity,unknown,\"sku\",name,category\r\n"+
			"x,7,x,a-1,,\r\n"+ // by SKU, which gets the case of the file
			"\r\n"+
			",0,,A-3,Three, toys \r\n"+
			",2,,A-2,Two,ELECTRONICS\r\n").did(1, 1, 1)
		got := manager.get("/products/" + one.text("id")).wants(http.StatusOK).json()
		require.Equal(t, j{
			"id": one.text("id"), "name": "One", "category": "Electronics", "quantity": 7., "description": "first", "sku": "a-1", "reorderLevel": 5., "imageUrl": one.text("imageUrl"),
			"createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": later,
		}, got)
		require.Equal(t, two.json(), manager.get("/products/"+two.text("id")).wants(http.StatusOK).json())
		three := manager.get("/products?search=a-3").wants(http.StatusOK).json()["products"].([]any)[0].(j)
		require.Equal(t, j{
			"id": three["id"], "name": "Three", "category": "Toys", "quantity": 0., "description": "", "sku": "A-3", "imageUrl": nil, "createdAt": later, "updatedAt": later,
		}, three)
		ledger := func(id string) any {
			return withoutIDs(manager.get("/products/" + id + "/movements").wants(http.StatusOK).json()["movements"])[0]
		}
		line := j{"delta": 6., "quantityAfter": 7., "reason": "Adjusted", "orderId": nil, "user": who(manager), "note": "import", "createdAt": later}
		require.Equal(t, line, ledger(one.text("id")))
		line["delta"], line["quantityAfter"], line["reason"] = 0., 0., "Created"
		require.Equal(t, line, ledger(three["id"].(string)))
		var told []string
		for _, e := range s.entries(entries) {
			told = append(told, e.action+" "+e.target+" "+e.details)
		}
		require.Equal(t, []string{
			"product.updated " + one.text("id") + ` {"quantity":[1,7],"sku":["A-1","a-1"]}`, `products.imported products {"created":1,"unchanged":1,"updated":1}`,
		}, told)

		// By id, where the SKU is a value as any other; an empty cell removes what need not be there, and keeps what must be.
		manager.imports("id,sku,name,quantity,reorderLevel,description\n"+one.text("id")+",,,,,\n"+two.text("id")+",B-2,Zwei,,0,\"a\nb\"\n").did(0, 2, 0)
		got = manager.get("/products/" + one.text("id")).wants(http.StatusOK).json()
		require.Equal(t, []any{"One", 7., "", nil, nil}, []any{got["name"], got["quantity"], got["description"], got["sku"], got["reorderLevel"]})
		got = manager.get("/products/" + two.text("id")).wants(http.StatusOK).json()
		require.Equal(t, []any{"Zwei", 2., "a\nb", "B-2", 0.}, []any{got["name"], got["quantity"], got["description"], got["sku"], got["reorderLevel"]})

		// Nothing to do, and nothing said of it.
		before, n := s.dump(), len(s.entries(0))
		manager.imports("sku\n").did(0, 0, 0)
		manager.imports("sku,quantity\nb-2,2\nA-3,\n").did(0, 1, 1) // the case of a SKU is a change
		manager.imports("sku,quantity\nB-2,2\nA-3,0\n").did(0, 1, 1)
		manager.imports("sku,quantity\nB-2,2\nA-3,0\n").did(0, 0, 2)
		require.Len(t, s.entries(n), 4)
		require.Equal(t, before["movements"], s.dump()["movements"])
		s.unbroken()
		s.checkLedger(one.text("id"))
	})
}

func TestImport_form(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		s.category("Electronics")
		const text = "sku,name,category,quantity\nA-1,One,Electronics,1\n"
		manager.form(http.MethodPost, "/products/import?dryRun=false", part{name: "x", value: "x"}, part{name: "file", file: "x.csv", value: text}).did(1, 0, 0)
		manager.form(http.MethodPost, "/products/import", part{name: "file", value: text}).did(0, 0, 1)
		manager.form(http.MethodPost, "/products/import", part{name: "x", value: text}).refuses(http.StatusBadRequest, "file")
		manager.form(http.MethodPost, "/products/import", part{name: "file", value: text}, part{name: "file", value: text}).refuses(http.StatusBadRequest, "request")
	})
}

func TestImport_dryRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		s.category("Electronics")
		item := s.product("One", "Electronics", 1)
		text := file("id,sku,name,category,quantity\n" + item + ",A-1,One,,1\n,A-2,Two,Electronics,5\n")
		before, n := s.dump(), len(s.entries(0))
		require.JSONEq(t, `{"dryRun": true, "created": 1, "updated": 1, "unchanged": 0}`, manager.post("/products/import?dryRun=true", text).wants(http.StatusOK).Body)
		require.Equal(t, before, s.dump())
		require.Len(t, s.entries(0), n)
		manager.post("/products/import?dryRun=1", "sku\nx\n").refuses(http.StatusUnsupportedMediaType, "request")
		require.Equal(t, map[string][]string{
			"dryRun": {"The dryRun must be true or false"}, "file": {"Row 2, column name: required for a new item", "Row 2, column category: required for a new item", "Row 2, column quantity: required for a new item"},
		}, manager.post("/products/import?dryRun=1", file("sku\nx\n")).refuses(http.StatusBadRequest, "dryRun", "file"))
		manager.imports(string(text)).did(1, 1, 0)
	})
}

// TestImport_faults sends files with one thing wrong, and says what is told of it.
func TestImport_faults(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		s.category("Electronics")
		item := s.product("One", "Electronics", 1)
		manager.put("/products/"+item, j{"name": "One", "category": "Electronics", "sku": "A-1"}).wants(http.StatusOK)
		const head, row = "sku,name,category,quantity,reorderLevel,description,id\n", "B-1,Two,Electronics,5,,,\n"
		long := strings.Repeat("ä", 100)
		for name, c := range map[string]struct {
			text string
			told []string
		}{
			"empty":                 {"", []string{"The file is empty"}},
			"only a mark":           {"\ufeff", []string{"The file names no columns"}},
			"no key":                {"name,quantity\nx,1\n", []string{"The file has neither a column 'id' nor a column 'sku' in its first row"}},
			"column twice":          {"sku,name,sku\n", []string{"The column 'sku' stands twice"}},
			"not a number":          {head + row + "B-2,Three,Electronics,abc,,,\n", []string{"Row 3, column quantity: expected a whole number from 0 to 1000000000, found 'abc'"}},
			"negative":              {head + "B-2,Three,Electronics,-1,,,\n", []string{"Row 2, column quantity: expected a whole number from 0 to 1000000000, found '-1'"}},
			"too large":             {head + "B-2,Three,Electronics,1000000001,,,\n", []string{"Row 2, column quantity: expected a whole number from 0 to 1000000000, found '1000000001'"}},
			"too large for one":     {"sku,quantity\nA-1,1000000001\n", []string{"Row 2, column quantity: expected a whole number from 0 to 1000000000, found '1000000001'"}},
			"beyond 64 bits":        {head + "B-2,Three,Electronics,9223372036854775808,,,\n", []string{"Row 2, column quantity: expected a whole number from 0 to 1000000000, found '9223372036854775808'"}},
			"fraction":              {head + "B-2,Three,Electronics,1.0,,,\n", []string{"Row 2, column quantity: expected a whole number from 0 to 1000000000, found '1.0'"}},
			"level":                 {head + "B-2,Three,Electronics,1,x,,\n", []string{"Row 2, column reorderLevel: expected a whole number from 0 to 1000000000, found 'x'"}},
			"level too large":       {head + "B-2,Three,Electronics,1,1000000001,,\n", []string{"Row 2, column reorderLevel: expected a whole number from 0 to 1000000000, found '1000000001'"}},
			"unknown category":      {head + "B-2,Three,Nowhere,1,,,\n", []string{"Row 2, column category: the category with name 'Nowhere' does not exist"}},
			"unknown id":            {head + ",Three,Electronics,1,,," + unknownID + "\n", []string{"Row 2, column id: the item with id '" + unknownID + "' does not exist"}},
			"no id":                 {head + ",Three,Electronics,1,,,x\n", []string{"Row 2, column id: expected the id of an item, found 'x'"}},
			"neither id nor sku":    {head + ",Three,Electronics,1,,,\n", []string{"Row 2: it has neither an id nor a sku"}},
			"a new one without":     {head + "B-2,,,,,,\n", []string{"Row 2, column name: required for a new item", "Row 2, column category: required for a new item", "Row 2, column quantity: required for a new item"}},
			"name too long":         {head + "B-2," + long + long + "ä,Electronics,1,,,\n", []string{"Row 2, column name: expected one line of at most 200 characters, found '" + long + "…'"}},
			"name of two lines":     {head + "B-2,\"a\nb\",Electronics,1,,,\n", []string{"Row 2, column name: expected one line of at most 200 characters, found 'a?b'"}},
			"not UTF-8":             {head + row + "B-2,S\xe4ge,Electronics,1,,,\nB-3,S\xe4ge,Electronics,x,,,\n", []string{"Row 3: expected text in UTF-8, found another encoding; what follows was not read"}},
			"not UTF-8 in an aside": {"sku,color\nA-1,wei\xdf\n", []string{"Row 2: expected text in UTF-8, found another encoding; what follows was not read"}},
			"not UTF-8 in the head": {"sku,Gr\xf6\xdfe\nA-1,1\n", []string{"Row 1: expected text in UTF-8, found another encoding; what follows was not read"}},
			"UTF-16":                {"\xff\xfes\x00k\x00u\x00\n\x00", []string{"Row 1: expected text in UTF-8, found another encoding; what follows was not read"}},
			"semicolons":            {"\ufeffname;sku\r\nTwo;B-1\r\n", []string{"The columns must be separated by commas, and ';' was found in the first row"}},
			"quotes and semicolons": {"\"id\";\"name\"\n", []string{"The columns must be separated by commas, and ';' was found in the first row"}},
			"tabs":                  {"sku\tname", []string{"The columns must be separated by commas, and a tab was found in the first row"}},
			"semicolon in a name":   {"name,a;b\n", []string{"The file has neither a column 'id' nor a column 'sku' in its first row"}},
			"semicolon beside":      {"\"a;id\",sku\n\"\",B-1\n", []string{"Row 2, column name: required for a new item", "Row 2, column category: required for a new item", "Row 2, column quantity: required for a new item"}},
			"sku too long":          {head + strings.Repeat("x", 65) + ",Three,Electronics,1,,,\n", []string{"Row 2, column sku: expected one line of at most 64 characters, found '" + strings.Repeat("x", 65) + "'"}},
			"description too long":  {head + "B-2,Three,Electronics,1,," + strings.Repeat("x", 4001) + ",\n", []string{"Row 2, column description: expected a text of at most 4000 characters, found '" + strings.Repeat("x", 100) + "…'"}},
			"description with NUL":  {head + "B-2,Three,Electronics,1,,a\x00,\n", []string{"Row 2, column description: expected a text of at most 4000 characters, found 'a?'"}},
			"sku twice":             {head + row + "b-1,Two,Electronics,5,,,\n", []string{"Row 3, column sku: 'b-1' stands in row 2 already"}},
			"item twice":            {head + "a-1,,,,,,\n,,,,,," + item + "\n", []string{"Row 3, column id: the item stands in row 2 already"}},
			"item twice by sku":     {head + "a-1,,,,,,\nA-1,,,,,,\n", []string{"Row 3, column sku: the item stands in row 2 already"}},
			"sku of another":        {head + row + "A-1,,,,,," + s.product("Other", "Electronics", 1) + "\n", []string{"Row 3, column sku: the item with SKU 'A-1' already exists"}},
			"too few cells":         {head + row + "B-2,Three\n", []string{"Row 3: expected 7 cells, found 2"}},
			"quote in the middle":   {head + row + "B-2,a\"b,Electronics,1,,,\n", []string{"Row 3: a quote stands in a cell that is not quoted; what follows was not read"}},
			"quote without end":     {head + row + "B-2,\"ab,Electronics,1,,,\n", []string{"Row 3: a quoted cell does not end, or something follows its end; what follows was not read"}},
			"rows as a spreadsheet": {head + "B-1,\"Two\",Electronics,5,,\"a\nb\r\nc\",\n\n\r\nB-2,Three,Electronics,x,,,\n", []string{"Row 5, column quantity: expected a whole number from 0 to 1000000000, found 'x'"}},
			"several in several": {head + ",Three,Nowhere,x,y,,\nB-1,,Electronics,5,,,\n", []string{
				"Row 2, column quantity: expected a whole number from 0 to 1000000000, found 'x'", "Row 2, column reorderLevel: expected a whole number from 0 to 1000000000, found 'y'",
				"Row 2: it has neither an id nor a sku", "Row 2, column category: the category with name 'Nowhere' does not exist", "Row 3, column name: required for a new item",
			}},
		} {
			s.run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { require.Equal(t, c.told, manager.faults(t, c.text)) })
		}
	})
}

// table makes a file of so many new products.
func table(n int, change func(i int, row []string)) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"sku", "name", "category", "quantity"})
	for i := range n {
		row := []string{fmt.Sprint("S-", i), fmt.Sprint("Nail ", i), "Electronics", fmt.Sprint(i)}
		change(i, row)
		_ = w.Write(row)
	}
	w.Flush()
	return b.String()
}

// TestImport_allFaults plants faults in a long file: each is told, and as many as a list can bear.
func TestImport_allFaults(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		s.category("Electronics")
		var want []string
		told := manager.faults(t, table(2000, func(i int, row []string) {
			if i%40 == 7 {
				row[3] = fmt.Sprint("x", i)
				want = append(want, fmt.Sprintf("Row %d, column quantity: expected a whole number from 0 to 1000000000, found 'x%d'", i+2, i))
			}
		}))
		require.Len(t, want, 50)
		require.Equal(t, want, told)
		told = manager.faults(t, table(1500, func(_ int, row []string) { row[3] = "x" }))
		require.Len(t, told, 1001)
		require.Equal(t, "Row 1001, column quantity: expected a whole number from 0 to 1000000000, found 'x'", told[999])
		require.Equal(t, "There are 500 more faults", told[1000])
	})
}

func TestImport_bounds(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	manager := s.as(domain.RoleManager)
	s.category("Electronics")
	require.Equal(t, map[string][]string{"request": {"The body must be at most 33554432 bytes long"}},
		manager.imports("sku,x\n"+strings.Repeat("x", 32<<20)).refuses(http.StatusRequestEntityTooLarge, "request"))
	manager.form(http.MethodPost, "/products/import", part{name: "file", value: strings.Repeat("x", 33<<20)}).refuses(http.StatusRequestEntityTooLarge, "request")
	told := manager.faults(t, "sku,quantity\n"+strings.Repeat("x,x\n", 200_001))
	require.Equal(t, "There are 799000 more faults", told[1000], "four for each of 200,000 rows, less the SKU of the first, and one for the file")
	for _, wrong := range []string{"application/json", "text/plain", "text/csv; charset=iso-8859-1", "multipart/form-data", ""} {
		manager.do(http.MethodPost, "/products/import", "sku\n", "Content-Type", wrong).refuses(http.StatusUnsupportedMediaType, "request")
	}
	manager.do(http.MethodPost, "/products/import", "sku\n", "Content-Type", "text/csv; charset=UTF-8").did(0, 0, 0)
	manager.key("read").imports("sku\n").refuses(http.StatusForbidden, "authorization")
	manager.key("write").imports("sku\n").did(0, 0, 0)
	for _, path := range []string{"/products/import", "/products/export"} {
		manager.do(http.MethodPut, path, j{}).refuses(http.StatusMethodNotAllowed, "request")
	}
}

// TestImport_race imports one file through two servers at once, again and again: every product is made once.
func TestImport_race(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		const products = 1201
		text := table(products, func(int, []string) {})
		servers := []*client{s.as(domain.RoleManager), s.twin().with(s.as(domain.RoleManager))}
		reports := make([]answer, 4)
		var all sync.WaitGroup
		for i := range reports {
			all.Go(func() { reports[i] = servers[i%2].imports(text) })
		}
		all.Wait()
		created := 0.
		for _, r := range reports {
			if r.Status == http.StatusOK {
				created += r.json()["created"].(float64)
				continue
			}
			require.Contains(t, []int{http.StatusConflict, http.StatusServiceUnavailable}, r.Status, r.Body)
		}
		require.EqualValues(t, products, created)
		require.Len(t, s.rows("SELECT id FROM products WHERE version = 2"), products)
		require.Len(t, s.rows("SELECT id FROM movements WHERE product_version = 2 AND note = 'import'"), products)
		before := s.dump()
		servers[0].imports(text).did(0, 0, products)
		require.Equal(t, before, s.dump())
		servers[0].imports(table(products, func(i int, row []string) { row[1], row[3] = "Screw", fmt.Sprint(i+i%2) })).did(0, products, 0)
		s.unbroken()
	})
}
