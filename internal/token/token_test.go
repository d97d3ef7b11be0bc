package token_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/token"
)

const (
	secret = "0123456789abcdef0123456789abcdef"
	ttl    = 15 * time.Minute
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	who  = token.Claims{UserID: uuid.MustParse("0195a000-0000-7000-8000-000000000001"), SessionID: uuid.MustParse("0195a000-0000-7000-8000-000000000002")}
)

func newIssuer(t testing.TB, now time.Time) *token.Issuer {
	t.Helper()
	issuer, err := token.NewIssuer([]byte(secret), ttl, func() time.Time { return now })
	require.NoError(t, err)
	return issuer
}

// refused checks that a token is refused by both, and how.
func refused(t *testing.T, raw string, verifiers ...func(string) (token.Claims, error)) {
	t.Helper()
	for _, verify := range verifiers {
		claims, err := verify(raw)
		require.Equal(t, domain.Unauthenticated("authorization", "The access token is not valid"), err)
		require.Zero(t, claims)
	}
}

// part is a segment of a token: JSON in base64url.
func part(v any) string {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(encoded)
}

// mac signs what stands before the last dot as HS256 does.
func mac(signed, key string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

type object = map[string]any

func goodHeader() object { return object{"alg": "HS256", "typ": "at+jwt"} }

func goodClaims() object {
	return object{
		"iss": "inventoryhub", "aud": []string{"inventoryhub"}, "sub": who.UserID, "sid": who.SessionID, "jti": "1",
		"iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Add(ttl).Unix(),
	}
}

// with gives the object with some members changed; nil removes one.
func with(o object, members ...any) object {
	o = maps.Clone(o)
	for i := 0; i < len(members); i += 2 {
		o[members[i].(string)] = members[i+1]
		if members[i+1] == nil {
			delete(o, members[i].(string))
		}
	}
	return o
}

func forge(header, claims object) string { return mac(part(header)+"."+part(claims), secret) }

func TestNewIssuer_secretOf32Bytes(t *testing.T) {
	_, err := token.NewIssuer([]byte(secret[:31]), ttl, time.Now)
	require.EqualError(t, err, "the secret for signing has 31 bytes, but needs 32")
	_, err = token.NewIssuer([]byte(secret), ttl, time.Now)
	require.NoError(t, err)
}

func TestIssue_saysNoMoreThanItMust(t *testing.T) {
	raw, err := newIssuer(t, noon).Issue(who)
	require.NoError(t, err)
	segments := strings.Split(raw, ".")
	require.Len(t, segments, 3)
	var header, claims object
	for i, v := range []*object{&header, &claims} {
		decoded, err := base64.RawURLEncoding.DecodeString(segments[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(decoded, v))
	}
	require.Equal(t, goodHeader(), header)
	require.NotEmpty(t, claims["jti"])
	require.Equal(t, object{
		"iss": "inventoryhub", "aud": []any{"inventoryhub"}, "sub": who.UserID.String(), "sid": who.SessionID.String(), "jti": claims["jti"],
		"iat": float64(noon.Unix()), "nbf": float64(noon.Unix()), "exp": float64(noon.Add(ttl).Unix()),
	}, claims)

	again, err := newIssuer(t, noon).Issue(who)
	require.NoError(t, err)
	require.NotEqual(t, raw, again, "each token has an id of its own")
}

func TestVerify_roundTrip(t *testing.T) {
	issuer := newIssuer(t, noon)
	raw, err := issuer.Issue(who)
	require.NoError(t, err)
	for _, genuine := range []string{raw, forge(goodHeader(), goodClaims())} {
		for _, verify := range []func(string) (token.Claims, error){issuer.Verify, issuer.VerifyExpired} {
			claims, err := verify(genuine)
			require.NoError(t, err)
			require.Equal(t, token.Claims{UserID: who.UserID, SessionID: who.SessionID, ExpiresAt: noon.Add(ttl)}, claims)
		}
	}
}

func TestVerify_forged(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	sign := func(method jwt.SigningMethod, key any) string {
		of := jwt.NewWithClaims(method, jwt.MapClaims(goodClaims()))
		of.Header["typ"] = "at+jwt"
		raw, err := of.SignedString(key)
		require.NoError(t, err)
		return raw
	}
	unsigned := part(goodHeader()) + "." + part(goodClaims())
	genuine := mac(unsigned, secret)
	signature := genuine[strings.LastIndexByte(genuine, '.')+1:]
	otherUser := part(with(goodClaims(), "sub", uuid.New()))

	for name, raw := range map[string]string{
		"empty":                          "",
		"one dot":                        ".",
		"two dots":                       "..",
		"no JWT":                         "secret",
		"a refresh token":                token.NewSecret(),
		"five parts":                     genuine + "." + part(object{}) + "." + part(object{}),
		"dots alone":                     strings.Repeat(".", 4096),
		"dots without end":               strings.Repeat(".", 1<<20),
		"header alone":                   part(goodHeader()),
		"without signature":              unsigned,
		"empty signature":                unsigned + ".",
		"cut signature":                  genuine[:len(genuine)-1],
		"half a signature":               unsigned + "." + signature[:len(signature)/2],
		"lengthened signature":           genuine + "AA",
		"another user's claims":          part(goodHeader()) + "." + otherUser + "." + signature,
		"other key":                      mac(unsigned, strings.Repeat("x", 32)),
		"empty key":                      mac(unsigned, ""),
		"key with a byte more":           mac(unsigned, secret+"\x01"),
		"alg none":                       part(with(goodHeader(), "alg", "none")) + "." + part(goodClaims()) + ".",
		"alg none, signed":               forge(with(goodHeader(), "alg", "none"), goodClaims()),
		"alg None":                       part(with(goodHeader(), "alg", "None")) + "." + part(goodClaims()) + ".",
		"alg missing":                    forge(with(goodHeader(), "alg", nil), goodClaims()),
		"alg empty":                      forge(with(goodHeader(), "alg", ""), goodClaims()),
		"alg null":                       mac(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":null,"typ":"at+jwt"}`))+"."+part(goodClaims()), secret),
		"alg in small letters":           forge(with(goodHeader(), "alg", "hs256"), goodClaims()),
		"alg as a list":                  forge(with(goodHeader(), "alg", []string{"HS256"}), goodClaims()),
		"alg HS384":                      sign(jwt.SigningMethodHS384, []byte(secret)),
		"alg HS512":                      sign(jwt.SigningMethodHS512, []byte(secret)),
		"alg RS256, signed so":           sign(jwt.SigningMethodRS256, rsaKey),
		"alg RS256, signed by the MAC":   forge(with(goodHeader(), "alg", "RS256"), goodClaims()),
		"alg PS256":                      sign(jwt.SigningMethodPS256, rsaKey),
		"alg HS256 said, HS512 meant":    part(goodHeader()) + "." + part(goodClaims()) + "." + strings.Split(sign(jwt.SigningMethodHS512, []byte(secret)), ".")[2],
		"kid to another key":             mac(part(with(goodHeader(), "kid", "/dev/null"))+"."+part(goodClaims()), ""),
		"jwk with its own key":           mac(part(with(goodHeader(), "jwk", object{"kty": "oct", "k": "AAAA"}))+"."+part(goodClaims()), "\x00\x00\x00"),
		"jku to another key":             mac(part(with(goodHeader(), "jku", "http://127.0.0.1:1/keys"))+"."+part(goodClaims()), "key"),
		"typ JWT":                        forge(with(goodHeader(), "typ", "JWT"), goodClaims()),
		"typ in capitals":                forge(with(goodHeader(), "typ", "AT+JWT"), goodClaims()),
		"typ as a media type":            forge(with(goodHeader(), "typ", "application/at+jwt"), goodClaims()),
		"typ missing":                    forge(with(goodHeader(), "typ", nil), goodClaims()),
		"typ as a list":                  forge(with(goodHeader(), "typ", []string{"at+jwt"}), goodClaims()),
		"header no object":               mac(part("HS256")+"."+part(goodClaims()), secret),
		"claims no object":               mac(part(goodHeader())+"."+part([]string{"sub"}), secret),
		"claims null":                    mac(part(goodHeader())+"."+part(nil), secret),
		"claims no JSON":                 mac(part(goodHeader())+"."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub"`)), secret),
		"claims with something after":    mac(part(goodHeader())+"."+base64.RawURLEncoding.EncodeToString([]byte(`{} {}`)), secret),
		"too long":                       forge(goodHeader(), with(goodClaims(), "x", strings.Repeat("x", 4096))),
		"Bearer before it":               "Bearer " + genuine,
		"space before it":                " " + genuine,
		"space after it":                 genuine + " ",
		"line feed after it":             genuine + "\n",
		"line feed in it":                genuine[:len(genuine)-5] + "\r\n" + genuine[len(genuine)-5:],
		"NUL after it":                   genuine + "\x00",
		"padding after it":               genuine + "=",
		"comma and another":              genuine + "," + genuine,
		"last bits of the MAC not zero":  genuine[:len(genuine)-1] + string(nonCanonical(genuine[len(genuine)-1])),
		"MAC in the standard alphabet":   standardAlphabet(t),
		"quoted":                         `"` + genuine + `"`,
		"encrypted (five parts) by name": part(object{"alg": "dir", "enc": "A256GCM"}) + "...." + signature,
	} {
		t.Run(name, func(t *testing.T) {
			issuer := newIssuer(t, noon)
			refused(t, raw, issuer.Verify, issuer.VerifyExpired)
		})
	}
}

// nonCanonical gives another character that lenient base64 decodes to the same byte: the last one of 32 bytes carries four bits.
func nonCanonical(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)|1]
}

// standardAlphabet gives a genuine token whose MAC is written with + and / instead of - and _.
func standardAlphabet(t *testing.T) string {
	t.Helper()
	for n := range 1000 {
		genuine := forge(goodHeader(), with(goodClaims(), "n", n))
		dot := strings.LastIndexByte(genuine, '.')
		if strings.ContainsAny(genuine[dot:], "-_") {
			return genuine[:dot] + strings.NewReplacer("-", "+", "_", "/").Replace(genuine[dot:])
		}
	}
	t.Fatal("no MAC with - or _")
	return ""
}

// TestVerify_claims changes one claim at a time. All tokens are signed with the right key.
func TestVerify_claims(t *testing.T) {
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	expired := func(members ...any) object {
		return with(goodClaims(), append([]any{"iat", at(-time.Hour), "nbf", at(-time.Hour), "exp", at(-45 * time.Minute)}, members...)...)
	}
	type answer struct{ verify, verifyExpired bool }
	neither, both, refreshOnly := answer{false, false}, answer{true, true}, answer{false, true}
	cases := map[string]struct {
		claims object
		want   answer
	}{
		"as issued":                       {goodClaims(), both},
		"more than we know":               {with(goodClaims(), "role", "Admin"), both},
		"audience as a text":              {with(goodClaims(), "aud", "inventoryhub"), both},
		"audience among others":           {with(goodClaims(), "aud", []string{"a", "inventoryhub"}), both},
		"no issuer":                       {with(goodClaims(), "iss", nil), neither},
		"other issuer":                    {with(goodClaims(), "iss", "inventoryhub2"), neither},
		"issuer in capitals":              {with(goodClaims(), "iss", "InventoryHub"), neither},
		"issuer as a list":                {with(goodClaims(), "iss", []string{"inventoryhub"}), neither},
		"no audience":                     {with(goodClaims(), "aud", nil), neither},
		"empty audience":                  {with(goodClaims(), "aud", ""), neither},
		"audience of none":                {with(goodClaims(), "aud", []string{}), neither},
		"other audience":                  {with(goodClaims(), "aud", []string{"other"}), neither},
		"no subject":                      {with(goodClaims(), "sub", nil), neither},
		"empty subject":                   {with(goodClaims(), "sub", ""), neither},
		"subject is no id":                {with(goodClaims(), "sub", "admin"), neither},
		"subject is a number":             {with(goodClaims(), "sub", 1), neither},
		"no session":                      {with(goodClaims(), "sid", nil), neither},
		"session is no id":                {with(goodClaims(), "sid", "1"), neither},
		"no token id":                     {with(goodClaims(), "jti", nil), neither},
		"empty token id":                  {with(goodClaims(), "jti", ""), neither},
		"no issue time":                   {with(goodClaims(), "iat", nil), neither},
		"issue time as a text":            {with(goodClaims(), "iat", "now"), neither},
		"issued later than leeway":        {with(goodClaims(), "iat", at(31*time.Second)), neither},
		"issued within leeway":            {with(goodClaims(), "iat", at(30*time.Second)), both},
		"no begin":                        {with(goodClaims(), "nbf", nil), neither},
		"begins later than leeway":        {with(goodClaims(), "nbf", at(31*time.Second)), neither},
		"begins within leeway":            {with(goodClaims(), "nbf", at(30*time.Second)), both},
		"no end":                          {with(goodClaims(), "exp", nil), neither},
		"end as a text":                   {with(goodClaims(), "exp", "2099-01-01"), neither},
		"ended within leeway":             {with(goodClaims(), "exp", at(-29*time.Second)), both},
		"ended longer ago than leeway":    {with(goodClaims(), "exp", at(-30*time.Second)), refreshOnly},
		"expired":                         {expired(), refreshOnly},
		"expired a year ago":              {expired("iat", at(-8761*time.Hour), "nbf", at(-8761*time.Hour), "exp", at(-8760*time.Hour)), refreshOnly},
		"expired, and no issuer":          {expired("iss", nil), neither},
		"expired, and other issuer":       {expired("iss", "other"), neither},
		"expired, and no audience":        {expired("aud", nil), neither},
		"expired, and other audience":     {expired("aud", "other"), neither},
		"expired, and no subject":         {expired("sub", nil), neither},
		"expired, and no session":         {expired("sid", nil), neither},
		"expired, and no token id":        {expired("jti", nil), neither},
		"expired, and no issue time":      {expired("iat", nil), neither},
		"expired, and no begin":           {expired("nbf", nil), neither},
		"expired before it was issued":    {expired("iat", at(0)), neither},
		"expired before it began":         {expired("nbf", at(0)), neither},
		"expired, and issued in a future": {expired("iat", at(time.Hour)), neither},
		"expired, and begins in a future": {expired("nbf", at(time.Hour)), neither},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			issuer, raw := newIssuer(t, noon), forge(goodHeader(), c.claims)
			_, err := issuer.Verify(raw)
			_, errExpired := issuer.VerifyExpired(raw)
			require.Equal(t, c.want, answer{err == nil, errExpired == nil})
			if err != nil {
				refused(t, raw, issuer.Verify)
			}
			if errExpired != nil {
				refused(t, raw, issuer.VerifyExpired)
			}
		})
	}
}

