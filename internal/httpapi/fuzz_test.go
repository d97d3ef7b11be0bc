package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/token"
)

// FuzzSearch gives a product any name and description, on both engines, and searches for any text: either may be refused, but what is
// taken is kept to the letter, and it is found where Go finds it.
func FuzzSearch(f *testing.F) {
	for _, seed := range [][3]string{
		{"iPhone 12", "Better than iPhone 11 (maybe)", "PHONE"}, {"100% cotton", `a_b\c`, "%"}, {"100 cotton", `a\b`, "_"}, {`\%`, "", `\`}, {"x", "", `\%`},
		{"Straße", "ſ", "STRASSE"}, {"Ärger", "İstanbul ı", "ä"}, {"Σίσυφος", "", "ΣΊΣΥΦΟΣ"}, {"\u212a", "\u01c5", "k"}, {"e\u0301", "\U00010400", "\u00e9"}, {"ΣΊΣΥΦΟΣ", "", "Σίσυφος"},
		{"a\x00", "", ""}, {"a", "\xff", "\x00"}, {" a ", "b\nc", "a\nb"}, {"\ufffd", "", "\xff"}, {strings.Repeat("ä", 200), "'; DROP TABLE products; --", strings.Repeat("ä", 200)},
		{"?", "$1 :x @x", "?"}, {"tolya's", "[a-z]* ^$", "[a-z]*"}, {"\u1e9e\uabff", "\u0345\u1fb3", "\u00df"}, {"{}", `{"a":1}`, `"`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	type shelf struct {
		s                 *server
		item, order, user string
	}
	var shelves []shelf
	for _, url := range []string{storetest.SQLiteURL(f), storetest.PostgresURL(f)} {
		s := newServer(f, storetest.Open(f, url))
		item := s.product("x", "Anything", 1)
		user := domain.NewDraft("o_'x%@example.com", "Élodie 100%", `Straße_\`, domain.RoleUser, s.now())
		require.NoError(f, s.store.Users.Create(f.Context(), user))
		shelves = append(shelves, shelf{s, item, s.order(item, 1, domain.OrderDraft), user.ID.String()})
	}
	f.Fuzz(func(t *testing.T, name, description, search string) {
		trimmed := strings.TrimSpace(name)
		goodName := domain.IsLine(name) && trimmed != "" && utf8.RuneCountInString(trimmed) <= domain.MaxProductName
		goodDescription := domain.IsText(description) && utf8.RuneCountInString(description) <= domain.MaxProductDescription
		goodSearch := domain.IsLine(search) && utf8.RuneCountInString(search) <= domain.MaxSearch
		for _, shelf := range shelves {
			shelf.s.t = t
			admin := shelf.s.as(domain.RoleAdmin)
			put := admin.form(http.MethodPut, "/products/"+shelf.item, part{name: "name", value: name}, part{name: "category", value: "Anything"},
				part{name: "description", value: description})
			if !goodName || !goodDescription {
				var faulty []string
				if !goodName {
					faulty = append(faulty, "name")
				}
				if !goodDescription {
					faulty = append(faulty, "description")
				}
				put.refuses(http.StatusBadRequest, faulty...)
				continue
			}
			body := put.wants(http.StatusOK).json()
			require.Equal(t, trimmed, body["name"])
			require.Equal(t, description, body["description"])
			require.Equal(t, body, admin.get("/products/"+shelf.item).wants(http.StatusOK).json())

			for path, texts := range map[string][]string{
				"products/" + shelf.item:         {trimmed, description},
				"products/orders/" + shelf.order: {trimmed, "John Doe Enterprises"},
				"users/" + shelf.user:            {"o_'x%@example.com", `Élodie 100% Straße_\`},
			} {
				list, id := path[:strings.LastIndexByte(path, '/')], path[strings.LastIndexByte(path, '/')+1:]
				found := admin.get("/" + list + "?pageSize=100&search=" + url.QueryEscape(search))
				if !goodSearch {
					found.refuses(http.StatusBadRequest, "search")
					continue
				}
				want := false
				for _, text := range texts {
					want = want || strings.Contains(strings.ToLower(strings.ToUpper(text)), strings.ToLower(strings.ToUpper(search)))
					require.True(t, want || !containsFold(text, search), "%q is in %q, without regard to case", search, text)
				}
				require.Equal(t, want, strings.Contains(found.wants(http.StatusOK).Body, `{"id":"`+id+`"`), "%q in %q at /%s", search, texts, list)
			}
		}
	})
}

// FuzzImport tries any file as products: it is taken or refused with a reason, and a dry run of it writes nothing.
func FuzzImport(f *testing.F) {
	s := embedded(f)
	manager := s.as(domain.RoleManager)
	item := s.product("iPhone 12", "Electronics", 10)
	head := "id,sku,name,category,quantity,reorderLevel,description,createdAt,updatedAt\n"
	for _, text := range []string{
		"", "\ufeff", "sku", "sku\n", head, head + item + ",A,x,Electronics,1,2,\"a\r\nb\",,\n", head + ",A,x,Electronics,1,,,,\n,a,x,Electronics,1,,,,\n", "sku,sku\n", "id\n\"", "id\na\"b\n",
		"sku,quantity\r\n'=1,\u0665\r\n\r\n\"\"\"\",-0\r\n", "sku;name\n", "id,sku\n" + item + "\n", "\xff\xfe", "sku,quantity\nA,9223372036854775807\n", "\r\n\r\nsku\r",
	} {
		f.Add(text)
	}
	s.stop(s.now()) // the access token lasts
	before := s.dump()
	f.Fuzz(func(t *testing.T, text string) {
		s.t = t
		a := manager.post("/products/import?dryRun=true", file(text))
		require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, a.Status, a.Body)
		if a.Status == http.StatusBadRequest {
			require.NotEmpty(t, a.refuses(http.StatusBadRequest, "file")["file"])
		}
		require.Equal(t, before, s.dump())
	})
}

// containsFold looks for part at each place of the text, by Unicode's own simple folding.
func containsFold(text, part string) bool {
	runes, n := []rune(text), utf8.RuneCountInString(part)
	for i := 0; i+n <= len(runes); i++ {
		if strings.EqualFold(string(runes[i:i+n]), part) {
			return true
		}
	}
	return false
}

// pair is a session's tokens. They are the same in every process, so that the fuzzer can learn from them.
type pair struct {
	id, user                        string
	access, expired, refresh, spent string
}

// newPair makes a user with a session whose first refresh token was spent.
func newPair(s *server, name, digit string) pair {
	at := s.now()
	user := domain.NewDraft(name+"@example.com", name, name, domain.RoleUser, at)
	user.ID = uuid.MustParse("0195a000-0000-7000-8000-0000000000a" + digit)
	user.Activate(name, "$", at)
	require.NoError(s.t, s.store.Users.Create(s.t.Context(), user))
	row := domain.NewSession(user.ID, 168*time.Hour, 720*time.Hour, at)
	row.ID = uuid.MustParse("0195a000-0000-7000-8000-0000000000b" + digit)
	p := pair{id: row.ID.String(), user: user.ID.String(), refresh: strings.Repeat(digit, 43), spent: "spent" + strings.Repeat(digit, 38)}
	p.access, p.expired = signed(p, at), signed(p, at.Add(-time.Hour))
	require.NoError(s.t, s.store.Sessions.Create(s.t.Context(), row, domain.RefreshToken{Hash: token.Hash(p.spent), SessionID: row.ID, CreatedAt: at, SpentAt: &at}))
	require.NoError(s.t, s.store.Sessions.AddRefresh(s.t.Context(), domain.RefreshToken{Hash: token.Hash(p.refresh), SessionID: row.ID, CreatedAt: at}))
	return p
}

// signed makes an access token as the server does, with the tests' key (RFC 7515 section 3.1).
func signed(p pair, at time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"at+jwt"}`)) + "." + encode(fmt.Appendf(nil,
		`{"iss":"inventoryhub","aud":["inventoryhub"],"sub":"%s","sid":"%s","jti":"1","iat":%d,"nbf":%[3]d,"exp":%d}`, p.user, p.id, at.Unix(), at.Add(15*time.Minute).Unix()))
	mac := hmac.New(sha256.New, []byte(strings.Repeat("k", 32)))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// FuzzRefresh shows any two tokens: a session's own give a new pair, its own with a spent one end it, and all others do nothing at all.
func FuzzRefresh(f *testing.F) {
	s := embedded(f)
	s.stop(newYear)
	pairs := []pair{newPair(s, "tolya", "1"), newPair(s, "john", "2")}
	for i, p := range pairs {
		other := pairs[1-i]
		for _, access := range []string{p.access, p.expired, other.access} {
			for _, refresh := range []string{p.refresh, p.spent} {
				f.Add("Bearer "+access, refresh)
			}
		}
		f.Add("bearer "+p.access, p.refresh)
		f.Add("Bearer "+p.refresh, p.access)
		f.Add(" Bearer  "+p.access+" ", p.refresh+"\n")
		f.Add("Bearer "+p.access+"="+p.expired, p.refresh+other.refresh)
	}
	for _, odd := range []string{"", "\x00", "\xff", "null", strings.Repeat("1", 201), "' OR 1=1 --"} {
		f.Add(odd, odd)
		f.Add("Bearer "+odd, odd)
		f.Add("Bearer "+pairs[0].access, odd)
	}
	f.Fuzz(func(t *testing.T, authorization, refresh string) {
		s.t = t
		body, err := json.Marshal(j{"refreshToken": refresh})
		require.NoError(t, err)
		a := s.anonymous().do(http.MethodPost, "/auth/refresh", body, "Authorization", authorization)
		scheme, access, _ := strings.Cut(authorization, " ")
		ended := ""
		for _, p := range pairs {
			own := strings.EqualFold(scheme, "Bearer") && (access == p.access || access == p.expired)
			switch {
			case own && refresh == p.refresh:
				next := a.wants(http.StatusOK).json()
				require.Len(t, next, 2, a.Body)
				(&client{s: s, access: next["accessToken"].(string)}).get("/users/me").wants(http.StatusOK)
				require.NotEqual(t, refresh, next["refreshToken"])
				s.exec("DELETE FROM refresh_tokens WHERE hash = '" + token.Hash(next["refreshToken"].(string)) + "'")
				s.exec("UPDATE refresh_tokens SET spent_at = NULL WHERE hash = '" + token.Hash(refresh) + "'")
				a.Status = 0
			case own && refresh == p.spent:
				a.refuses(http.StatusUnauthorized, "refreshToken")
				ended = p.id
			}
		}
		if a.Status != 0 {
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge}, a.Status, a.Body)
			require.Len(t, a.json(), 1, a.Body)
			require.NotEmpty(t, a.json()["errors"], a.Body)
		}
		for _, p := range pairs {
			me := (&client{s: s, access: p.access}).get("/users/me")
			if p.id == ended {
				me.refuses(http.StatusUnauthorized, "authorization")
				s.exec("UPDATE sessions SET ended_at = NULL WHERE id = '" + p.id + "'")
			} else {
				require.Equal(t, p.user, me.wants(http.StatusOK).json()["id"])
			}
		}
	})
}
