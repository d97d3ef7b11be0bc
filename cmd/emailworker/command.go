package main

import (
	"errors"

	"github.com/spf13/cobra"

	"inventoryhub/internal/config"
	"inventoryhub/internal/daemon"
)

// newCommand describes the command line.
func newCommand(environ []string) *cobra.Command {
	load := func() (config.Config, error) { return config.Load(environ) }
	work := &cobra.Command{
		Use: "work", Short: "Mail the events that come through RabbitMQ (the default)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			return work(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	root := &cobra.Command{
		Use: "emailworker", Short: "Inventory Hub's email worker", Args: cobra.NoArgs,
		Long:         "Inventory Hub's email worker: takes events from RabbitMQ and mails them.\n\nSettings come from the environment and from the file .env; .env.example explains them.",
		SilenceUsage: true, SilenceErrors: true, RunE: work.RunE,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(work, deadCommand(load), healthcheckCommand(load))
	return root
}

type loader func() (config.Config, error)

// healthcheckCommand asks the running worker whether it is ready: for containers, whose image has no other program to ask with.
func healthcheckCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Ask the running worker whether it is ready; the exit status tells", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			if c.MetricsAddr == "" {
				return errors.New("METRICS_ADDR must be set: the worker answers there")
			}
			return daemon.AskReady(cmd.Context(), c.MetricsAddr)
		},
	}
}
