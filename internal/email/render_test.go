package email

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

const (
	appURL = "https://hub.example.com/app/"
	from   = "Inventory Hub <hub@mail.example.com>"
	token  = "Jx0t8q_-Zr5uPc1vYb3nWm7kLs9dQf2hGj4aTe6iRoU"
)

var happened = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func newEvent(t testing.TB, typ domain.EventType, data any) domain.Event {
	t.Helper()
	e, err := domain.NewEvent(typ, uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), happened, data)
	require.NoError(t, err)
	e.ID = uuid.MustParse("01890a5d-0000-7000-8000-000000000001")
	return e
}

func invited() domain.UserInvited {
	return domain.UserInvited{
		Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", Role: domain.RoleManager,
		InvitedBy: "Charles Babbage", Token: token, ExpiresAt: happened.Add(72 * time.Hour).In(time.FixedZone("", 7200)),
	}
}

func reset() domain.PasswordReset {
	return domain.PasswordReset{Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", Token: token, ExpiresAt: happened.Add(30 * time.Minute)}
}

func low(product, sku string) domain.StockLow {
	return domain.StockLow{
		Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", ProductID: uuid.MustParse("01890a5d-0000-7000-8000-000000000002"),
		ProductName: product, SKU: sku, Quantity: 2, ReorderLevel: 5,
	}
}

func invitedWith(t testing.TB, change func(*domain.UserInvited)) domain.Event {
	t.Helper()
	data := invited()
	change(&data)
	return newEvent(t, domain.EventUserInvited, data)
}

func TestRender_golden(t *testing.T) {
	cases := map[string]domain.Event{
		"invited":           newEvent(t, domain.EventUserInvited, invited()),
		"invited-by-server": invitedWith(t, func(d *domain.UserInvited) { d.InvitedBy, d.Role = "", domain.RoleAdmin }),
		"invited-hostile": invitedWith(t, func(d *domain.UserInvited) {
			d.FirstName = `<b>x</b>"'&{{.Link}}`
			d.LastName = "\u202eecalevoL\u202c שלום " + strings.Repeat("Wolfeschlegelsteinhausen", 3)
			d.InvitedBy = "Win at http://evil.example/?a=b or www.evil.example"
			d.Role = domain.RoleReadonlyUser
		}),
		"password-reset":    newEvent(t, domain.EventPasswordReset, reset()),
		"stock-low":         newEvent(t, domain.EventStockLow, low("Nail 5 mm", "N-1")),
		"stock-low-hostile": newEvent(t, domain.EventStockLow, low("<b>x</b> {{.Link}} http://evil.example \u202e"+strings.Repeat("long", 40), "www.evil.example")),
		"stock-low-no-sku":  newEvent(t, domain.EventStockLow, low("Nail 5 mm", "")),
		"email-changed":     newEvent(t, domain.EventEmailChanged, domain.EmailChanged{Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace"}),
	}
	for name, e := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := Render(e, appURL, from)
			require.NoError(t, err)
			golden(t, name+".txt", "Subject: "+m.Subject+"\nTo: "+m.ToName+" <"+m.To+">\nMessage-ID: "+m.MessageID+"\n\n"+m.Text)
			golden(t, name+".html", m.HTML)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "if this is meant, run the test with -update")
}

func TestRender_hostile_names_are_inert(t *testing.T) {
	names := []string{
		`<b>x</b>`, `"><script>alert(1)</script>`, `</bdi></td><img src=x onerror=1>`, `' onmouseover='x`, `{{.Link}}`, `&lt;b&gt;`,
		"javascript:alert(1)", "http://evil.example", "evil.example", "a@evil.example", "\u202eevil\u2066", "=?utf-8?q?x?=",
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			m, err := Render(invitedWith(t, func(d *domain.UserInvited) { d.FirstName, d.LastName, d.InvitedBy = name, name, name }), appURL, from)
			require.NoError(t, err)
			plain, err := Render(newEvent(t, domain.EventUserInvited, invited()), appURL, from)
			require.NoError(t, err)
			assert.Equal(t, strings.Count(plain.HTML, "<"), strings.Count(m.HTML, "<"), "no tag more than without the name")
			assert.Equal(t, strings.Count(plain.HTML, `"`), strings.Count(m.HTML, `"`), "no attribute")
			for _, body := range []string{m.HTML, m.Text, m.ToName} {
				assert.NotContains(t, body, "evil.example")
				assert.NotContains(t, body, "http://evil")
				assert.NotContains(t, body, "a@e")
				assert.NotContains(t, body, "\u202e")
				assert.NotContains(t, body, "\u2066")
			}
			assert.Contains(t, m.Text, "https://hub.example.com/app/register?token="+token)
		})
	}
}

