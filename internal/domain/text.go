package domain

import (
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of texts, in characters (code points).
const (
	MaxEmail              = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	MaxPersonName         = 100
	MinUsername           = 3
	MaxUsername           = 32
	MaxCategoryName       = 100
	MaxProductName        = 200
	MaxProductDescription = 4000
	MaxSKU                = 64
	MaxClient             = 200
	MaxOrderDescription   = 2000
	MaxNote               = 500
	MaxSearch             = 200
)

// Fold gives the form of a text by which it is compared, searched and ordered without regard to case. It is
// computed here and stored, because the two databases fold letters beyond ASCII differently.
func Fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// Clip shortens a caller's text so that it can be quoted in a message: to 100 characters, without control characters.
func Clip(s string) string {
	const most = 100
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// Trim gives the text without spaces around it. Control characters stay, to be refused.
func Trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) && !unicode.IsControl(r) })
}

// ParseID takes the canonical form alone; uuid.Parse would also take braces, URNs and bare digits.
func ParseID(s string) (uuid.UUID, bool) {
	const canonical = 36
	id, err := uuid.Parse(s)
	return id, err == nil && len(s) == canonical
}

// Stamp writes a time as it is told to callers: RFC 3339 in UTC with milliseconds.
func Stamp(t time.Time) string { return string(AppendStamp(nil, t)) }

// AppendStamp is [Stamp] behind what there is.
func AppendStamp(to []byte, t time.Time) []byte {
	t = t.UTC()
	to = t.AppendFormat(to, time.RFC3339) // which has a fast way of its own
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(to[:len(to)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// IsText says whether both databases can hold the text: valid UTF-8 without NUL.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// IsLine says whether the text is one line: [IsText] and without control characters or line separators.
func IsLine(s string) bool {
	return IsText(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	})
}

// IsEmail says whether the text is one plain mail address in ASCII, local@domain, of at most [MaxEmail] characters.
// Quoted local parts and address literals (RFC 5321 section 4.1.2, 4.1.3) are refused: nobody's staff has one and
// they are the way to smuggle other addresses in.
func IsEmail(s string) bool {
	if len(s) > MaxEmail || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || addr.Address != s {
		return false
	}
	local, host, ok := strings.Cut(s, "@")
	if !ok || len(local) > 64 || strings.ContainsAny(s, `"()<>[]:;\,`) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notHostRune) {
			return false
		}
	}
	return true
}

func notHostRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
}

// IsUsername says whether the text is 3 to 32 ASCII letters, digits, underscores, dots or hyphens.
func IsUsername(s string) bool {
	return len(s) >= MinUsername && len(s) <= MaxUsername && !strings.ContainsFunc(s, func(r rune) bool {
		return notHostRune(r) && r != '_' && r != '.'
	})
}
