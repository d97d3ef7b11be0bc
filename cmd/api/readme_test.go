package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
)

// walk does what a document tells its reader to do, line by line, with the shell and curl, on a new server. It gives the server and all that was printed.
func walk(t *testing.T, text string, before string) (*program, string) {
	t.Helper()
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		script.WriteString(block[1])
	}
	p := start(t, t.TempDir(), "ADMIN_PASSWORD="+adminPassword)
	lines := script.String()
	for old, now := range map[string]string{
		"URL=http://localhost:8080\n":                       "URL=" + p.url + "\n",
		"PASSWORD='the password that the server printed'\n": "PASSWORD='" + adminPassword + "'\n",
	} {
		require.Contains(t, lines, old)
		lines = strings.Replace(lines, old, now, 1)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", before+lines) //nolint:gosec // the document's
	cmd.Dir = p.dir
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	return p, string(said)
}

func TestReadme_walk(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(readme), "\n## A first walk\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n## ")
	p, said := walk(t, text, "")

	require.Contains(t, said, `The role 'User' may not take a transaction from the state 'Pending' to the state 'Ready'`)
	require.Contains(t, said, `"state":"Completed"`)
	access := p.login("admin@example.com", adminPassword)
	_, products := p.send(http.MethodGet, "/products", access, nil)
	require.Contains(t, products, `"quantity":5,`)
	require.Regexp(t, `"imageUrl":"[0-9a-f]{32}\.png"`, products)
}

// TestGuide_walk does all that docs/api.md tells, and looks for what it says will come of it.
func TestGuide_walk(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := totp.GenerateCode(r.URL.Query().Get("secret"), time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(code))
	}))
	t.Cleanup(app.Close)
	guide, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	_, said := walk(t, string(guide), `oathtool() { curl -sS --fail "`+app.URL+`?secret=$3"; }`+"\n")

	statuses := regexp.MustCompile(`returned error: (\d+)`).FindAllStringSubmatch(said, -1)
	var refused []string
	for _, s := range statuses {
		refused = append(refused, s[1])
	}
	require.Equal(t, []string{"401", "403", "412", "403", "401", "400"}, refused, said)
	require.Equal(t, 1, strings.Count(said, "Idempotent-Replayed: true"), said)
	require.Contains(t, said, `"dryRun":true,"created":1,"updated":1,"unchanged":0`)
	require.Contains(t, said, `"dryRun":false,"created":1,"updated":1,"unchanged":0`)
	require.Contains(t, said, `"note":"Stocktake"`)
	require.Contains(t, said, `"status":"Draft"`)
	require.Contains(t, said, `"code":["A code of your authenticator app is required"]`)
	require.Contains(t, said, "\niPhone 12\nUSB-C cable, 1 m\n")
	fault := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindStringSubmatch(string(guide))
	require.Contains(t, said, fault[1])
}
