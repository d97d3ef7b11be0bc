// Package internal_test guards the layers: which package may import which, and which outside libraries.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is how the paths of our own packages begin.
const module = "inventoryhub/"

// rules are what the layers promise.
type rules struct {
	arrows    map[string][]string // every package of ours, and which others its production files may import
	helpers   []string            // those of them that any test may import
	libraries map[string][]string // every outside library, and whose production files may import it; everyone means any of ours
	inTests   []string            // outside libraries that any test may import
}

const everyone = "everyone"

// programs are the two commands, which wire what is below them.
var programs = []string{
	"internal/cloudevents", "internal/config", "internal/daemon", "internal/domain", "internal/email", "internal/httpapi", "internal/imagestore",
	"internal/outbox", "internal/password", "internal/rabbitmq", "internal/repository", "internal/service", "internal/token", "internal/tracing",
}

var ours = rules{
	arrows: map[string][]string{
		"cmd/api":         append(slices.Clone(programs), "internal/backup", "internal/demo", "internal/sheet"),
		"cmd/emailworker": programs,

		"internal/httpapi": {"internal/service", "internal/sheet", "internal/tracing", "internal/domain"},
		"internal/outbox":  {"internal/repository", "internal/tracing", "internal/domain"},
		"internal/email":   {"internal/repository", "internal/tracing", "internal/domain"},
		"internal/sheet":   {"internal/service", "internal/domain"},
		"internal/demo":    {"internal/service", "internal/repository", "internal/password", "internal/imagestore", "internal/domain"},
		"internal/backup":  {"internal/repository", "internal/imagestore", "internal/domain"},

		"internal/service": {"internal/repository", "internal/token", "internal/password", "internal/imagestore", "internal/tracing", "internal/domain"},

		"internal/repository":  {"internal/domain", "internal/tracing", "migrations"},
		"internal/token":       {"internal/domain"},
		"internal/password":    {"internal/domain"},
		"internal/imagestore":  {"internal/domain"},
		"internal/cloudevents": {"internal/domain"},
		"internal/daemon":      {"internal/domain"},
		"internal/rabbitmq":    {},
		"internal/tracing":     {},

		"internal/domain": {},
		"internal/config": {},
		"migrations":      {},

		"internal":                 {}, // this test
		"internal/evidence":        {},
		"attacks":                  {}, // tests of the program from outside
		"internal/storetest":       {"internal/repository", "migrations"},
		"internal/testservers":     {},
		"internal/testservers/run": {"internal/testservers"},
		"internal/torture":         {"internal/testservers", "internal/repository", "internal/password", "internal/domain"},
		"internal/torture/run":     {"internal/testservers", "internal/torture"},
	},
	helpers: []string{"internal/storetest", "internal/testservers"},
	libraries: map[string][]string{
		"github.com/google/uuid": {everyone},

		"gorm.io":                     {"internal/repository"},
		"modernc.org/sqlite":          {"internal/repository", "internal/torture"},
		"github.com/jackc/pgx":        {"internal/repository", "internal/storetest", "internal/testservers", "internal/torture"},
		"github.com/pressly/goose":    {"internal/repository"},
		"github.com/gofrs/flock":      {"internal/repository"},
		"github.com/cenkalti/backoff": {"internal/repository", "internal/rabbitmq", "internal/email"},

		"github.com/gin-gonic/gin":           {"internal/httpapi"},
		"github.com/go-playground/validator": {"internal/httpapi"},
		"github.com/rs/cors":                 {"internal/httpapi"},
		"github.com/goccy/go-yaml":           {"internal/httpapi"},
		"golang.org/x/time":                  {"internal/httpapi"},

		"github.com/golang-jwt/jwt":                     {"internal/token"},
		"github.com/pquerna/otp":                        {"internal/token"},
		"golang.org/x/crypto/argon2":                    {"internal/password"},
		"github.com/rabbitmq/amqp091-go":                {"internal/rabbitmq", "internal/testservers"},
		"github.com/santhosh-tekuri/jsonschema":         {"internal/cloudevents"},
		"github.com/wneessen/go-mail":                   {"internal/email"},
		"github.com/Azure/azure-sdk-for-go/sdk/azcore":  {"internal/email", "internal/imagestore"},
		"github.com/Azure/azure-sdk-for-go/sdk/storage": {"internal/imagestore"},
		"github.com/minio/minio-go":                     {"internal/imagestore"},
		"golang.org/x/image":                            {"internal/imagestore"},
		"golang.org/x/sync":                             {"internal/imagestore", "internal/password", "internal/testservers/run"},
		"github.com/caarlos0/env":                       {"internal/config"},
		"github.com/joho/godotenv":                      {"internal/config"},
		"github.com/spf13/cobra":                        {"cmd/api", "cmd/emailworker"},
		"github.com/prometheus/client_golang":           {"cmd/api", "cmd/emailworker", "internal/daemon"},
		"go.opentelemetry.io/otel":                      {"internal/tracing"},
		"go.opentelemetry.io/proto/otlp":                {},
		"google.golang.org/protobuf":                    {},
		"golang.org/x/term":                             {"internal/daemon"},
		"github.com/stretchr/testify":                   {"internal/storetest"},
		"go.uber.org/goleak":                            {},
		"github.com/emersion/go-smtp":                   {},
		"github.com/getkin/kin-openapi":                 {},
	},
	inTests: []string{"github.com/stretchr/testify", "go.uber.org/goleak", "github.com/emersion/go-smtp", "github.com/pquerna/otp", "github.com/getkin/kin-openapi", "go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf"},
}

