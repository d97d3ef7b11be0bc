package internal_test

import (
	"cmp"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// floors are the lowest versions without a known vulnerability that concerns this project (Go's vulnerability list of August 2026).
var floors = map[string]string{
	"github.com/jackc/pgx/v5":      "v5.9.2",
	"golang.org/x/image":           "v0.45.0",
	"github.com/gin-gonic/gin":     "v1.9.1",
	"github.com/wneessen/go-mail":  "v0.7.2",
	"github.com/golang-jwt/jwt/v5": "v5.2.2",
}

const goFloor = "1.26.6"

// compareVersions tells which of two versions such as 1.26.6 or v0.45.0 is higher. What follows a third number does not count.
func compareVersions(a, b string) int {
	numbers := regexp.MustCompile(`\d+`)
	parse := func(v string) []int {
		parsed := []int{0, 0, 0}
		for i, n := range numbers.FindAllString(v, 3) {
			parsed[i], _ = strconv.Atoi(n) // digits alone
		}
		return parsed
	}
	return slices.Compare(parse(a), parse(b))
}

// linked lists the packages that the programs are made of, and the versions of their modules.
func linked(t *testing.T) (packages []string, versions map[string]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}}{{with .Module}} {{.Path}} {{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}{{end}}",
		module+"cmd/api", module+"cmd/emailworker")
	out, err := cmd.Output()
	require.NoError(t, err)
	versions = map[string]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		packages = append(packages, fields[0])
		if len(fields) == 3 {
			versions[fields[1]] = fields[2]
		}
	}
	return packages, versions
}

func TestModules_floors(t *testing.T) {
	_, versions := linked(t)
	for path, floor := range floors {
		require.Contains(t, versions, path, "the list of floors is out of date")
		require.GreaterOrEqual(t, compareVersions(versions[path], floor), 0, "%s %s, but at least %s is needed", path, versions[path], floor)
	}
	for file, pattern := range map[string]string{"../go.mod": `(?m)^go (\S+)$`, "../Dockerfile": `(?m)^FROM golang:([\d.]+)`} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found := regexp.MustCompile(pattern).FindSubmatch(text)
		require.NotNil(t, found, file)
		require.GreaterOrEqual(t, compareVersions(string(found[1]), goFloor), 0, "%s: Go %s, but at least %s is needed", file, found[1], goFloor)
	}
	require.GreaterOrEqual(t, compareVersions(runtime.Version(), goFloor), 0, "%s runs this", runtime.Version())
}

// TestModules_decoders: pictures are PNG, JPEG and WebP. A decoder that is not linked cannot be attacked.
func TestModules_decoders(t *testing.T) {
	packages, _ := linked(t)
	for _, wanted := range []string{"image/png", "image/jpeg", "golang.org/x/image/webp"} {
		require.Contains(t, packages, wanted, "the packages were not read")
	}
	for _, unwanted := range []string{"image/gif", "golang.org/x/image/bmp", "golang.org/x/image/tiff", "net/http/pprof", "testing"} {
		require.NotContains(t, packages, unwanted)
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"v1.9.1", "v1.10.0", -1}, {"v1.12.0", "v1.9.1", 1}, {"1.26", "1.26.0", 0}, {"1.26.0", "1.26.6", -1}, {"go1.26.8", "1.26.6", 1}, {"v0.45.0-rc.1", "v0.45.0", 0}, {"v5.12.0", "v5.9.2", 1},
	} {
		require.Equal(t, c.want, cmp.Compare(compareVersions(c.a, c.b), 0), "%s %s", c.a, c.b)
	}
}
