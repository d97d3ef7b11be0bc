package attacks_test

import (
	"fmt"
	"mime"
	"net/http"
	"net/mail"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	anyLink   = regexp.MustCompile(`(?i)[a-z]+://[^\s"<>]+`)
	anyTarget = regexp.MustCompile(`(?i)\s(?:href|src|action|background|cite|data)\s*=\s*"?([^"\s>]*)`)
	anyTag    = regexp.MustCompile(`<[^>]*>`)
	active    = regexp.MustCompile(`(?i)<(script|img|iframe|object|embed|form|input|base|link|svg)\b|\son[a-z]+\s*=`)
)

// harmless wants a mail that goes to one address, says what the server says, and leads to the server alone.
func (l letter) harmless(t *testing.T, to string) {
	t.Helper()
	head, _, found := strings.Cut(l.raw, "\r\n\r\n")
	require.True(t, found)
	for name, want := range map[string]int{"To": 1, "From": 1, "Subject": 1, "Date": 1, "Message-Id": 1, "Mime-Version": 1, "Content-Type": 1, "Bcc": 0, "Cc": 0, "Reply-To": 0, "X-Evil": 0, "Sender": 0, "Content-Disposition": 0} {
		require.Len(t, l.header[name], want, name)
	}
	require.NotRegexp(t, `(?im)^(bcc|cc|x-evil):`, head)
	for line := range strings.SplitSeq(l.raw, "\r\n") {
		require.LessOrEqual(t, len(line), 998, "RFC 5322 section 2.1.1")
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\r")
	}
	list, err := mail.ParseAddressList(l.header.Get("To"))
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, strings.ToLower(to), strings.ToLower(list[0].Address))
	from, err := mail.ParseAddress(l.header.Get("From"))
	require.NoError(t, err)
	require.Equal(t, "inventory-hub@localhost", from.Address)
	subject, err := new(mime.WordDecoder).DecodeHeader(l.header.Get("Subject"))
	require.NoError(t, err)
	require.Regexp(t, `^(You are invited to Inventory Hub|Reset your Inventory Hub password|Your Inventory Hub mail address was changed)$`, subject)
	for _, body := range []string{l.text, l.html} {
		require.NotEmpty(t, body)
		for _, link := range anyLink.FindAllString(body, -1) {
			require.True(t, strings.HasPrefix(link, appURL), link)
		}
	}
	for _, tag := range anyTag.FindAllString(l.html, -1) {
		require.NotRegexp(t, active, tag)
		if target := anyTarget.FindStringSubmatch(tag); target != nil {
			require.True(t, strings.HasPrefix(target[1], appURL), tag)
		}
	}
}