// imports are what the files of one package import.
type imports struct{ production, tests []string }

// breaches lists what in the packages goes against the rules.
func (r rules) breaches(packages map[string]imports) []string {
	var found []string
	add := func(parts ...string) { found = append(found, strings.Join(parts, " ")) }
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if _, listed := r.arrows[name]; !listed {
			add(name, "is in no layer")
			continue
		}
		below := append(r.below(name), name)
		for _, imported := range packages[name].production {
			if own, isOurs := strings.CutPrefix(imported, module); isOurs && !slices.Contains(r.arrows[name], own) {
				add(name, "imports", own)
			} else if !isOurs && !r.mayUse(name, imported) {
				add(name, "imports", imported)
			}
		}
		for _, imported := range packages[name].tests {
			if own, isOurs := strings.CutPrefix(imported, module); isOurs && !slices.Contains(below, own) && !slices.Contains(r.helpers, own) {
				add("a test of", name, "imports", own)
			} else if !isOurs && !r.mayUse(name, imported) && !slices.ContainsFunc(r.inTests, func(library string) bool { return within(imported, library) }) {
				add("a test of", name, "imports", imported)
			}
		}
	}
	return found
}

// below lists everything that the arrows lead to, since a test builds the floors under its package.
func (r rules) below(name string) []string {
	var reached []string
	for next := slices.Clone(r.arrows[name]); len(next) > 0; next = next[1:] {
		if !slices.Contains(reached, next[0]) {
			reached = append(reached, next[0])
			next = append(next, r.arrows[next[0]]...)
		}
	}
	return reached
}

// mayUse says whether a package may import what is not ours. The standard library has no dot in the first part of its paths.
func (r rules) mayUse(name, imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(host, ".") {
		return true
	}
	for library, users := range r.libraries {
		if within(imported, library) {
			return slices.Contains(users, name) || slices.Contains(users, everyone)
		}
	}
	return false
}

func within(imported, library string) bool {
	return imported == library || strings.HasPrefix(imported, library+"/")
}

// read gives the imports of all Go files below a directory, whatever system they are for.
func read(t *testing.T, root string) map[string]imports {
	t.Helper()
	packages := map[string]imports{}
	require.NoError(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if entry.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		seen := packages[dir]
		list := &seen.production
		if strings.HasSuffix(name, "_test.go") {
			list = &seen.tests
		}
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(*list, imported) {
				*list = append(*list, imported)
			}
		}
		packages[dir] = seen
		return nil
	}))
	return packages
}

func TestLayers(t *testing.T) {
	packages := read(t, "..")
	require.Contains(t, packages["internal/service"].production, module+"internal/repository", "the tree was not read")
	require.Contains(t, packages["internal"].tests, "github.com/stretchr/testify/require", "the tree was not read")
	require.Empty(t, ours.breaches(packages))
	for name := range ours.arrows {
		require.Contains(t, packages, name, "the table lists a package that is gone")
	}
}

func TestLayers_tableIsWithoutCircles(t *testing.T) {
	for name := range ours.arrows {
		require.NotContains(t, ours.below(name), name)
	}
}

func TestLayers_breachesAreFound(t *testing.T) {
	packages := map[string]imports{
		"cmd/api": {production: []string{module + "internal/config", module + "internal/httpapi", "github.com/spf13/cobra", "gorm.io/gorm"}},
		"internal/domain": {
			production: []string{"time", "github.com/google/uuid", module + "internal/config", "golang.org/x/sync/errgroup"},
			tests:      []string{module + "internal/domain", module + "internal/repository", "github.com/stretchr/testify/require", "gorm.io/gorm"},
		},
		"internal/httpapi": {
			production: []string{"net/http", "github.com/gin-gonic/gin", module + "internal/service", module + "internal/repository", "github.com/stretchr/testify/require"},
			tests:      []string{module + "internal/storetest", module + "internal/imagestore", module + "internal/email"},
		},
		"internal/repository": {production: []string{"gorm.io/driver/postgres", module + "internal/storetest", "github.com/unknown/library"}},
		"internal/util":       {production: []string{"strings"}},
	}
	require.Equal(t, []string{
		"cmd/api imports gorm.io/gorm",
		"internal/domain imports internal/config",
		"internal/domain imports golang.org/x/sync/errgroup",
		"a test of internal/domain imports internal/repository",
		"a test of internal/domain imports gorm.io/gorm",
		"internal/httpapi imports internal/repository",
		"internal/httpapi imports github.com/stretchr/testify/require",
		"a test of internal/httpapi imports internal/email",
		"internal/repository imports internal/storetest",
		"internal/repository imports github.com/unknown/library",
		"internal/util is in no layer",
	}, ours.breaches(packages))
}
