// Package email is an edge: it turns an event into a mail, hands it to a [Sender] and records the delivery. It hides the
// mail libraries. It does not know where events come from: whoever calls [Mailer.Handle] obeys the outcome, be it the
// outbox table or a broker's queue. It knows no configuration either, only the plain values it is given.
package email

import (
	"context"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Mail is one mail to one person, with what a [Sender] needs to send it at most once per attempt.
type Mail struct {
	EventID   uuid.UUID // the event that it tells of
	At        time.Time // when that happened
	To        string    // one plain address
	ToName    string
	Subject   string
	Text      string
	HTML      string
	MessageID string // RFC 5322 section 3.6.4, with the angle brackets; the same for every send of the event

	// OperationID names the send towards a provider that can be asked about it.
	OperationID uuid.UUID
	// Resume says that an earlier try under this OperationID had an unclear outcome or was accepted: ask before sending.
	Resume bool
	// Accepted says, with Resume, that the provider did take it and only its final word is missing: ask, never send.
	Accepted bool

	secret string // must not appear in an error's reason
}

// Receipt is what a [Sender] gives for a mail that the provider took.
type Receipt struct {
	// Sent says that the provider's word is final. Otherwise it has accepted the mail, and Send with Resume and Accepted
	// asks for the final word.
	Sent bool
	// OperationID is the provider's name for an accepted send, if it chose another one than the mail's.
	OperationID uuid.UUID
	// AskAfter is how long to wait before asking.
	AskAfter time.Duration
}

// Sender hands one mail to a provider. It returns a [*SendError] for a failure that it understands; after any other
// error the outcome is unclear. It may be called by several goroutines.
type Sender interface {
	Send(ctx context.Context, m Mail) (Receipt, error)
}

// SendError is a failure to send.
type SendError struct {
	Permanent  bool          // this mail will never be taken, as it stands
	Throttled  bool          // too many at the moment: the mail is not at fault
	RetryAfter time.Duration // not before, if the provider said so; always set with Throttled
	NotSent    bool          // the mail is certainly not on its way; otherwise it may be
	Reason     string        // for the operator: no token, key or body
}

// Error gives the reason.
func (e *SendError) Error() string { return e.Reason }

// maxReason bounds what is kept of a provider's text, in characters.
const maxReason = 300

// line makes one printable line of a provider's text: bounded, without control characters and without the secret, which
// a provider may quote, as spam filters do with a link.
func line(text, secret string) string {
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "[token]")
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if utf8.RuneCountInString(text) > maxReason {
		text = string([]rune(text)[:maxReason]) + "…"
	}
	return strings.TrimSpace(text)
}

// parseFrom takes MAIL_FROM: an address, with or without a name before it.
func parseFrom(from string) (*netmail.Address, error) {
	addr, err := netmail.ParseAddress(from)
	if err != nil || !domain.IsEmail(addr.Address) || !domain.IsLine(addr.Name) {
		return nil, fmt.Errorf("the sender %q is not a mail address", domain.Clip(from))
	}
	return addr, nil
}
