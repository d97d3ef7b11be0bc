package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"inventoryhub/internal/config"
	"inventoryhub/internal/daemon"
	"inventoryhub/internal/demo"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
)

func seedCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "seed", Short: "Fill an empty database with a demo shop",
		Long: "Fill an empty database with a demo shop: four users, one of each role, 300 products with pictures in 12 categories, and 200 orders of the last 90 days.\n\n" +
			"A database with anything in it is refused; one in which the server has run has an Admin in it. No mails are sent.\n" +
			"The users' password is taken from ADMIN_PASSWORD; without it one is made and printed.",
		Example: "  api seed\n  DATABASE_URL=sqlite://demo/demo.db IMAGES_URL=file://demo/images ADMIN_PASSWORD='correct horse battery' api seed",
		RunE: onStoreBy(load, repository.OpenAmong, func(cmd *cobra.Command, c config.Config, store *repository.Store, _ []string) error {
			files, err := openImages(cmd.Context(), c)
			if err != nil {
				return err
			}
			progress, end := newProgress(cmd.ErrOrStderr())
			made, err := demo.Fill(cmd.Context(), store, demo.Config{
				Files: files, Hasher: password.NewHasher(), MinPassword: c.PasswordMin, Password: c.AdminPassword, Now: time.Now(),
				Log: daemon.NewLog(cmd.ErrOrStderr(), c.LogLevel, c.LogFormat), Progress: progress,
			})
			end()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if _, err := fmt.Fprintf(out, "%d users, %d categories, %d products and %d orders were made\n", len(made.Users), made.Categories, made.Products, made.Orders); err != nil {
				return err
			}
			for _, u := range made.Users {
				if _, err := fmt.Fprintf(out, "  %-22s %s\n", u.Email, u.Role); err != nil {
					return err
				}
			}
			if made.Generated == "" {
				_, err = fmt.Fprintln(out, "Their password is ADMIN_PASSWORD")
			} else {
				_, err = fmt.Fprintln(out, told("They can log in.", made.Generated))
			}
			return err
		}),
	}
}
