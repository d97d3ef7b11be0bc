package email

import (
	"fmt"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	"inventoryhub/internal/domain"
)

// newMessage builds the MIME message: text and HTML as alternatives, quoted-printable. It checks the address and the
// name again, because here they become headers; what does not fit is a permanent failure.
func newMessage(m Mail, from *netmail.Address) (*mail.Msg, error) {
	if err := checkRecipient(m); err != nil {
		return nil, err
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(from)
	to := &netmail.Address{Name: m.ToName, Address: m.To}
	if read, err := netmail.ParseAddress(to.String()); err != nil || read.Name != to.Name {
		// net/mail leaves a backslash as it is in an encoded word, where it must not stand (RFC 2047 section 5.3). Then
		// nobody can read the address, which matters more than the name.
		to.Name = ""
	}
	msg.ToMailAddress(to)
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(strings.Trim(m.MessageID, "<>"))
	msg.SetDate()
	// RFC 3834 section 5: no out-of-office answers, please.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	return msg, nil
}

func checkRecipient(m Mail) error {
	switch {
	case !domain.IsEmail(m.To):
		return noHeader("address")
	case !domain.IsLine(m.ToName):
		return noHeader("name")
	case !domain.IsLine(m.Subject):
		return noHeader("subject")
	case !domain.IsLine(m.MessageID):
		return noHeader("message id")
	}
	return nil
}

func noHeader(what string) error {
	return &SendError{Permanent: true, NotSent: true, Reason: fmt.Sprintf("the %s cannot stand in a mail's header", what)}
}
