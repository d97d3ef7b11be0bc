package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"inventoryhub/internal/backup"
	"inventoryhub/internal/config"
	"inventoryhub/internal/daemon"
	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
	"inventoryhub/internal/sheet"
)

// importReport is what `import products --json` prints.
type importReport struct {
	DryRun    bool     `json:"dryRun"`
	Created   int      `json:"created"`
	Updated   int      `json:"updated"`
	Unchanged int      `json:"unchanged"`
	Faults    []string `json:"faults"` // if there are any, nothing was changed
}

func importCommand(load loader) *cobra.Command {
	group := &cobra.Command{Use: "import", Short: "Take things from a CSV file", Example: "  api import products products.csv --dry-run\n  api import products products.csv"}
	var dryRun bool
	var report reporter
	products := &cobra.Command{
		Use: "products FILE", Short: "Make and change products by the rows of a CSV file, all or nothing",
		Long: "Make and change products by the rows of a CSV file, all or nothing, as POST /products/import does, while the server may be running.\n\n" +
			"The file is in UTF-8, and commas separate its columns, which its first row names: id, sku, name, category, quantity, reorderLevel, description.\n" +
			"A row changes the product with its id, or else with its sku; a sku that no product has makes one. Faults go to stderr, one a line, and the exit status\n" +
			"is 1. A file has at most 32 MiB and 200,000 rows.",
		Example: "  api import products products.csv --dry-run\n  api import products products.csv --json",
		RunE: onStore(load, func(cmd *cobra.Command, _ config.Config, store *repository.Store, args []string) error {
			file, err := openSheet(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			progress, end := newProgress(cmd.ErrOrStderr())
			rows := counted(sheet.Products(cmd.Context(), file), progress)
			done, err := service.NewProducts(store, nil, time.Now).Import(cmd.Context(), service.CommandLine(), rows, dryRun, nil)
			end()
			return tellImport(cmd, report, args[0], importReport{DryRun: dryRun, Created: done.Created, Updated: done.Updated, Unchanged: done.Unchanged}, err)
		}),
	}
	products.Flags().BoolVar(&dryRun, "dry-run", false, "check the file and say what would be done; change nothing")
	report.offer(products)
	group.AddCommand(products)
	return group
}

// openSheet opens a file that is no larger than one that the server would take.
func openSheet(path string) (*os.File, error) {
	file, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular(): // it is read more than once
		err = fmt.Errorf("%s is not a file", path)
	case info.Size() > sheet.MaxBytes:
		err = fmt.Errorf("%s has more than %d MiB", path, sheet.MaxBytes>>20)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// counted shows how far a file was read, which an import does twice: it looks at all rows before it writes the first.
func counted(rows service.Sheet, show backup.Progress) service.Sheet {
	doing := "checking"
	return func(yield func(service.ImportRow) error) error {
		defer func() { doing = "writing" }()
		return rows(func(r service.ImportRow) error {
			show(fmt.Sprintf("%s row %d", doing, r.Number))
			return yield(r)
		})
	}
}

// tellImport says what an import did, or each fault by itself on stderr.
func tellImport(cmd *cobra.Command, report reporter, path string, done importReport, err error) error {
	var refused *domain.Error
	done.Faults = []string{}
	if errors.As(err, &refused) && len(refused.Fields["file"]) > 0 {
		done = importReport{DryRun: done.DryRun, Faults: refused.Fields["file"]}
		for _, fault := range done.Faults {
			if _, err := fmt.Fprintln(cmd.ErrOrStderr(), fault); err != nil {
				return err
			}
		}
		if report.asJSON {
			if err := report.print(cmd, done); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s has faults, and nothing was changed", path)
	}
	if err != nil {
		return err
	}
	said := map[bool]string{false: "created, %d updated, %d unchanged", true: "would be created, %d updated, %d unchanged; nothing was changed"}[done.DryRun]
	return report.print(cmd, done, fmt.Sprintf("%d products "+said, done.Created, done.Updated, done.Unchanged))
}

func exportCommand(load loader) *cobra.Command {
	group := &cobra.Command{Use: "export", Short: "Write things into a CSV file", Example: "  api export products products.csv\n  api export movements | gzip > movements.csv.gz"}
	group.AddCommand(
		exportOf(load, "products", "products, as GET /products/export does", sheet.ProductTable(), func(ctx context.Context, store *repository.Store, write func([]domain.Product) error) error {
			return service.NewProducts(store, nil, time.Now).Export(ctx, service.CommandLine(), domain.ProductFilter{}, nil, write)
		}),
		exportOf(load, "orders", "orders, as GET /products/orders/export does", sheet.OrderTable(), func(ctx context.Context, store *repository.Store, write func([]domain.Order) error) error {
			return service.NewOrders(store, time.Now).Export(ctx, service.CommandLine(), domain.OrderFilter{}, nil, write)
		}),
		exportOf(load, "movements", "movements of stock, those of deleted products too", sheet.MovementTable(), func(ctx context.Context, store *repository.Store, write func([]domain.Movement) error) error {
			return service.NewProducts(store, nil, time.Now).ExportMovements(ctx, service.CommandLine(), write)
		}),
	)
	return group
}

// exportOf makes the command that writes all things of one kind.
func exportOf[T any](load loader, name, what string, table sheet.Table[T], read func(context.Context, *repository.Store, func([]T) error) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " [FILE]", Short: "Write all " + what,
		Long:    "Write all " + what + ", while the server may be running.\n\nWithout FILE, or for -, they go to stdout. FILE appears under its name when it is complete; a file of that name is replaced.",
		Example: "  api export " + name + " " + name + ".csv\n  api export " + name + " | gzip > " + name + ".csv.gz",
		RunE: onStore(load, func(cmd *cobra.Command, _ config.Config, store *repository.Store, args []string) error {
			toStdout := len(args) == 0 || args[0] == throughPipe
			shown := cmd.ErrOrStderr()
			if toStdout && daemon.IsTerminal(cmd.OutOrStdout()) {
				shown = io.Discard // it would overwrite the rows
			}
			count := 0
			write := func(ctx context.Context, w io.Writer) error {
				progress, end := newProgress(shown)
				defer end()
				return table.Write(w, func(write func([]T) error) error {
					return read(ctx, store, func(batch []T) error {
						count += len(batch)
						progress(fmt.Sprintf("%d %s", count, name))
						return write(batch)
					})
				})
			}
			if toStdout {
				return write(cmd.Context(), cmd.OutOrStdout())
			}
			if err := writeWhole(cmd.Context(), args[0], write); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d %s written to %s\n", count, name, args[0])
			return err
		}),
	}
}