func TestInert(t *testing.T) {
	for name, want := range map[string]string{
		"Ada Lovelace": "Ada Lovelace", "J. R. R. Tolkien, Jr.": "J. R. R. Tolkien, Jr.", "12.5 %": "12.5 %", "a: b/c": "a: b/c",
		"t.co/x": "t.\u2060co/\u2060x", "x.com": "x.\u2060com", "e\u0301.example": "e\u0301.\u2060example", "a@b": "a@\u2060b", "WWW.x": "WWW.\u2060x",
		"see http://localhost": "see http:\u2060/\u2060/\u2060localhost", "7.62.1.1": "7.\u206062.\u20601.\u20601",
	} {
		assert.Equal(t, want, inert(name))
	}
}

func TestRender_very_long_names_are_cut(t *testing.T) {
	m, err := Render(invitedWith(t, func(d *domain.UserInvited) { d.FirstName = strings.Repeat("ж", 10_000) }), appURL, from)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("ж", 201)+"…", m.ToName)
}

func TestRender_refuses(t *testing.T) {
	broken := newEvent(t, domain.EventUserInvited, invited())
	broken.Data = []byte(`{"email":"ada@example.com","token":7,"x":"` + token + `"}`)
	cases := map[string]domain.Event{
		"unknown type":           newEvent(t, "user.vanished", invited()),
		"malformed data":         broken,
		"no token":               invitedWith(t, func(d *domain.UserInvited) { d.Token = "" }),
		"no token for a reset":   newEvent(t, domain.EventPasswordReset, domain.PasswordReset{Email: "ada@example.com"}),
		"unknown role":           invitedWith(t, func(d *domain.UserInvited) { d.Role = "Blatnoi" }),
		"no address":             invitedWith(t, func(d *domain.UserInvited) { d.Email = "" }),
		"header in the address":  invitedWith(t, func(d *domain.UserInvited) { d.Email = "ada@example.com\r\nBcc: eve@example.com" }),
		"two addresses":          invitedWith(t, func(d *domain.UserInvited) { d.Email = "ada@example.com, eve@example.com" }),
		"header in a name":       invitedWith(t, func(d *domain.UserInvited) { d.FirstName = "Ada\r\nBcc: eve@example.com" }),
		"header in the inviter":  invitedWith(t, func(d *domain.UserInvited) { d.InvitedBy = "Eve\n.\nMAIL FROM" }),
		"changed, no address":    newEvent(t, domain.EventEmailChanged, domain.EmailChanged{}),
		"low, no product":        newEvent(t, domain.EventStockLow, low("", "")),
		"low, name of two lines": newEvent(t, domain.EventStockLow, low("a\nb", "")),
		"low, SKU of two lines":  newEvent(t, domain.EventStockLow, low("a", "b\r\nc")),
	}
	for name, e := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Render(e, appURL, from)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), token)
			assert.NotContains(t, err.Error(), "example.com")
		})
	}
}

// FuzzRender invites people with any names. What is a mail at all has its own headers, one recipient, no tag or link but its own, and the
// link to accept the invitation, also when it is read back from the bytes that are sent.
func FuzzRender(f *testing.F) {
	for _, name := range []string{
		"", "Ada", " Ada ", "<b>x</b>", `"><script>alert(1)</script>`, `</bdi></td><img src=x onerror=1>`, "' onmouseover='x", "{{.Link}}", "&lt;b&gt;&amp;", "--", "=?utf-8?q?x?=",
		"http://evil.example/?a=b", "www.evil.example", "t.co/x", "a@evil.example", "\u202eevil\u2066", "Ada\r\nBcc: eve@example.com", "Ada\x00", "\xff", "Ада, \"Q\" (c)", ".", "=3D=\t",
		strings.Repeat("Wolfeschlegelsteinhausen", 10), strings.Repeat("ж.", 150), "]]>", "<!--", "\ufeff\u2060",
	} {
		f.Add("ada@example.com", name, "Lovelace", name)
	}
	for _, address := range []string{"", "a", "ada@example.com, eve@example.com", "ada@example.com\r\nBcc: eve@example.com", "Ada <ada@example.com>", `"a b"@example.com`, "a'{}|&=?@x-y.example"} {
		f.Add(address, "Ada", "Lovelace", "")
	}
	plain, err := Render(newEvent(f, domain.EventUserInvited, invited()), appURL, from)
	require.NoError(f, err)
	sender, err := parseFrom(from)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, address, first, last, inviter string) {
		e := invitedWith(t, func(d *domain.UserInvited) {
			d.Email, d.FirstName, d.LastName, d.InvitedBy = address, first, last, inviter
		})
		m, err := Render(e, appURL, from)
		if err != nil {
			require.NotContains(t, err.Error(), token)
			return
		}
		message, err := newMessage(m, sender)
		require.NoError(t, err)
		recipients, err := message.GetRecipients()
		require.NoError(t, err)
		require.Equal(t, []string{"<" + address + ">"}, recipients)
		var sent bytes.Buffer
		_, err = message.WriteTo(&sent)
		require.NoError(t, err)
		text, html := readBack(t, sent.Bytes(), m)
		require.Equal(t, m.Text, text)
		require.Equal(t, m.HTML, html)

		want := plain
		if m.ToName == "" || inert(inviter) == "" { // the sentence is another one without
			want, err = Render(invitedWith(t, func(d *domain.UserInvited) {
				if m.ToName == "" {
					d.FirstName, d.LastName = "", ""
				}
				if inert(inviter) == "" {
					d.InvitedBy = ""
				}
			}), appURL, from)
			require.NoError(t, err)
		}
		require.Equal(t, tags(want.HTML), tags(html), "no tag more or other than with plain names")
		link := "https://hub.example.com/app/register?token=" + token
		require.Equal(t, 2, strings.Count(html, `href="`+link+`"`))
		require.Contains(t, html, ">"+link+"</a>")
		require.Contains(t, text, "\n"+link+"\n")
		for _, own := range []string{link, "https://hub.example.com/app"} {
			text = strings.ReplaceAll(text, own, "")
		}
		require.NotRegexp(t, clickable, text)
		require.NotRegexp(t, clickable, m.ToName)
	})
}

