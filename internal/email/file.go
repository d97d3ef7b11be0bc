package email

import (
	"context"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"

	"github.com/wneessen/go-mail"
)

// FileSender writes each mail to a directory as one .eml file, which mail programs open. It is for trying things out:
// the files hold live tokens.
type FileSender struct {
	dir  string
	from *netmail.Address
}

// NewFileSender makes the directory, readable by its owner alone, if it is missing. From is an address with or without a name.
func NewFileSender(dir, from string) (*FileSender, error) {
	sender, err := parseFrom(from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the mail directory: %w", err)
	}
	return &FileSender{dir: dir, from: sender}, nil
}

// Send writes the file. Its name is the event's time and id, so that a listing is in order and a repeated send
// overwrites the first. A file that is there is complete and on disk.
func (s *FileSender) Send(ctx context.Context, m Mail) (Receipt, error) {
	msg, err := newMessage(m, s.from)
	if err != nil {
		return Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return Receipt{}, &SendError{NotSent: true, Reason: err.Error()}
	}
	name := m.At.UTC().Format("20060102T150405.000Z") + "-" + m.EventID.String() + ".eml"
	if err := s.write(name, msg); err != nil {
		return Receipt{}, &SendError{NotSent: true, Reason: line("write the mail file: "+err.Error(), m.secret)}
	}
	return Receipt{Sent: true}, nil
}

func (s *FileSender) write(name string, msg *mail.Msg) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".mail-*.tmp") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // does nothing once it is renamed
	defer func() { _ = f.Close() }()           // a second close after success
	if _, err := msg.WriteTo(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(s.dir, name)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
