package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"inventoryhub/internal/backup"
	"inventoryhub/internal/daemon"
	"inventoryhub/internal/repository"
)

// throughPipe stands for stdin or stdout in the place of a file.
const throughPipe = "-"

func backupCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write the database and all pictures into one file, while the server works",
		Long: "Write the database and all pictures into one file, while the server works.\n\n" +
			"FILE is a gzipped tar archive that shows one moment, and - is stdout. It appears under its name when it is complete; a file of that name is replaced.\n" +
			"Keep it as safe as the database: it holds the hashes of passwords. Keep JWT_SECRET too, which is not in it: second factors need it.",
		Example: "  api backup /var/backups/inventoryhub.tar.gz\n  api backup - | ssh vault 'cat > inventoryhub.tar.gz'",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			if err := repository.RequireFile(c.Operator()); err != nil { // before the folder for pictures is made
				return err
			}
			files, err := openImages(cmd.Context(), c)
			if err != nil {
				return err
			}
			var manifest backup.Manifest
			var images backup.Images
			write := func(ctx context.Context, w io.Writer) (err error) {
				progress, end := newProgress(cmd.ErrOrStderr())
				defer end()
				manifest, images, err = backup.Write(ctx, w, c.Operator(), files, time.Now(), progress)
				return err
			}
			said := cmd.OutOrStdout()
			if args[0] == throughPipe {
				if daemon.IsTerminal(said) {
					return usageError{"a backup is nothing to be read on a terminal; name a file"}
				}
				err, said = write(cmd.Context(), said), cmd.ErrOrStderr()
			} else {
				err = writeWhole(cmd.Context(), args[0], write)
			}
			if err != nil {
				return namingDirect(c, err)
			}
			return tellBackup(said, cmd.ErrOrStderr(), manifest, images)
		},
	}
}

func tellBackup(said, warned io.Writer, manifest backup.Manifest, images backup.Images) error {
	for _, name := range images.Missing {
		if _, err := fmt.Fprintf(warned, "the picture %s is not in the backup: it was removed meanwhile\n", name); err != nil {
			return err
		}
	}
	if manifest.Findings.Any() {
		if _, err := fmt.Fprintln(warned, "the data that were backed up are not in order:", manifest.Findings); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(said, "Backed up %d tables with %d rows, and %d pictures\n", len(manifest.Tables), rowsOf(manifest), len(images.Images))
	return err
}

func rowsOf(m backup.Manifest) (rows int64) {
	for _, t := range m.Tables {
		rows += t.Rows
	}
	return rows
}

// writeWhole writes a file beside its place and moves it there when it is complete and on the disk. Whatever happens, the name never stands for a part.
func writeWhole(ctx context.Context, path string, write func(context.Context, io.Writer) error) (err error) {
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(part.Name())
		}
	}()
	if err := write(ctx, part); err != nil {
		return errors.Join(err, part.Close())
	}
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_ = dir.Sync() // makes the name durable, where the file system can do that
	return dir.Close()
}

func restoreCommand(load loader) *cobra.Command {
	var resend bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty database, and the pictures, from a backup",
		Long: "Fill an empty database, and the pictures, from a backup. The database may be of either kind, and - is stdin.\n\n" +
			"All of it is restored and checked, or nothing. Everybody has to log in again. Mails that waited when the backup was taken are not sent, since they may\n" +
			"have been sent after it: whoever was invited by one is invited again. With --resend-pending they are sent, some perhaps for the second time.\n" +
			"Second factors work with the JWT_SECRET that the backup's server had.",
		Example: "  api restore /var/backups/inventoryhub.tar.gz\n  DATABASE_URL=postgres://... api restore - < inventoryhub.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := load()
			if err != nil {
				return err
			}
			from := cmd.InOrStdin()
			if args[0] != throughPipe {
				file, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("read the backup: %w", err)
				}
				defer func() { _ = file.Close() }()
				from = file
			}
			files, err := openImages(cmd.Context(), c)
			if err != nil {
				return err
			}
			progress, end := newProgress(cmd.ErrOrStderr())
			done, err := backup.Read(cmd.Context(), from, c.Operator(), files, backup.Options{ResendPending: resend, Now: time.Now(), Progress: progress})
			end()
			if err != nil {
				return namingDirect(c, err)
			}
			return tellRestored(cmd.OutOrStdout(), cmd.ErrOrStderr(), done)
		},
	}
	cmd.Flags().BoolVar(&resend, "resend-pending", false, "send the mails that waited when the backup was taken, though they may have been sent since")
	return cmd
}

func tellRestored(said, warned io.Writer, done backup.Result) error {
	for _, name := range done.Missing {
		if _, err := fmt.Fprintf(warned, "the picture %s is not in the backup: its product shows none now\n", name); err != nil {
			return err
		}
	}
	if done.Findings.Any() {
		if _, err := fmt.Fprintln(warned, "the data were not in order when they were backed up, and are so again:", done.Findings); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(said, "Restored %d tables with %d rows, and %d pictures, as they were at %s\nEverybody has to log in again\n",
		len(done.Tables), rowsOf(done.Manifest), done.Images-len(done.Missing), *inMilliseconds(&done.CreatedAt))
	if err == nil && done.Dropped > 0 {
		_, err = fmt.Fprintf(said, "%d mails that waited were dropped, and what they would have opened is void: invite those people again\n", done.Dropped)
	}
	return err
}
