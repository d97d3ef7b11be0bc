package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + file)
	require.NoError(t, err)
	return string(text)
}

// TestExample reads .env.example as it is, and with the defaults of all its lines: nothing is set by it that nobody chose, it names
// every setting with the default that it has, and nothing else that would be taken for a fault.
func TestExample(t *testing.T) {
	example := read(t, ".env.example")
	inForce := regexp.MustCompile(`(?m)^# ([A-Z0-9_]+=)`).ReplaceAllString(example, "$1")
	for _, name := range names() {
		require.Equal(t, 1, len(regexp.MustCompile(`(?m)^`+name+`=`).FindAllString(inForce, -1)), name)
	}
	for name, file := range map[string]string{"as it is": example, "all lines": inForce} {
		t.Run(name, func(t *testing.T) {
			c, err := load(t, file)
			require.NoError(t, err)
			require.Equal(t, defaults(), c)
			require.Empty(t, c.Warnings(true))
		})
	}
}

// TestCompose_settings holds docker-compose.yml against .env.example: what stands in .env gets into the containers, or is marked, and what has
// no default that others could be served with is demanded.
func TestCompose_settings(t *testing.T) {
	example, compose := read(t, ".env.example"), read(t, "docker-compose.yml")
	var comment string
	for line := range strings.Lines(example) {
		name := regexp.MustCompile(`^(?:# )?([A-Z0-9_]+)=`).FindStringSubmatch(line)
		if name == nil {
			if !strings.HasPrefix(line, "# ") {
				comment = ""
			}
			comment += line
			continue
		}
		left := strings.Contains(comment, "(docker compose sets it") || strings.Contains(comment, "(docker compose leaves it out")
		require.Equal(t, !left, strings.Contains(compose, "${"+name[1]+":"), name[1])
		comment = ""
	}
	for _, used := range regexp.MustCompile(`\$\{([A-Z0-9_]+)`).FindAllStringSubmatch(compose, -1) {
		require.Regexp(t, `\b`+used[1]+`\b`, example)
	}
	for _, name := range []string{"POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "JWT_SECRET", "ADMIN_EMAIL", "APP_URL"} {
		require.Contains(t, compose, "${"+name+":?")
		require.Regexp(t, `(?m)^`+name+`=$`, example, "compose would not notice that nobody chose it")
	}
}
