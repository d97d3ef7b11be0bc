package domain

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPassword is the longest password in characters (ASVS 5.0 6.2.9 asks for at least 64). A bound is needed
// because every one that arrives is hashed.
const MaxPassword = 128

// MinPassword is the shortest password that may be configured, in characters (ASVS 5.0 6.2.1).
const MinPassword = 8

//go:embed common_passwords.txt
var commonPasswords string

// isCommonPassword looks the password up among the 17,950 most common ones of eight and more characters
// (ASVS 5.0 6.2.4 asks for 3,000), without regard to case. The list is sorted, one a line.
func isCommonPassword(p string) bool {
	lower := strings.ToLower(p)
	lines := commonPasswords
	for lines != "" {
		mid := len(lines) / 2
		start := strings.LastIndexByte(lines[:mid], '\n') + 1
		end := start + strings.IndexByte(lines[start:], '\n')
		switch strings.Compare(lines[start:end], lower) {
		case 0:
			return true
		case -1:
			lines = lines[end+1:]
		default:
			lines = lines[:start]
		}
	}
	return false
}

// PasswordFaults says in whole sentences what is wrong with a new password, or nothing. Any composition is
// taken (ASVS 5.0 6.2.5); what counts is the length in characters, and that the password is neither common nor one of the owner's
// own words: username, email, its part before the @, and the product's name. own may hold empty texts.
func PasswordFaults(password string, minLength int, own ...string) []string {
	var faults []string
	n := utf8.RuneCountInString(password)
	if n < minLength {
		faults = append(faults, "The password must be at least "+strconv.Itoa(minLength)+" characters long")
	}
	if n > MaxPassword {
		faults = append(faults, "The password must be at most "+strconv.Itoa(MaxPassword)+" characters long")
	}
	if !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl) {
		faults = append(faults, "The password must not contain control characters")
	}
	if isCommonPassword(password) {
		faults = append(faults, "The password is one of the most common ones")
	}
	words := append([]string{"inventoryhub", "inventory hub", "inventory-hub"}, own...)
	for _, w := range own {
		if local, _, isEmail := strings.Cut(w, "@"); isEmail {
			words = append(words, local)
		}
	}
	folded := Fold(password)
	if slices.ContainsFunc(words, func(w string) bool { return w != "" && Fold(w) == folded }) {
		faults = append(faults, "The password must not be the username, the email or the name of the application")
	}
	return faults
}
