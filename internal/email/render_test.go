package email

import (
	"flag"
	"os"
	"path/filepath"
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
		"password-reset": newEvent(t, domain.EventPasswordReset, reset()),
		"email-changed":  newEvent(t, domain.EventEmailChanged, domain.EmailChanged{Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace"}),
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
		"unknown type":          newEvent(t, "user.vanished", invited()),
		"malformed data":        broken,
		"no token":              invitedWith(t, func(d *domain.UserInvited) { d.Token = "" }),
		"no token for a reset":  newEvent(t, domain.EventPasswordReset, domain.PasswordReset{Email: "ada@example.com"}),
		"unknown role":          invitedWith(t, func(d *domain.UserInvited) { d.Role = "Blatnoi" }),
		"no address":            invitedWith(t, func(d *domain.UserInvited) { d.Email = "" }),
		"header in the address": invitedWith(t, func(d *domain.UserInvited) { d.Email = "ada@example.com\r\nBcc: eve@example.com" }),
		"two addresses":         invitedWith(t, func(d *domain.UserInvited) { d.Email = "ada@example.com, eve@example.com" }),
		"header in a name":      invitedWith(t, func(d *domain.UserInvited) { d.FirstName = "Ada\r\nBcc: eve@example.com" }),
		"header in the inviter": invitedWith(t, func(d *domain.UserInvited) { d.InvitedBy = "Eve\n.\nMAIL FROM" }),
		"changed, no address":   newEvent(t, domain.EventEmailChanged, domain.EmailChanged{}),
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

func TestLine(t *testing.T) {
	assert.Equal(t, "550 spam link https://x/?token=[token] INFO fake", line("550 spam link https://x/?token="+token+"\nINFO fake\r\n", token))
	assert.Equal(t, strings.Repeat("ж", 300)+"…", line(strings.Repeat("ж", 301), ""))
	assert.Equal(t, "a?b c", line("a\xffb\u2028c", ""))
}