func TestNewSecret_256RandomBits(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := token.NewSecret()
		decoded, err := base64.RawURLEncoding.DecodeString(s)
		require.NoError(t, err)
		require.Len(t, decoded, 32)
		require.False(t, seen[s])
		seen[s] = true
	}
}

func TestHash_isSHA256(t *testing.T) {
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", token.Hash("abc")) // FIPS 180-2 appendix B.1
	require.NotEqual(t, token.Hash("abc"), token.Hash("ABC"))
}

// FuzzVerify: whoever does not know the secret gets nothing accepted but what was issued, to the letter.
func FuzzVerify(f *testing.F) {
	issuer, genuine := newIssuer(f, noon), forge(goodHeader(), goodClaims()) // an issued one would differ from process to process
	segments := strings.Split(genuine, ".")
	for _, seed := range []string{
		genuine, "", "..", "a.b.c", genuine + ".", genuine + "=", genuine + "\n", "\r" + genuine, strings.ReplaceAll(genuine, ".", ".\n"),
		part(object{"alg": "none", "typ": "at+jwt"}) + "." + segments[1] + ".", segments[0] + "." + part(goodClaims()) + "." + segments[2],
		strings.Repeat(".", 100), strings.Join(slices.Repeat(segments, 3), "."), strings.ToLower(genuine),
		genuine[:200],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, verify := range []func(string) (token.Claims, error){issuer.Verify, issuer.VerifyExpired} {
			if claims, err := verify(raw); err == nil {
				require.Equal(t, genuine, raw)
				require.Equal(t, token.Claims{UserID: who.UserID, SessionID: who.SessionID, ExpiresAt: noon.Add(ttl)}, claims)
			} else {
				refused(t, raw, verify)
			}
		}
	})
}