// FuzzRender_data renders any data of every type of event: it is refused without a word of it, or makes a whole mail.
func FuzzRender_data(f *testing.F) {
	for _, data := range []any{invited(), reset(), domain.EmailChanged{Email: "ada@example.com", FirstName: "Ada"}, low("Nail", "N-1"), nil, []int{}, map[string]any{"email": 7}} {
		encoded, err := json.Marshal(data)
		require.NoError(f, err)
		f.Add(encoded)
	}
	for _, data := range []string{"", "{", `{"email":"ada@example.com","EMAIL":"x"}`, `{"email":"ada@example.com","firſtName":"\u0000"}`, `{"email":"a@b.c","token":"&x=\"<\u2028","expiresAt":"9999-12-31T23:59:59-12:00","role":"User"}`} {
		f.Add([]byte(data))
	}
	sender, err := parseFrom(from)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		for kind := range kinds {
			m, err := Render(domain.Event{ID: uuid.MustParse("01890a5d-0000-7000-8000-000000000001"), Type: kind, At: happened, Data: data}, appURL, from)
			if err != nil {
				require.NotContains(t, err.Error(), token)
				continue
			}
			message, err := newMessage(m, sender)
			require.NoError(t, err)
			var sent bytes.Buffer
			_, err = message.WriteTo(&sent)
			require.NoError(t, err)
			readBack(t, sent.Bytes(), m)
		}
	})
}

// clickable is what mail programs make a link of in a plain text.
var clickable = regexp.MustCompile(`://|[^\s]@[^\s\x{2060}]|(?i:www)\.[\pL\pN]|[\pL\pM\pN]\.\pL{2}`)

// tags lists the tags of an HTML document. In a text and in an attribute, < and > are written otherwise.
func tags(html string) []string { return regexp.MustCompile(`<[^>]*>`).FindAllString(html, -1) }

// readBack reads a mail as its recipient's program does, and gives its two bodies.
func readBack(t *testing.T, raw []byte, m Mail) (text, html string) {
	t.Helper()
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		require.LessOrEqual(t, len(line), 998, "RFC 5322 section 2.1.1")
		require.NotContains(t, string(line), "\n")
		require.NotContains(t, string(line), "\r")
	}
	read, err := netmail.ReadMessage(bytes.NewReader(raw))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}, slices.Collect(maps.Keys(read.Header)))
	for name, values := range read.Header {
		require.Len(t, values, 1, name)
	}
	to, err := read.Header.AddressList("To")
	require.NoError(t, err)
	require.Len(t, to, 1)
	require.Equal(t, m.To, to[0].Address)
	if to[0].Name != "" || !strings.Contains(m.ToName, `\`) { // with a backslash a name may be left out
		require.Equal(t, m.ToName, to[0].Name)
	}
	require.Equal(t, m.Subject, read.Header.Get("Subject"))
	require.Equal(t, m.MessageID, read.Header.Get("Message-Id"))
	media, params, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", media)
	var bodies []string
	parts := multipart.NewReader(read.Body, params["boundary"])
	for _, want := range []string{"text/plain; charset=UTF-8", "text/html; charset=UTF-8"} {
		part, err := parts.NextPart()
		require.NoError(t, err)
		require.Equal(t, want, part.Header.Get("Content-Type"))
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		bodies = append(bodies, strings.ReplaceAll(string(body), "\r\n", "\n"))
	}
	_, err = parts.NextPart()
	require.Equal(t, io.EOF, err)
	return bodies[0], bodies[1]
}

func TestLine(t *testing.T) {
	assert.Equal(t, "550 spam link https://x/?token=[token] INFO fake", line("550 spam link https://x/?token="+token+"\nINFO fake\r\n", token))
	assert.Equal(t, strings.Repeat("ж", 300)+"…", line(strings.Repeat("ж", 301), ""))
	assert.Equal(t, "a?b c", line("a\xffb\u2028c", ""))
}
