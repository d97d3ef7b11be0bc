package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const security = "../../docs/security.md"

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// TestSecurity_namesTestsThatExist looks for each test that docs/security.md names in the files of its package.
func TestSecurity_namesTestsThatExist(t *testing.T) {
	named, err := namedTests(read(t, security))
	require.NoError(t, err)
	require.Greater(t, len(named), 100, "the table was not read")
	declared := map[string]map[string]bool{}
	for _, n := range named {
		if declared[n.folder] == nil {
			declared[n.folder] = functions(t, filepath.Join("../..", n.folder))
		}
		require.True(t, declared[n.folder][n.name], "%s names %s, which does not exist", security, n)
	}
}

// functions gives the names of the functions in the test files of a folder.
func functions(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	require.NoError(t, err)
	found := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}

// TestSecurity_everyRowHasProof: whatever a row claims, a test proves it, or the row says in its first word why none does.
func TestSecurity_everyRowHasProof(t *testing.T) {
	number := regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	lead := regexp.MustCompile(`^\*\*(Not met|Partly|Document|Operator|Absent|Review)\.\*\* \S`)
	seen := map[string]bool{}
	for i, line := range strings.Split(read(t, security), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 2 || !number.MatchString(strings.TrimSpace(cells[1])) {
			continue
		}
		require.Len(t, cells, 6, "line %d: four cells are wanted", i+1)
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		require.False(t, seen[cells[1]], "%s stands twice", cells[1])
		seen[cells[1]] = true
		require.NotEmpty(t, cells[2], cells[1])
		tests, err := namedTests(cells[4])
		require.NoError(t, err)
		require.True(t, len(tests) > 0 || lead.MatchString(cells[3]), "%s has neither a test nor a reason", cells[1])
	}
	require.Greater(t, len(seen), 100, "the table was not read")
}

func TestNamedTests(t *testing.T) {
	named, err := namedTests("| 1 | `internal/a TestB_c`, `internal/a FuzzD` |\nText of `go test`, Tests and `internal/a TestB_c`; `cmd/x TestA`, `attacks TestZ`")
	require.NoError(t, err)
	require.Equal(t, []test{{"attacks", "TestZ"}, {"cmd/x", "TestA"}, {"internal/a", "FuzzD"}, {"internal/a", "TestB_c"}}, named)
	for _, wrong := range []string{"TestA", "internal/a TestA TestB", "internal/a.TestA", "internal/a: TestA", "internal/a TestA/sub", "internal/a  TestA", "internal/a TestA, TestB"} {
		_, err := namedTests("\n`" + wrong + "`")
		require.EqualError(t, err, "line 2: `"+wrong+"` is not of the form `folder TestName`")
	}
}

// TestReport takes what go test -json says, and shows what go test says.
func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	require.NoError(t, r.read(strings.NewReader(`{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"output","Package":"m/a","Test":"TestBad/sub","Output":"    a_test.go:1: wrong\n"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"--- PASS: TestGood (0.00s)\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"m/a","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"output","Package":"m/a","Test":"TestBad/sub","Output":"    --- FAIL: TestBad/sub (0.00s)\n"}
{"Action":"fail","Package":"m/a","Test":"TestBad/sub"}
{"Action":"fail","Package":"m/a","Test":"TestBad"}
{"Action":"output","Package":"m/a","Test":"TestSkipped","Output":"    a_test.go:2: not now\n"}
{"Action":"skip","Package":"m/a","Test":"TestSkipped"}
{"Action":"output","Package":"m/a","Test":"TestDied","Output":"panic: died\n"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}
{"Action":"fail","Package":"m/a","Elapsed":0.1}
{"ImportPath":"m/b [m/b.test]","Action":"build-output","Output":"b_test.go:1: syntax error\n"}
{"ImportPath":"m/b [m/b.test]","Action":"build-fail"}
no event
{"Action":"pass","Package":"m/b/c","Test":"TestGood"}
{"Action":"output","Package":"m/b/c","Output":"chatter\n"}
{"Action":"output","Package":"m/b/c","Output":"PASS\n"}
{"Action":"output","Package":"m/b/c","Output":"ok  \tm/b/c\t0.2s\n"}
{"Action":"pass","Package":"m/b/c"}
{"Action":"output","Package":"m/d","Output":"?   \tm/d\t[no test files]\n"}
{"Action":"skip","Package":"m/d"}`)))
	require.Equal(t, `    a_test.go:1: wrong
    --- FAIL: TestBad/sub (0.00s)
--- FAIL: TestBad (0.00s)
panic: died
FAIL	m/a	0.1s
b_test.go:1: syntax error
no event
ok  	m/b/c	0.2s
?   	m/d	[no test files]
`, out.String())
	all := []test{{"a", "TestGood"}, {"a", "TestBad"}, {"a", "TestSkipped"}, {"a", "TestDied"}, {"b/c", "TestGood"}, {"c", "TestGood"}}
	require.Equal(t, []test{{"a", "TestBad"}, {"a", "TestSkipped"}, {"a", "TestDied"}, {"c", "TestGood"}}, r.missing(all))
}

func TestCheck(t *testing.T) {
	const passes, all = `{"Action":"pass","Package":"m/a","Test":"TestA"}`, "document names 1 tests; all of them passed\n"
	for name, c := range map[string]struct {
		document, script string
		status           int
		says             string
	}{
		"passed":             {"`a TestA`", "echo '" + passes + "'", 0, all},
		"has not run":        {"`a TestA`, `a TestB`", "echo '" + passes + "'", 1, "document names a TestB, which has not passed\n"},
		"go test has failed": {"`a TestA`", "echo '" + passes + "'; exit 7", 7, ""},
		"ended by a signal":  {"`a TestA`", "kill -9 $$", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			require.NoError(t, os.WriteFile("document", []byte(c.document), 0o600))
			var out bytes.Buffer
			status, err := check("document", "kept", []string{"sh", "-c", c.script}, nil, &out)
			require.NoError(t, err)
			require.Equal(t, c.status, status)
			require.Equal(t, c.says, out.String())
			if strings.HasPrefix(c.script, "echo") {
				require.Equal(t, passes+"\n", read(t, "kept"))
			}
		})
	}
	for name, command := range map[string]string{"no document": "true", "no such program": "./nothing"} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if name != "no document" {
				require.NoError(t, os.WriteFile("document", nil, 0o600))
			}
			status, err := check("document", "kept", []string{command}, nil, &bytes.Buffer{})
			require.ErrorIs(t, err, os.ErrNotExist)
			require.Equal(t, 1, status)
		})
	}
}
