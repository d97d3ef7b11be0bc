package email

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"regexp"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"inventoryhub/internal/domain"
)

//go:embed templates
var templateFiles embed.FS

// kinds says how each type of event is told. Its texts are templates/<type>.html and .txt.
var kinds = map[domain.EventType]struct {
	subject string
	path    string // of the page that the link leads to; none without a token
	read    func(json.RawMessage) (letter, error)
}{
	domain.EventUserInvited:   {"You are invited to Inventory Hub", "/register", readInvited},
	domain.EventPasswordReset: {"Reset your Inventory Hub password", "/reset", readPasswordReset},
	domain.EventEmailChanged:  {"Your Inventory Hub mail address was changed", "", readEmailChanged},
	domain.EventStockLow:      {"A product is running low", "", readStockLow},
}

// letter is what the templates may use. Names are [inert].
type letter struct {
	Subject   string
	Name      string // the person written to
	InvitedBy string // empty when the server itself invites
	Role      string // in words, with its article
	Link      string
	ExpiresAt string // UTC
	AppURL    string

	Product      string
	SKU          string // empty when it has none
	Quantity     int64
	ReorderLevel int64

	to    string
	token string
}

// roles are the roles in words.
var roles = map[domain.Role]string{
	domain.RoleAdmin:        "an administrator",
	domain.RoleManager:      "a manager",
	domain.RoleUser:         "a user",
	domain.RoleReadonlyUser: "a read-only user",
}

// Render writes the mail of an event, with links that begin with appURL and a message id in the domain of from. What
// people chose (names) can neither add markup nor a header nor something to click on. It returns an error without any
// of the data for an event that can never be mailed: unknown type, malformed data or address.
func Render(e domain.Event, appURL, from string) (Mail, error) {
	kind, ok := kinds[e.Type]
	if !ok {
		return Mail{}, fmt.Errorf("render: the event type %q is not known", domain.Clip(string(e.Type)))
	}
	l, err := kind.read(e.Data)
	if err != nil {
		return Mail{}, fmt.Errorf("render %s: %w", e.Type, err)
	}
	sender, err := parseFrom(from)
	if err != nil {
		return Mail{}, fmt.Errorf("render %s: %w", e.Type, err)
	}
	l.Subject = kind.subject
	l.AppURL = strings.TrimRight(appURL, "/")
	if l.token != "" {
		l.Link = l.AppURL + kind.path + "?token=" + url.QueryEscape(l.token)
	}
	text, html, err := l.write(e.Type)
	if err != nil {
		return Mail{}, err
	}
	_, host, _ := strings.Cut(sender.Address, "@")
	return Mail{
		EventID: e.ID, At: e.At, To: l.to, ToName: l.Name, Subject: l.Subject, Text: text, HTML: html,
		MessageID: fmt.Sprintf("<%s@%s>", e.ID, host), secret: l.token,
	}, nil
}

func readInvited(data json.RawMessage) (letter, error) {
	d, err := decode[domain.UserInvited](data)
	if err != nil {
		return letter{}, err
	}
	role, ok := roles[d.Role]
	if !ok || d.Token == "" {
		return letter{}, errors.New("the role is not known or the token is missing")
	}
	if !domain.IsLine(d.InvitedBy) {
		return letter{}, errors.New("the inviter's name is not one line")
	}
	l, err := newLetter(d.Email, d.FirstName, d.LastName)
	l.InvitedBy, l.Role, l.token, l.ExpiresAt = inert(d.InvitedBy), role, d.Token, utc(d.ExpiresAt)
	return l, err
}

func readPasswordReset(data json.RawMessage) (letter, error) {
	d, err := decode[domain.PasswordReset](data)
	if err != nil {
		return letter{}, err
	}
	if d.Token == "" {
		return letter{}, errors.New("the token is missing")
	}
	l, err := newLetter(d.Email, d.FirstName, d.LastName)
	l.token, l.ExpiresAt = d.Token, utc(d.ExpiresAt)
	return l, err
}

func readEmailChanged(data json.RawMessage) (letter, error) {
	d, err := decode[domain.EmailChanged](data)
	if err != nil {
		return letter{}, err
	}
	return newLetter(d.Email, d.FirstName, d.LastName)
}

func readStockLow(data json.RawMessage) (letter, error) {
	d, err := decode[domain.StockLow](data)
	if err != nil {
		return letter{}, err
	}
	if d.ProductName == "" || !domain.IsLine(d.ProductName) || !domain.IsLine(d.SKU) {
		return letter{}, errors.New("the product's name or SKU is not one line")
	}
	l, err := newLetter(d.Email, d.FirstName, d.LastName)
	l.Product, l.SKU, l.Quantity, l.ReorderLevel = inert(d.ProductName), inert(d.SKU), d.Quantity, d.ReorderLevel
	return l, err
}

func decode[T any](data json.RawMessage) (T, error) {
	var d T
	if err := json.Unmarshal(data, &d); err != nil {
		// json's own text may quote the token.
		return d, errors.New("the data does not fit the type")
	}
	return d, nil
}

func newLetter(email, firstName, lastName string) (letter, error) {
	if !domain.IsEmail(email) {
		return letter{}, errors.New("the recipient's address is not one")
	}
	name := strings.TrimSpace(firstName + " " + lastName)
	if !domain.IsLine(name) {
		return letter{}, errors.New("the recipient's name is not one line")
	}
	return letter{Name: inert(name), to: email}, nil
}

// utc writes a moment for people; the mail does not know their time zone.
func utc(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// maxShownName bounds a printed name, in characters: a full name is at most two names and a space.
const maxShownName = 2*domain.MaxPersonName + 1

var (
	linkLike   = regexp.MustCompile(`://|@|(?i:www)\.|[\pL\pM\pN]\.[\pL\pN]{2}`)
	linkJoints = regexp.MustCompile(`[.:/@]`)
)

// inert makes a name that only shows. Marks that turn the direction of the text around it go away, and what mail
// programs would take for a link ("see http://evil.example") gets invisible word joiners, so that it is not clickable.
func inert(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, name)
	if utf8.RuneCountInString(name) > maxShownName {
		name = string([]rune(name)[:maxShownName]) + "…"
	}
	if linkLike.MatchString(name) {
		name = linkJoints.ReplaceAllString(name, "$0\u2060")
	}
	return name
}

var (
	htmlTemplates = parseAll(func(t domain.EventType) *htmltemplate.Template {
		return htmltemplate.Must(htmltemplate.ParseFS(templateFiles, "templates/layout.html", "templates/"+string(t)+".html"))
	})
	textTemplates = parseAll(func(t domain.EventType) *texttemplate.Template {
		return texttemplate.Must(texttemplate.ParseFS(templateFiles, "templates/layout.txt", "templates/"+string(t)+".txt"))
	})
)

func parseAll[T any](parse func(domain.EventType) T) map[domain.EventType]T {
	all := make(map[domain.EventType]T, len(kinds))
	for t := range kinds {
		all[t] = parse(t)
	}
	return all
}

func (l letter) write(t domain.EventType) (text, html string, err error) {
	var textBody, htmlBody strings.Builder
	if err := textTemplates[t].ExecuteTemplate(&textBody, "layout.txt", l); err != nil {
		return "", "", fmt.Errorf("render %s as text: %w", t, err)
	}
	if err := htmlTemplates[t].ExecuteTemplate(&htmlBody, "layout.html", l); err != nil {
		return "", "", fmt.Errorf("render %s as HTML: %w", t, err)
	}
	return textBody.String(), htmlBody.String(), nil
}
