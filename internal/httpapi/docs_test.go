package httpapi_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocs_page: the page brings nothing along from elsewhere, has nothing written in it that is run or drawn, and may do no more than it needs.
func TestDocs_page(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	a := s.anonymous().get("/docs").wants(http.StatusOK)
	require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
	require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; "+
		"base-uri 'none'; form-action 'none'", a.Header.Get("Content-Security-Policy"))
	require.Contains(t, a.Body, "<title>Inventory Hub")
	for _, outside := range []string{"//", "http:", "https:"} {
		require.NotContains(t, a.Body, outside)
	}
	require.NotRegexp(t, `<style|\sstyle=|\son[a-z]+=|<script>|<base|<iframe`, a.Body)
	parts := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(a.Body, -1)
	require.Len(t, parts, 9)
	for _, part := range parts {
		s.anonymous().get("/" + part[1]).wants(http.StatusOK)
	}
	settings := s.anonymous().get("/docs/assets/page.js").wants(http.StatusOK).Body
	require.Contains(t, settings, `url: "openapi.json"`)
	require.Contains(t, settings, "validatorUrl: null", "Swagger UI would show the document to a server of its makers")
}

// TestDocs_jumps: the page leads to all groups of operations, in their order.
func TestDocs_jumps(t *testing.T) {
	t.Parallel()
	jumps, tags := []string{}, []string{}
	body := embedded(t).anonymous().get("/docs").wants(http.StatusOK).Body
	for _, link := range regexp.MustCompile(`<a href="#/([^"]+)">([^<]+)</a>`).FindAllStringSubmatch(body, -1) {
		require.Equal(t, url.PathEscape(link[2]), link[1])
		jumps = append(jumps, link[2])
	}
	for _, tag := range document().Tags {
		tags = append(tags, tag.Name)
	}
	require.Equal(t, tags, jumps)
}

// TestDocs_login: the page logs in by itself, with all that a login takes, in fields that a password manager fills and a screen reader tells. It
// keeps the token where nobody finds it later, and writes what it is told as text.
func TestDocs_login(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	body := s.anonymous().get("/docs").wants(http.StatusOK).Body
	form := regexp.MustCompile(`(?s)<form method="post"[^>]*>.*</form>`).FindString(body)
	require.NotEmpty(t, form, "by GET the password would stand in the address if the script fails")
	fields := []string{}
	for _, field := range regexp.MustCompile(`<label[^>]*>[^<]+ <input name="(\w+)"([^>]*)></label>`).FindAllStringSubmatch(form, -1) {
		fields = append(fields, field[1])
		purpose := map[string]string{"email": "username", "password": "current-password", "code": "one-time-code"}[field[1]]
		require.Contains(t, field[2], `autocomplete="`+purpose+`"`)
		require.Equal(t, field[1] == "password", strings.Contains(field[2], `type="password"`))
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(document().Components.Schemas["Login"].Value.Properties)), fields)

	script := s.anonymous().get("/docs/assets/page.js").wants(http.StatusOK).Body
	for _, call := range regexp.MustCompile(`call\("([A-Z]+)", "([^"]+)"`).FindAllStringSubmatch(script, -1) {
		item := document().Paths.Value("/" + call[2])
		require.NotNil(t, item, call[2])
		require.NotNil(t, item.GetOperation(call[1]), call[2])
	}
	require.Contains(t, script, `call("POST", "auth/login"`)
	require.Contains(t, script, `call("POST", "auth/logout"`)
	require.Contains(t, document().Components.SecuritySchemes, "accessToken")
	require.Contains(t, script, `preauthorizeApiKey("accessToken"`)
	require.NotRegexp(t, `Storage|cookie|persistAuthorization|indexedDB|[Hh]istory|location|HTML`, script)
}

func unzipped(text string) string {
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		return text
	}
	plain, _ := io.ReadAll(r) // half a text is no JSON
	return string(plain)
}

