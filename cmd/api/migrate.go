package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"inventoryhub/internal/repository"
)

func migrateCommand(load loader) *cobra.Command {
	migrate := &cobra.Command{
		Use: "migrate", Short: "Look at the version of the database's schema, and change it",
		Example: "  api migrate status\n  api migrate up\n  api migrate down --yes",
		Long: "Look at the version of the database's schema, and change it.\n\n" +
			"The server brings the schema up to date by itself when it starts; this is for doing it apart from that. Besides, only seed and restore change it: other\n" +
			"commands refuse a schema that is not of their version.",
	}
	migrate.AddCommand(migrateStatusCommand(load), migrateUpCommand(load), migrateDownCommand(load))
	return migrate
}

// onSchema opens the database for a command, and leaves its schema as it is.
func onSchema(load loader, create bool, do func(cmd *cobra.Command, m *repository.Migrator) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		m, err := repository.OpenMigrator(cmd.Context(), c.Operator(), create)
		if err != nil {
			return err
		}
		defer func() { _ = m.Close() }()
		return namingDirect(c, do(cmd, m)) // it connects when it is asked something
	}
}

// schemaStatus is what `migrate status --json` prints.
type schemaStatus struct {
	Version    int64             `json:"version"` // the database's
	Latest     int64             `json:"latest"`  // this program's
	Pending    int               `json:"pending"`
	Migrations []migrationStatus `json:"migrations"` // those that this program knows, oldest first
}

type migrationStatus struct {
	Version   int64   `json:"version"`
	Name      string  `json:"name"`
	AppliedAt *string `json:"appliedAt"`
}

func migrateStatusCommand(load loader) *cobra.Command {
	var report reporter
	cmd := &cobra.Command{
		Use: "status", Short: "List the migrations, and when each was applied", Example: "  api migrate status\n  api migrate status --json",
		RunE: onSchema(load, false, func(cmd *cobra.Command, m *repository.Migrator) error {
			version, err := m.Version(cmd.Context())
			if err != nil {
				return err
			}
			found, err := m.Status(cmd.Context())
			if err != nil {
				return err
			}
			status := schemaStatus{Version: version, Latest: m.Latest(), Migrations: []migrationStatus{}}
			var lines []string
			for _, s := range found {
				at := inMilliseconds(s.AppliedAt)
				status.Migrations = append(status.Migrations, migrationStatus{Version: s.Version, Name: s.Name, AppliedAt: at})
				when := "not applied"
				if at == nil {
					status.Pending++
				} else {
					when = "applied " + *at
				}
				lines = append(lines, fmt.Sprintf("%-24s %s", s.Name, when))
			}
			lines = append(lines, fmt.Sprintf("The schema is at version %d, this program's newest is %d; %d are not applied", version, m.Latest(), status.Pending))
			return report.print(cmd, status, lines...)
		}),
	}
	report.offer(cmd)
	return cmd
}

func migrateUpCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Apply the migrations that are not applied yet", Example: "  api migrate up",
		RunE: onSchema(load, true, func(cmd *cobra.Command, m *repository.Migrator) error {
			done, err := m.Up(cmd.Context())
			if err != nil {
				return err
			}
			for _, d := range done {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s was applied\n", d.Name); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The schema is up to date, at version %d\n", m.Latest())
			return err
		}),
	}
}

func migrateDownCommand(load loader) *cobra.Command {
	var sure bool
	down := onSchema(load, false, func(cmd *cobra.Command, m *repository.Migrator) error {
		back, err := m.Down(cmd.Context())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s was taken back\n", back.Name)
		return err
	})
	cmd := &cobra.Command{
		Use: "down --yes", Short: "Take the newest migration back, with all that is kept in what it made", Example: "  api migrate down --yes",
		Long: "Take the newest migration back, with all that is kept in what it made: tables and columns. That cannot be undone: make a backup before.\n\n" +
			"Stop the server first: it would not find what it needs. When it starts again it applies the migration again; an older version of it does not.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !sure {
				return usageError{"what the newest migration made would be lost; add --yes if that is meant"}
			}
			return down(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "yes, lose what is kept there")
	return cmd
}