// attackMails: what people write into their names stays a name in the mails that bear it.
func attackMails(t *testing.T, s *server) {
	for _, c := range []struct{ name, first, last string }{
		{"HTML", "<b>x</b>", "<script>alert(1)</script>"}, {"a picture", `<img src="https://evil.example/x.png">`, "x"}, {"an attribute", `" onmouseover="alert(1)`, "'x'"}, {"the end of the page", "</body></html><h1>", "x"}, {"a comment", "<!--", "-->"}, {"an entity", "&lt;b&gt;", "&#60;b&#62;"},
		{"a template", "{{.Token}}", "{{template \"content\" .}}"}, {"another template", "${7*7}", "<%= 7*7 %>"}, {"a format", "%s%n%d", "%x"}, {"a link", "see http://evil.example/login", "now"}, {"a bare address", "evil.example", "www.evil.example"}, {"Markdown", "[here](http://evil.example)", "x"}, {"JavaScript", "javascript:alert(1)", "x"},
		{"a mail address", "boss@evil.example", "x"}, {"a header", "Bcc: evil@example.com", "Subject: x"}, {"encoded words", "=?utf-8?q?=0d=0aBcc:_evil@example.com?=", "=?utf-8?b?PGI+?="}, {"soft breaks", "=0D=0ABcc: evil@example.com", "=\u00a0"}, {"an address list", "a@x.com, evil@example.com", "; x"}, {"angle brackets", "<evil@example.com>", "x"},
		{"quotes", `"Jane" \"`, `\`}, {"a comment in an address", "(evil@example.com)", "x"}, {"right to left", "\u202eevil\u202c", "\u2066x"}, {"zero width", "a\u200bb", "\ufeffx"}, {"a dot", ".", "."}, {"the end of SMTP", ".", "QUIT"}, {"100 wide characters", strings.Repeat("🦀", 100), strings.Repeat("é", 100)}, {"a boundary", "--boundary", "--"},
		{"a soft hyphen", "a\u00adb", "x"}, {"percent", "%0d%0aBcc: x", "%0a"}, {"a style", "<style>*{display:none}</style>", "x"}, {"From at the start", "From evil", ">From"}, {"a null", "null", "undefined"},
	} {
		t.Run("name/"+c.name, func(t *testing.T) {
			email := s.unique("named") + "@example.com"
			s.staff[manager].post(t, "/auth/invite", invitee(email, user).but(j{"firstName": c.first, "lastName": c.last})).wants(t, http.StatusCreated)
			l := s.letter(t, email, 1)
			l.harmless(t, email)
			token := l.token(t)
			require.NotContains(t, strings.ReplaceAll(l.text, appURL+"/register?token="+token, ""), token, "the token stands in the link alone")
			if strings.HasPrefix(c.name, "a ") { // the other mails bear the name in the same way
				return
			}
			s.anonymous().post(t, "/auth/register", s.registering(token)).wants(t, http.StatusCreated)
			s.anonymous().post(t, "/auth/forgot", j{"email": email}).wants(t, http.StatusAccepted)
			s.letter(t, email, 2).harmless(t, email)
		})
	}
	for i, name := range []string{"a\r\nBcc: evil@example.com", "a\nBcc: evil@example.com", "a\rBcc: evil@example.com", "a\x00", "a\u2028Bcc: x", "a\u0085Bcc: x", "\r\n\r\n<h1>", "a\x0bb", "a\x1b[2J", ""} {
		t.Run(fmt.Sprintf("name refused/%d %q", i, name), func(t *testing.T) {
			s.unchanged(t, func() {
				email := s.unique("named") + "@example.com"
				s.admin.post(t, "/auth/invite", invitee(email, user).but(j{"firstName": name})).refuses(t, http.StatusBadRequest, "firstName")
				s.admin.post(t, "/auth/invite", invitee(email, user).but(j{"lastName": name})).refuses(t, http.StatusBadRequest, "lastName")
				s.admin.put(t, "/users/"+s.staff[user].id, invitee(s.staff[user].email, user).but(j{"firstName": name})).refuses(t, http.StatusBadRequest, "firstName")
			})
		})
	}
	t.Run("inviter's name", func(t *testing.T) {
		inviter := s.newUser(t, manager)
		s.admin.put(t, "/users/"+inviter.id, invitee(inviter.email, manager).but(j{"firstName": "<a href=http://evil.example>", "lastName": "Bcc: evil@example.com"})).wants(t, http.StatusNoContent)
		email := s.unique("invited") + "@example.com"
		inviter.post(t, "/auth/invite", invitee(email, user)).wants(t, http.StatusCreated)
		s.letter(t, email, 1).harmless(t, email)
	})
	t.Run("the old address is told of a change", func(t *testing.T) {
		c := s.newUser(t, user)
		s.admin.put(t, "/users/"+c.id, invitee("new-"+c.email, user).but(j{"firstName": "<b>"})).wants(t, http.StatusNoContent)
		l := s.letter(t, c.email, 2)
		l.harmless(t, c.email)
		require.NotContains(t, l.raw, "token=")
		require.NotContains(t, l.text+l.html, "new-", "the new address is nobody's business")
	})
	for _, headers := range [][]string{
		{"Host", "evil.example"}, {"Host", "hub.example.com:80@evil.example"}, {"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Server", "evil.example"}, {"X-Host", "evil.example"}, {"X-Original-Host", "evil.example"}, {"Forwarded", "host=evil.example;proto=http"}, {"X-Forwarded-Proto", "javascript"}, {"X-Forwarded-Prefix", "/evil"},
		{"X-Original-URL", "http://evil.example/"}, {"Origin", "https://evil.example"}, {"Referer", "https://evil.example/"}, {"X-Forwarded-Port", "1337"},
	} {
		t.Run("link/"+strings.Join(headers, " "), func(t *testing.T) {
			if strings.Contains(headers[1], "@") { // which net/http refuses
				s.raw(t, "POST /auth/forgot HTTP/1.1\r\nHost: "+headers[1]+"<\r\nConnection: close\r\n\r\n").alone(t, http.StatusBadRequest)
				return
			}
			email := s.unique("linked") + "@example.com"
			s.admin.post(t, "/auth/invite", invitee(email, user), headers...).wants(t, http.StatusCreated)
			l := s.letter(t, email, 1)
			l.harmless(t, email)
			require.Contains(t, l.text, appURL+"/register?token=")
			s.anonymous().post(t, "/auth/register", s.registering(l.token(t)), headers...).wants(t, http.StatusCreated)
			s.anonymous().post(t, "/auth/forgot", j{"email": email}, headers...).wants(t, http.StatusAccepted)
			l = s.letter(t, email, 2)
			l.harmless(t, email)
			require.Contains(t, l.text, appURL+"/reset?token=")
			require.NotContains(t, l.raw, "evil")
		})
	}
	t.Run("tokens are not alike", func(t *testing.T) {
		seen := map[string]bool{}
		for range 5 {
			_, token := s.invite(t, user)
			require.Len(t, token, 43)
			for other := range seen {
				require.NotEqual(t, other[:8], token[:8])
			}
			seen[token] = true
		}
	})
}
