package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"inventoryhub/internal/domain"
)

// reporter prints what a command found: in words for a person, or with --json as one object for a script.
type reporter struct{ asJSON bool }

// offer adds the flag --json to a command.
func (r *reporter) offer(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.asJSON, "json", false, "print one JSON object, for scripts")
}

// print writes the object or the lines.
func (r *reporter) print(cmd *cobra.Command, object any, lines ...string) error {
	out := cmd.OutOrStdout()
	if r.asJSON {
		return json.NewEncoder(out).Encode(object)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// inMilliseconds writes a time as the API does; nil stays nil.
func inMilliseconds(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := domain.Stamp(*t)
	return &text
}
