package main

import (
	"context"
	"errors"
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
		Use: "serve", Short: "Run the server (the default)", Example: "  api serve\n  HTTP_ADDR=127.0.0.1:9000 api serve",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	root := &cobra.Command{
		Use: "api", Short: "Inventory Hub: what is in stock and who ordered what",
		Long: "Inventory Hub: what is in stock and who ordered what.\n\nSettings come from the environment and from the file .env; .env.example explains them.\n" +
			"The exit status is 0 when all went well, 1 when something failed, and 2 when the command line cannot be understood.",
		Example:      "  api\n  api admin create boss@example.com\n  api import products products.csv --dry-run\n  api backup /var/backups/inventoryhub.tar.gz\n  api stock reconcile --json",
		SilenceUsage: true, SilenceErrors: true, RunE: serveCommand.RunE,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(serveCommand, adminCommand(load), usersCommand(load), stockCommand(load), auditCommand(load),
		seedCommand(load), importCommand(load), exportCommand(load), backupCommand(load), restoreCommand(load), migrateCommand(load), versionCommand(), healthcheckCommand(load))
	checkWords(root)
	root.SetHelpCommand(helpCommand())
	root.Version = builtAs().String()
	root.SetVersionTemplate("{{.Version}}\n")
	return root
}

type loader func() (config.Config, error)

func adminCommand(load loader) *cobra.Command {
	admin := &cobra.Command{
		Use: "admin", Short: "Help when nobody can log in as an Admin",
		Example: "  api admin create boss@example.com\n  api admin reset-password boss@example.com",
	}
	create := operation("create EMAIL", "Make an Admin who can log in at once", load, func(ctx context.Context, o *service.Operator, email, pass string) (string, error) {
		generated, err := o.CreateAdmin(ctx, email, pass)
		return told("The Admin "+email+" was made.", generated), err
	})
	reset := operation("reset-password EMAIL", "Set a user's password and end their sessions", load, func(ctx context.Context, o *service.Operator, email, pass string) (string, error) {
		generated, err := o.ResetPassword(ctx, email, pass)
		return told("The password of "+email+" was set, and all their sessions have ended.", generated), err
	})
	create.Example = "  api admin create boss@example.com\n  ADMIN_PASSWORD='correct horse battery' api admin create boss@example.com"
	reset.Example = "  api admin reset-password boss@example.com"
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
	users := &cobra.Command{
		Use: "users", Short: "Manage users whatever their role",
		Example: "  api users remove thief@example.com\n  api users reset-2fa jane@example.com",
	}
	remove := operation("remove EMAIL", "Delete a user, even an Admin, and end their sessions", load, func(ctx context.Context, o *service.Operator, email, _ string) (string, error) {
		return "The user " + email + " was removed.", o.Remove(ctx, email)
	})
	reset := operation("reset-2fa EMAIL", "Take the second factor of a user away who lost it, and end their sessions", load, func(ctx context.Context, o *service.Operator, email, _ string) (string, error) {
		return "The user " + email + " has no second factor any more, and all their sessions have ended.", o.RemoveFactor(ctx, email)
	})
	remove.Example, reset.Example = "  api users remove thief@example.com", "  api users reset-2fa jane@example.com"
	users.AddCommand(remove, reset)
	return users
}

// operation makes a command about one user, which works on the database while the server may be running.
func operation(use, short string, load loader, do func(ctx context.Context, o *service.Operator, email, pass string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
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

// onStore opens the server's database for a command. One that made a new database, in the wrong folder, would find all in order there; and to change the
// schema is not for who only looks at it.
func onStore(load loader, do func(cmd *cobra.Command, c config.Config, store *repository.Store, args []string) error) func(*cobra.Command, []string) error {
	return onStoreBy(load, repository.OpenExisting, do)
}

type opener func(ctx context.Context, url string, beside repository.Servers) (*repository.Store, error)

func onStoreBy(load loader, open opener, do func(cmd *cobra.Command, c config.Config, store *repository.Store, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		store, err := open(cmd.Context(), c.Operator(), repository.Servers{Patient: true})
		if err != nil {
			return namingDirect(c, err)
		}
		defer func() { _ = store.Close() }()
		return do(cmd, c, store, args)
	}
}

// naming puts the setting that leads to a database before the reason why it could not be connected to. Other errors it leaves as they are.
func naming(setting string, err error) error {
	var away *repository.ConnectError
	if errors.As(err, &away) {
		return fmt.Errorf("%s: %s", setting, away.Cause)
	}
	return err
}

// namingDirect is [naming] for who goes past a pooler if there is one.
func namingDirect(c config.Config, err error) error {
	if c.DirectURL != "" {
		return naming("DATABASE_DIRECT_URL", err)
	}
	return naming("DATABASE_URL", err)
}

func stockCommand(load loader) *cobra.Command {
	stock := &cobra.Command{Use: "stock", Short: "Look after the stock ledger", Example: "  api stock reconcile\n  api stock reconcile --repair"}
	var repair bool
	var report reporter
	reconcile := &cobra.Command{
		Use: "reconcile", Short: "Compare every product's quantity with the sum of its ledger; the exit status tells",
		Example: "  api stock reconcile\n  api stock reconcile --json\n  api stock reconcile --repair",
		RunE: onStore(load, func(cmd *cobra.Command, c config.Config, store *repository.Store, _ []string) error {
			return reconcile(cmd, service.NewOperator(store, password.NewHasher(), c.PasswordMin, time.Now), repair, report)
		}),
	}
	reconcile.Flags().BoolVar(&repair, "repair", false, "add a movement to each ledger that does not add up; the quantity stays, and so does all history")
	report.offer(reconcile)
	stock.AddCommand(reconcile)
	return stock
}

// stockReport is what `stock reconcile --json` prints.
type stockReport struct {
	Products int64        `json:"products"`
	Drifts   []stockDrift `json:"drifts"`   // those whose quantity is not the sum of their ledger
	Repaired bool         `json:"repaired"` // whether these were repaired
}

type stockDrift struct {
	ProductID string `json:"productId"`
	Name      string `json:"name"`
	Quantity  int64  `json:"quantity"`
	Ledger    int64  `json:"ledger"`
}

func reconcile(cmd *cobra.Command, o *service.Operator, repair bool, report reporter) error {
	products, drifts, err := o.CompareStock(cmd.Context())
	if err != nil {
		return err
	}
	found := stockReport{Products: products, Drifts: []stockDrift{}, Repaired: repair}
	var lines []string
	for _, d := range drifts {
		found.Drifts = append(found.Drifts, stockDrift{ProductID: d.ProductID.String(), Name: d.Name, Quantity: d.Quantity, Ledger: d.Ledger})
		lines = append(lines, fmt.Sprintf("%s %q has %d, its ledger adds up to %d", d.ProductID, d.Name, d.Quantity, d.Ledger))
		if repair {
			if _, err := o.RepairStock(cmd.Context(), d.ProductID); err != nil {
				return err
			}
		}
	}
	said := map[bool]string{false: "differ from their ledger", true: "were repaired"}[repair]
	if err := report.print(cmd, found, append(lines, fmt.Sprintf("%d products compared, %d %s", products, len(drifts), said))...); err != nil {
		return err
	}
	if len(drifts) > 0 && !repair {
		return fmt.Errorf("%d products differ from their ledger", len(drifts))
	}
	return nil
}

// auditReport is what `audit verify --json` prints.
type auditReport struct {
	Lines int64   `json:"lines"` // that were checked
	Fault *string `json:"fault"` // null if there is none
}

func auditCommand(load loader) *cobra.Command {
	audit := &cobra.Command{Use: "audit", Short: "Look after the audit log", Example: "  api audit verify"}
	var report reporter
	verify := &cobra.Command{
		Use: "verify", Short: "Check that no line of the audit log was changed or taken out; the exit status tells",
		Example: "  api audit verify\n  api audit verify --json",
		RunE: onStore(load, func(cmd *cobra.Command, _ config.Config, store *repository.Store, _ []string) error {
			lines, fault, err := service.NewAudit(store, time.Now).Verify(cmd.Context())
			if err != nil {
				return err
			}
			if fault == "" {
				return report.print(cmd, auditReport{Lines: lines}, fmt.Sprintf("%d lines checked, none changed or missing", lines))
			}
			if err := report.print(cmd, auditReport{Lines: lines, Fault: &fault}); err != nil {
				return err
			}
			return fmt.Errorf("the audit log is broken: %s", fault)
		}),
	}
	report.offer(verify)
	audit.AddCommand(verify)
	return audit
}

// healthcheckCommand asks the running server whether it lives: for containers, whose image has no other program to ask with.
func healthcheckCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Ask the running server whether it is ready; the exit status tells", Example: "  api healthcheck",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			return daemon.AskReady(cmd.Context(), c.HTTPAddr)
		},
	}
}
