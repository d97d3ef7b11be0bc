package domain_test

import (
	"bytes"
	"net/mail"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

func TestIsEmail(t *testing.T) {
	label63 := strings.Repeat("d", 63)
	for email, want := range map[string]bool{
		"jane@example.com":                        true,
		"jane.doe+tag@mail.example.co.uk":         true,
		"JANE@EXAMPLE.COM":                        true,
		"o'neil/dept=x!#$%&*?^_`{|}~@example.com": true,
		"a@b":                                    true,
		"root@localhost":                         true,
		"1@2.3":                                  true,
		"a@xn--mnchen-3ya.example":               true,
		strings.Repeat("l", 64) + "@example.com": true,
		strings.Repeat("l", 65) + "@example.com": false,
		"a@" + label63 + ".com":                  true,
		"a@" + label63 + "d.com":                 false,
		"l@" + strings.Repeat(label63+".", 3) + strings.Repeat("e", 60):  true, // 254
		"lo@" + strings.Repeat(label63+".", 3) + strings.Repeat("e", 60): false,

		"":                                 false,
		"jane":                             false,
		"@example.com":                     false,
		"jane@":                            false,
		"jane@@example.com":                false,
		"jane@doe@example.com":             false,
		"jane@example..com":                false,
		"jane@.example.com":                false,
		"jane@example.com.":                false,
		"jane@-example.com":                false,
		"jane@example-.com":                false,
		"jane@exam_ple.com":                false,
		".jane@example.com":                false,
		"jane.@example.com":                false,
		"ja..ne@example.com":               false,
		" jane@example.com":                false,
		"jane@example.com ":                false,
		"jane doe@example.com":             false,
		"jane@example.com\n":               false,
		"jane@example.com\r\nBcc: e@x.com": false,
		"jane\t@example.com":               false,
		"jane\x00@example.com":             false,
		"jane@example.com\x00":             false,
		"jane\x7f@example.com":             false,
		"jäne@example.com":                 false,
		"jane@exämple.com":                 false,
		"jane\uff20example.com":            false, // a wide @
		"jane@ex\u0430mple.com":            false, // a Cyrillic a
		"jane\xff@example.com":             false,
		"Jane <jane@example.com>":          false,
		"<jane@example.com>":               false,
		"jane@example.com,e@x.com":         false,
		"jane@example.com;e@x.com":         false,
		"jane@example.com, e@x.com":        false,
		"friends:jane@example.com;":        false,
		`"jane doe"@example.com`:           false,
		`"jane"@example.com`:               false,
		`"a@b"@example.com`:                false,
		`jane\@x@example.com`:              false,
		"jane(comment)@example.com":        false,
		"jane@example.com(comment)":        false,
		"jane@[192.0.2.1]":                 false,
		"jane@[IPv6:2001:db8::1]":          false,
		"@a,@b:jane@example.com":           false,
		"=?utf-8?q?jane?=@example.com":     true, // plain characters to a mail server, which does not decode addresses
		"jane@example.com?subject=x":       false,
		"jane@example.com/path":            false,
		"jane%00@example.com":              true,
	} {
		require.Equal(t, want, domain.IsEmail(email), "%q", email)
		if want {
			_, err := mail.ParseAddress("<" + email + ">")
			require.NoError(t, err, "what is taken can be written into a header: %q", email)
		}
	}
}

func TestIsLine_IsText(t *testing.T) {
	for s, want := range map[string]struct{ line, text bool }{
		"":                          {true, true},
		"Ärger im Büro, 東京 🙂":       {true, true},
		"non-breaking\u00a0space":   {true, true},
		"replacement \ufffd":        {true, true},
		"two\nlines":                {false, true},
		"carriage\rreturn":          {false, true},
		"tab\tstop":                 {false, true},
		"escape \x1b[31m":           {false, true},
		"delete \x7f":               {false, true},
		"next line \u0085":          {false, true},
		"line separator \u2028":     {false, true},
		"paragraph separator\u2029": {false, true},
		"nul \x00":                  {false, false},
		"latin-1 \xe4":              {false, false},
		"surrogate \xed\xa0\x80":    {false, false},
		"overlong nul \xc0\x80":     {false, false},
		"cut \xe6\x9d":              {false, false},
	} {
		require.Equal(t, want.line, domain.IsLine(s), "%q", s)
		require.Equal(t, want.text, domain.IsText(s), "%q", s)
	}
}

func TestFold(t *testing.T) {
	for _, same := range [][]string{
		{"jane", "JANE", "Jane"},
		{"ärger", "ÄRGER", "Ärger"},
		{"éclair", "ÉCLAIR"},
		{"σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		{"привет", "ПРИВЕТ", "Привет"},
		{"k", "K", "\u212a"}, // the Kelvin sign
		{"s", "S", "ſ"},
		{"å", "Å", "\u212b"}, // the Ångström sign
		{"i", "I", "ı", "İ"}, // so that no two names differ by a dot alone
		{"ǆ", "Ǆ", "ǅ"},
		{"東京", "東京"},
	} {
		for _, s := range same {
			require.Equal(t, domain.Fold(same[0]), domain.Fold(s), "%q and %q", same[0], s)
			require.Equal(t, domain.Fold(s), domain.Fold(domain.Fold(s)), "folding twice is folding once")
		}
	}
	require.NotEqual(t, domain.Fold("a"), domain.Fold("á"))
	require.Equal(t, "a%_\\'", domain.Fold("A%_\\'"))
}

func TestFold_isStable(t *testing.T) {
	for r := range utf8.MaxRune + 1 {
		s := string(r)
		if folded := domain.Fold(s); domain.Fold(folded) != folded {
			t.Errorf("%q folds to %q and that to %q", s, folded, domain.Fold(folded))
		}
	}
}

func TestClip(t *testing.T) {
	for s, want := range map[string]string{
		"":                                "",
		"short":                           "short",
		"line\r\n\x1b[31m\x00":            "line???[31m?",
		"broken \xff":                     "broken ?",
		strings.Repeat("ä", 100):          strings.Repeat("ä", 100),
		strings.Repeat("ä", 101):          strings.Repeat("ä", 100) + "…",
		strings.Repeat("x", 1_000_000):    strings.Repeat("x", 100) + "…",
		strings.Repeat("\n", 101) + "end": strings.Repeat("?", 100) + "…",
	} {
		require.Equal(t, want, domain.Clip(s))
	}
}

func TestIsUsername(t *testing.T) {
	for s, want := range map[string]bool{
		"abc": true, "Tolya": true, "a.b-c_1": true, "...": true, "123": true, strings.Repeat("a", 32): true,
		"": false, "ab": false, strings.Repeat("a", 33): false, "a b": false, "abc ": false, "abc\n": false, "jäne": false, "abc@": false, "a/b": false, "ab\x00": false,
	} {
		require.Equal(t, want, domain.IsUsername(s), "%q", s)
	}
}

func TestPasswordFaults(t *testing.T) {
	const (
		short   = "The password must be at least 8 characters long"
		long    = "The password must be at most 128 characters long"
		control = "The password must not contain control characters"
		common  = "The password is one of the most common ones"
		own     = "The password must not be the username, the email or the name of the application"
	)
	for password, want := range map[string][]string{
		"Tolya123!":              nil,
		"12345678901":            {common},
		"correct horse battery":  nil,
		"日本語日本語日本":               nil,
		"🙂🙂🙂🙂🙂🙂🙂🙂":               nil,
		"        ":               nil, // composition is the user's business
		strings.Repeat("ä", 128): nil,
		strings.Repeat("ä", 129): {long},
		"":                       {short},
		"1234567":                {short},
		"日本語":                    {short},
		"new\nline1":             {control},
		"nul\x00nul\x00":         {control},
		"latin-1 \xe4":           {control},
		"a\tb":                   {short, control},
		"password1":              {common},
		"PassWord1":              {common},
		"jane.doe@example.com":   {own},
		"JANE.DOE@EXAMPLE.COM":   {own},
		"Jane.Doe":               {own}, // the email's part before the @
		"ToLyA_the_1":            {own}, // the username
		"InventoryHub":           {own},
		"inventory hub":          {own},
		"Inventory-Hub":          {own},
		"jane.doe@example.com1":  nil,
	} {
		require.Equal(t, want, domain.PasswordFaults(password, 8, "jane.doe@example.com", "", "tolya_the_1"), "%q", password)
	}
	require.Equal(t, []string{"The password must be at least 15 characters long"}, domain.PasswordFaults("Tolya123!", 15))
}

// TestPasswordFaults_wholeList finds every line of the list, which also proves that the list is sorted as the search needs it.
func TestPasswordFaults_wholeList(t *testing.T) {
	list, err := os.ReadFile("common_passwords.txt")
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(list, []byte("\n")))
	lines := strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")
	require.Len(t, lines, 17950)
	for _, line := range lines {
		if !slices.Contains(domain.PasswordFaults(strings.ToUpper(line), 8), "The password is one of the most common ones") {
			t.Errorf("%q is not found", line)
		}
		if slices.Contains(domain.PasswordFaults(line+"\x01", 8), "The password is one of the most common ones") {
			t.Errorf("%q is found with one character more", line)
		}
	}
}
