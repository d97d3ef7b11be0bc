package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"inventoryhub/internal/config"
	"inventoryhub/internal/daemon"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
)

// newCommand describes the command line.
func newCommand(environ []string) *cobra.Command {
	load := func() (config.Config, error) { return config.Load(environ) }
	serveCommand := &cobra.Command{
		Use: "serve", Short: "Run the server (the default)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	root := &cobra.Command{
		Use: "api", Short: "Inventory Hub: what is in stock and who ordered what", Args: cobra.NoArgs,
		Long:         "Inventory Hub: what is in stock and who ordered what.\n\nSettings come from the environment and from the file .env; .env.example explains them.",
		SilenceUsage: true, SilenceErrors: true, RunE: serveCommand.RunE,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(serveCommand, adminCommand(load), usersCommand(load), stockCommand(load), auditCommand(load), healthcheckCommand(load))
	for _, group := range root.Commands() {
		if group.HasSubCommands() { // cobra would answer an unknown one with the help and a status of 0
			group.Args, group.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

type loader func() (config.Config, error)

func adminCommand(load loader) *cobra.Command {
	admin := &cobra.Command{Use: "admin", Short: "Help when nobody can log in as an Admin"}
	create := operation("create EMAIL", "Make an Admin who can log in at once", load, func(ctx context.Context, o *service.Operator, email, pass string) (string, error) {
		generated, err := o.CreateAdmin(ctx, email, pass)
		return told("The Admin "+email+" was made.", generated), err
	})
	reset := operation("reset-password EMAIL", "Set a user's password and end their sessions", load, func(ctx context.Context, o *service.Operator, email, pass string) (string, error) {
		generated, err := o.ResetPassword(ctx, email, pass)
		return told("The password of "+email+" was set, and all their sessions have ended.", generated), err
	})
	for _, c := range []*cobra.Command{create, reset} {
		c.Long = c.Short + ".\n\nThe password is taken from ADMIN_PASSWORD; without it one is made and printed."
	}
	admin.AddCommand(create, reset)
	return admin
}

func told(done, generated string) string {
	if generated == "" {
		return done
	}
	return done + " The password is " + generated + " and is shown only now."
}

func usersCommand(load loader) *cobra.Command {
	users := &cobra.Command{Use: "users", Short: "Manage users whatever their role"}
	users.AddCommand(operation("remove EMAIL", "Delete a user, even an Admin, and end their sessions", load, func(ctx context.Context, o *service.Operator, email, _ string) (string, error) {
		return "The user " + email + " was removed.", o.Remove(ctx, email)
	}), operation("reset-2fa EMAIL", "Take the second factor of a user away who lost it, and end their sessions", load, func(ctx context.Context, o *service.Operator, email, _ string) (string, error) {
		return "The user " + email + " has no second factor any more, and all their sessions have ended.", o.RemoveFactor(ctx, email)
	}))
	return users
}

// operation makes a command about one user, which works on the database while the server may be running.
func operation(use, short string, load loader, do func(ctx context.Context, o *service.Operator, email, pass string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: onStore(load, func(cmd *cobra.Command, c config.Config, store *repository.Store, args []string) error {
			said, err := do(cmd.Context(), service.NewOperator(store, password.NewHasher(), c.PasswordMin, time.Now), args[0], c.AdminPassword)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		}),
	}
}

// onStore opens the database for a command.
func onStore(load loader, do func(cmd *cobra.Command, c config.Config, store *repository.Store, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		store, err := repository.Open(cmd.Context(), c.DatabaseURL)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		return do(cmd, c, store, args)
	}
}

func stockCommand(load loader) *cobra.Command {
	stock := &cobra.Command{Use: "stock", Short: "Look after the stock ledger"}
	var repair bool
	reconcile := &cobra.Command{
		Use: "reconcile", Short: "Compare every product's quantity with the sum of its ledger; the exit status tells", Args: cobra.NoArgs,
		RunE: onStore(load, func(cmd *cobra.Command, c config.Config, store *repository.Store, _ []string) error {
			return reconcile(cmd, service.NewOperator(store, password.NewHasher(), c.PasswordMin, time.Now), repair)
		}),
	}
	reconcile.Flags().BoolVar(&repair, "repair", false, "add a movement to each ledger that does not add up; the quantity stays, and so does all history")
	stock.AddCommand(reconcile)
	return stock
}

func reconcile(cmd *cobra.Command, o *service.Operator, repair bool) error {
	products, drifts, err := o.CompareStock(cmd.Context())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, d := range drifts {
		if _, err := fmt.Fprintf(out, "%s %q has %d, its ledger adds up to %d\n", d.ProductID, d.Name, d.Quantity, d.Ledger); err != nil {
			return err
		}
		if repair {
			if _, err := o.RepairStock(cmd.Context(), d.ProductID); err != nil {
				return err
			}
		}
	}
	said := map[bool]string{false: "differ from their ledger", true: "were repaired"}[repair]
	if _, err := fmt.Fprintf(out, "%d products compared, %d %s\n", products, len(drifts), said); err != nil {
		return err
	}
	if len(drifts) > 0 && !repair {
		return fmt.Errorf("%d products differ from their ledger", len(drifts))
	}
	return nil
}

func auditCommand(load loader) *cobra.Command {
	audit := &cobra.Command{Use: "audit", Short: "Look after the audit log"}
	audit.AddCommand(&cobra.Command{
		Use: "verify", Short: "Check that no line of the audit log was changed or taken out; the exit status tells", Args: cobra.NoArgs,
		RunE: onStore(load, func(cmd *cobra.Command, _ config.Config, store *repository.Store, _ []string) error {
			lines, fault, err := service.NewAudit(store, time.Now).Verify(cmd.Context())
			if err != nil {
				return err
			}
			if fault != "" {
				return fmt.Errorf("the audit log is broken: %s", fault)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d lines checked, none changed or missing\n", lines)
			return err
		}),
	})
	return audit
}

// healthcheckCommand asks the running server whether it lives: for containers, whose image has no other program to ask with.
func healthcheckCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Ask the running server whether it is ready; the exit status tells", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			return daemon.AskReady(cmd.Context(), c.HTTPAddr)
		},
	}
}
