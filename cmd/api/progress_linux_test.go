package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProgress has a person look on at a narrow terminal: each step fits into its line and takes the place of the one before, and none is left at the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	terminal, err := exec.LookPath("script") // util-linux's, which gives a program a terminal
	require.NoError(t, err)
	cmd := command(t, t.TempDir(), nil, "SHELL=/bin/sh")
	cmd.Path, cmd.Args = terminal, []string{"script", "-qec", "stty cols 24 -onlcr && exec '" + os.Args[0] + "' seed", "/dev/null"}
	shown, err := cmd.Output()
	require.NoError(t, err, string(shown))
	steps := strings.Split(string(shown), "\r\x1b[K")
	require.Greater(t, len(steps), 2, string(shown))
	require.Empty(t, steps[0])
	for _, step := range steps[1 : len(steps)-1] {
		require.Equal(t, "making the shop: event ", step, "behind the last column a terminal begins another line")
	}
	require.Regexp(t, `^4 users, .* were made\n(  \S+ +\S+\n){4}They can log in\. .*\n$`, steps[len(steps)-1])
}