// TestDocs_files asks for every file in both forms, and once more with its tag.
func TestDocs_files(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	get := func(path string, headers ...string) answer {
		return s.anonymous().do(http.MethodGet, path, nil, headers...)
	}
	for path, contentType := range map[string]string{
		"/openapi.json":                                 "application/json; charset=utf-8",
		"/docs":                                         "text/html; charset=utf-8",
		"/docs/assets/page.js":                          "text/javascript; charset=utf-8",
		"/docs/assets/page.css":                         "text/css; charset=utf-8",
		"/docs/assets/icon.svg":                         "image/svg+xml",
		"/docs/assets/swagger-ui-bundle.js":             "text/javascript; charset=utf-8",
		"/docs/assets/swagger-ui.css":                   "text/css; charset=utf-8",
		"/docs/assets/swagger-ui.LICENSE.txt":           "text/plain; charset=utf-8",
		"/docs/assets/swagger-ui.NOTICE.txt":            "text/plain; charset=utf-8",
		"/docs/assets/swagger-ui-bundle.js.LICENSE.txt": "text/plain; charset=utf-8",
	} {
		s.run(path, func(t *testing.T) {
			plain := get(path).wants(http.StatusOK)
			require.Equal(t, contentType, plain.Header.Get("Content-Type"))
			require.Equal(t, "public, no-cache", plain.Header.Get("Cache-Control"))
			require.Equal(t, "nosniff", plain.Header.Get("X-Content-Type-Options"))
			require.Equal(t, "Accept-Encoding", plain.Header.Get("Vary"))
			if path != "/docs" {
				require.Equal(t, "default-src 'none'; frame-ancestors 'none'", plain.Header.Get("Content-Security-Policy"))
			}
			for _, accepts := range []string{"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip", "br, gzip;q=0"} {
				a := get(path, "Accept-Encoding", accepts).wants(http.StatusOK)
				require.Equal(t, plain.Body, a.Body, accepts)
				require.Empty(t, a.Header.Get("Content-Encoding"), accepts)
			}
			for _, accepts := range []string{"gzip", "deflate, gzip, br", "GZIP", "br;q=1.0, gzip;q=0.8, *;q=0.1"} {
				a := get(path, "Accept-Encoding", accepts).wants(http.StatusOK)
				require.Equal(t, "gzip", a.Header.Get("Content-Encoding"), accepts)
				require.Equal(t, contentType, a.Header.Get("Content-Type"))
				require.NotEqual(t, plain.Header.Get("ETag"), a.Header.Get("ETag"), "another form, another tag")
				require.Less(t, len(a.Body), len(plain.Body)+100)
				require.Equal(t, plain.Body, unzipped(a.Body))

				again := get(path, "Accept-Encoding", accepts, "If-None-Match", a.Header.Get("ETag")).wants(http.StatusNotModified)
				require.Empty(t, again.Body)
			}
			get(path, "If-None-Match", plain.Header.Get("ETag")).wants(http.StatusNotModified)
			get(path, "If-None-Match", `"other"`).wants(http.StatusOK)
			require.Equal(t, plain.Body, get(path, "Range", "bytes=1-2", "If-Match", `"other"`).wants(http.StatusOK).Body)
		})
	}
}

func TestDocs_noSuchFile(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	for _, name := range []string{
		"x.js", "page.html", "swagger-ui.css.gz", "..%2Fpage.html", "..%2Fopenapi.yaml", "%2e%2e%2fopenapi.json", "%00", "%ff", ".",
		"page.js%00", "PAGE.JS", "assets%2Fpage.js",
	} {
		a := s.anonymous().get("/docs/assets/" + name)
		a.refuses(http.StatusNotFound, "name")
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Empty(t, a.Header.Get("ETag"))
	}
}

// TestDocs_swaggerUI: what runs in the browser of an Admin is what npm has as swagger-ui-dist 5.35.0, to the last byte.
func TestDocs_swaggerUI(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	for name, want := range map[string]string{
		"swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
		"swagger-ui.css":       "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
	} {
		body := s.anonymous().get("/docs/assets/" + name).wants(http.StatusOK).Body
		sum := sha256.Sum256([]byte(body))
		require.Equal(t, want, hex.EncodeToString(sum[:]), name)
	}
}
