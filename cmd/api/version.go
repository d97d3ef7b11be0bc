package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is what is known of how this program was built.
type version struct {
	Version  string `json:"version"`  // the module's
	Revision string `json:"revision"` // of the version control; empty if it was built outside of one
	Time     string `json:"time"`     // of the revision, RFC 3339; empty likewise
	Modified bool   `json:"modified"` // whether the tree differed from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"` // system/processor
}

// builtAs reads what the Go toolchain wrote into the program.
func builtAs() version {
	v := version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Inventory Hub %s", v.Version)
	if v.Revision != "" {
		fmt.Fprintf(&b, ", revision %s of %s", v.Revision, v.Time)
	}
	if v.Modified {
		b.WriteString(" with changes")
	}
	fmt.Fprintf(&b, ", %s, %s", v.Go, v.Platform)
	return b.String()
}

func versionCommand() *cobra.Command {
	var report reporter
	cmd := &cobra.Command{
		Use: "version", Short: "Tell which version this is", Example: "  api version\n  api version --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := builtAs()
			return report.print(cmd, v, v.String())
		},
	}
	report.offer(cmd)
	return cmd
}
