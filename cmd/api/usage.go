package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that says nothing that can be done.
type usageError struct{ text string }

// Error says what is wrong with it.
func (e usageError) Error() string { return e.text }

// exitStatus is 2 for wrong usage, and 1 for everything else that went wrong.
func exitStatus(err error) int {
	var wrong usageError
	if errors.As(err, &wrong) {
		return 2
	}
	return 1
}

// checkWords has every command say itself what is wrong with the words behind it; cobra would count arguments, and take a group without a command for a
// question for help.
func checkWords(cmd *cobra.Command) {
	cmd.Args = takes
	if cmd.HasSubCommands() {
		cmd.Args = noneUnknown
		if !cmd.Runnable() {
			cmd.RunE = lacksCommand
		}
	}
	for _, sub := range cmd.Commands() {
		checkWords(sub)
	}
}

// takes compares the words behind a command with those that its line of usage names: FILE, or [FILE] for one that may be left out.
func takes(cmd *cobra.Command, args []string) error {
	var names []string
	for _, name := range strings.Fields(cmd.Use)[1:] {
		if !strings.HasPrefix(name, "-") {
			names = append(names, name)
		}
	}
	if len(args) > len(names) {
		return fmt.Errorf("%q is one word too many for %s", args[len(names)], spoken(cmd))
	}
	if len(args) == len(names) || strings.HasPrefix(names[len(args)], "[") {
		return nil
	}
	missing, article := names[len(args)], "a"
	if strings.Contains("AEIOU", missing[:1]) {
		article = "an"
	}
	return fmt.Errorf("%s needs %s %s", spoken(cmd), article, missing)
}

// noneUnknown refuses a word that is none of a group's commands, and names those that may be meant.
func noneUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s has no command %q", spoken(cmd), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		text += " (did you mean " + strings.Join(meant, " or ") + "?)"
	}
	return errors.New(text)
}

func lacksCommand(cmd *cobra.Command, _ []string) error {
	cmd.PrintErrln(cmd.UsageString())
	return usageError{spoken(cmd) + " needs one of its commands"}
}

// spoken is the name of a command as it is typed behind that of the program.
func spoken(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return cmd.Name()
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// helpCommand is cobra's, but for what it does about a command that there is not: that would be a status of 0.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Tell about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if err := noneUnknown(about, rest); err != nil {
				cmd.PrintErrln(about.UsageString())
				return usageError{err.Error()}
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}
