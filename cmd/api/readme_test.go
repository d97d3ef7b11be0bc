package main

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme_walk does what the README tells a newcomer to do, line by line, with the shell and curl.
func TestReadme_walk(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, walk, found := strings.Cut(string(readme), "\n## A first walk\n")
	require.True(t, found)
	walk, _, _ = strings.Cut(walk, "\n## ")
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(walk, -1) {
		script.WriteString(block[1])
	}

	p := start(t, t.TempDir(), "ADMIN_PASSWORD="+adminPassword)
	text := script.String()
	for old, now := range map[string]string{
		"URL=http://localhost:8080\n":                       "URL=" + p.url + "\n",
		"PASSWORD='the password that the server printed'\n": "PASSWORD='" + adminPassword + "'\n",
	} {
		require.Contains(t, text, old)
		text = strings.Replace(text, old, now, 1)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", text) //nolint:gosec // the README's
	cmd.Dir = p.dir
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))

	require.Contains(t, string(said), `The role 'User' may not take a transaction from the state 'Pending' to the state 'Ready'`)
	require.Contains(t, string(said), `"state":"Completed"`)
	access := p.login("admin@example.com", adminPassword)
	_, products := p.send(http.MethodGet, "/products", access, nil)
	require.Contains(t, products, `"quantity":5,`)
	require.Regexp(t, `"imageUrl":"[0-9a-f]{32}\.png"`, products)
}
