package attacks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// encode is base64url without padding (RFC 7515 section 2).
func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// segment encodes a part of a token; a text goes as it is.
func segment(t *testing.T, part any) string {
	t.Helper()
	if text, ok := part.(string); ok {
		return encode([]byte(text))
	}
	data, err := json.Marshal(part)
	require.NoError(t, err)
	return encode(data)
}

// signed makes a token with an HMAC.
func signed(t *testing.T, h func() hash.Hash, key string, header, claims any) string {
	t.Helper()
	input := segment(t, header) + "." + segment(t, claims)
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// but is a copy with other members; nil takes one away.
func (o j) but(others j) j {
	changed := maps.Clone(o)
	for name, value := range others {
		if value == nil {
			delete(changed, name)
		} else {
			changed[name] = value
		}
	}
	return changed
}

// opened gives header and claims of a token.
func opened(t *testing.T, token string) (header, claims j) {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	for i, target := range []*j{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		require.NoError(t, err)
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.UseNumber()
		require.NoError(t, dec.Decode(target))
	}
	return header, claims
}

// canary listens for a server that fetches what it is told to. It gives its URL and how often it was called.
func canary(t *testing.T) (url string, calls func() int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var count atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			_ = conn.Close()
		}
	}()
	return "http://" + listener.Addr().String(), count.Load
}

// flip changes one bit of what a segment encodes.
func flip(t *testing.T, encoded string) string {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	return encode(data)
}

type forgery struct{ name, token string }

// forgeries are tokens that nobody may take for one of the victim's.
func forgeries(t *testing.T, victim, other *client, canary string) []forgery {
	t.Helper()
	header, claims := opened(t, victim.access)
	_, others := opened(t, other.access)
	parts := strings.Split(victim.access, ".")
	payload := parts[0] + "." + parts[1]
	right := func(header, claims any) string { return signed(t, sha256.New, jwtSecret, header, claims) }
	guessed := func(key string) string { return signed(t, sha256.New, key, header, claims) }
	claim := func(name string, value any) string { return right(header, claims.but(j{name: value})) }
	unsigned := func(alg string) string { return segment(t, header.but(j{"alg": alg})) + "." + parts[1] + "." }
	later := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	require.NotEqual(t, victim.access, right(header, claims.but(j{"jti": "1"})))

	all := []forgery{
		{"alg none", unsigned("none")}, {"alg None", unsigned("None")}, {"alg NONE", unsigned("NONE")}, {"alg nOnE", unsigned("nOnE")}, {"alg empty", unsigned("")},
		{"alg none with the signature", segment(t, header.but(j{"alg": "none"})) + "." + parts[1] + "." + parts[2]},
		{"alg none signed rightly", right(header.but(j{"alg": "none"}), claims)},
		{"HS256 without a signature", payload + "."},
		{"HS384 with the right key", signed(t, sha512.New384, jwtSecret, header.but(j{"alg": "HS384"}), claims)},
		{"HS512 with the right key", signed(t, sha512.New, jwtSecret, header.but(j{"alg": "HS512"}), claims)},
		{"HS256 that says HS512", right(header.but(j{"alg": "HS512"}), claims)},
		{"HS512 that says HS256", signed(t, sha512.New, jwtSecret, header, claims)},
		{"alg hs256", right(header.but(j{"alg": "hs256"}), claims)},
		{"alg with a space", right(header.but(j{"alg": "HS256 "}), claims)},
		{"alg RS256 with an HMAC", right(header.but(j{"alg": "RS256"}), claims)},
		{"alg ES256 with an HMAC", right(header.but(j{"alg": "ES256"}), claims)},
		{"alg EdDSA with an HMAC", right(header.but(j{"alg": "EdDSA"}), claims)},
		{"alg PS256 with an HMAC", right(header.but(j{"alg": "PS256"}), claims)},
		{"alg dir", right(header.but(j{"alg": "dir", "enc": "A256GCM"}), claims)},
		{"alg missing", right(header.but(j{"alg": nil}), claims)}, {"alg a number", right(header.but(j{"alg": 256}), claims)},
		{"alg a list", right(header.but(j{"alg": []string{"HS256"}}), claims)}, {"alg null", right(`{"alg":null,"typ":"at+jwt"}`, claims)},

		{"typ JWT", right(header.but(j{"typ": "JWT"}), claims)}, {"typ missing", right(header.but(j{"typ": nil}), claims)}, {"typ empty", right(header.but(j{"typ": ""}), claims)},
		{"typ a list", right(header.but(j{"typ": []string{"at+jwt"}}), claims)}, {"typ of a logout token", right(header.but(j{"typ": "logout+jwt"}), claims)},
		{"header a list", right(`["HS256"]`, claims)}, {"header null", right("null", claims)}, {"header empty", right("", claims)}, {"header no JSON", right("{alg:HS256}", claims)},

		{"key empty", guessed("")}, {"key secret", guessed("secret")}, {"key changeme", guessed("changeme")}, {"key of zeros", guessed(strings.Repeat("\x00", 32))},
		{"key the issuer", guessed("inventoryhub")}, {"key cut", guessed(jwtSecret[:32])}, {"key with a line end", guessed(jwtSecret + "\n")}, {"key in base64", guessed(encode([]byte(jwtSecret)))},
		{"kid of an empty file", signed(t, sha256.New, "", header.but(j{"kid": "../../../../dev/null"}), claims)},
		{"kid with SQL", signed(t, sha256.New, "x", header.but(j{"kid": "' UNION SELECT 'x' --"}), claims)},
		{"kid a command", signed(t, sha256.New, "x", header.but(j{"kid": "|id"}), claims)},
		{"jwk of mine", signed(t, sha256.New, "x", header.but(j{"jwk": j{"kty": "oct", "k": encode([]byte("x"))}}), claims)},
		{"jku of mine", signed(t, sha256.New, "x", header.but(j{"jku": canary + "/keys.json", "kid": "x"}), claims)},
		{"x5u of mine", signed(t, sha256.New, "x", header.but(j{"x5u": canary + "/cert.pem"}), claims)},

		{"iss other", claim("iss", "evil")}, {"iss a list", claim("iss", []string{"inventoryhub"})}, {"iss in capitals", claim("iss", "InventoryHub")},
		{"aud other", claim("aud", "evil")}, {"aud others", claim("aud", []string{"a", "b"})}, {"aud empty", claim("aud", "")}, {"aud no one", claim("aud", []string{})}, {"aud a number", claim("aud", 5)},
		{"sub of another", claim("sub", other.id)}, {"sub of nobody", claim("sub", uuid.NewString())}, {"sub of no form", claim("sub", "admin")}, {"sub empty", claim("sub", "")},
		{"sub a number", claim("sub", 1)}, {"sub with SQL", claim("sub", claims["sub"].(string)+"' OR '1'='1")}, {"sub of an Admin", claim("sub", victim.s.admin.id)},
		{"sid of another", claim("sid", others["sid"])}, {"sid of nobody", claim("sid", uuid.NewString())}, {"sid of no form", claim("sid", "x")}, {"sid empty", claim("sid", "")},
		{"sid the user", claim("sid", victim.id)}, {"sid nothing but zeros", claim("sid", uuid.Nil.String())}, {"sub and sid swapped", right(header, claims.but(j{"sub": claims["sid"], "sid": claims["sub"]}))},
		{"jti empty", claim("jti", "")}, {"jti a number", claim("jti", 7)},
		{"exp a text", claim("exp", "2999-01-01T00:00:00Z")}, {"exp null", right(header, strings.Replace(segmentText(t, claims), `"exp":`, `"exp":null,"e":`, 1))},
		{"exp beyond numbers", right(header, strings.Replace(segmentText(t, claims), `"exp":`, `"exp":1e999,"e":`, 1))}, {"exp true", claim("exp", true)},
		{"nbf in an hour", claim("nbf", later(time.Hour))}, {"nbf a text", claim("nbf", "soon")}, {"iat in an hour", claim("iat", later(time.Hour))}, {"iat a text", claim("iat", "2021-01-01")},
		{"claims a list", right(header, "[]")}, {"claims null", right(header, "null")}, {"claims a text", right(header, `"`+victim.id+`"`)}, {"claims empty", right(header, "{}")},
		{"claims no JSON", right(header, "{sub}")}, {"claims twice", right(header, segmentText(t, claims)+"{}")}, {"claims invalid UTF-8", right(header, "{\"sub\":\"\xff\xfe\"}")},

		{"empty", ""}, {"one dot", "."}, {"two dots", ".."}, {"three dots", "..."}, {"twelve thousand dots", strings.Repeat(".", 12000)},
		{"one part", parts[0]}, {"two parts", payload}, {"four parts", victim.access + "." + parts[2]}, {"five parts", strings.Repeat(parts[0]+".", 4) + parts[2]},
		{"a dot at the end", victim.access + "."}, {"a dot at the start", "." + victim.access},
		{"signature cut by one", victim.access[:len(victim.access)-1]}, {"signature longer by one", victim.access + "A"}, {"signature of the header", payload + "." + parts[0]},
		{"signature flipped", payload + "." + flip(t, parts[2])}, {"payload flipped", parts[0] + "." + flip(t, parts[1]) + "." + parts[2]}, {"payload of another", parts[0] + "." + strings.Split(other.access, ".")[1] + "." + parts[2]},
		{"signature with other trailing bits", victim.access[:len(victim.access)-1] + trailing(victim.access)}, {"padded", victim.access + "="}, {"in plain base64", parts[0] + "." + parts[1] + ".+/" + parts[2][2:]},
		{"quoted", `"` + victim.access + `"`}, {"with a space inside", parts[0] + " ." + parts[1] + "." + parts[2]}, {"with a comment", victim.access + ",x"}, {"escaped", strings.ReplaceAll(victim.access, ".", "%2e")},
		{"as JSON", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`},
		{"five thousand bytes, signed", right(header.but(j{"x": strings.Repeat("x", 5000)}), claims)}, {"nine thousand bytes", strings.Repeat("A", 9000)}, {"deep, signed", right(header, `{"x":`+strings.Repeat("[", 1500)+strings.Repeat("]", 1500)+`}`)},
		{"the refresh token", victim.refresh}, {"the password", victim.password}, {"the id", victim.id}, {"null", "null"}, {"undefined", "undefined"},
	}
	for _, name := range []string{"iss", "aud", "sub", "sid", "jti", "exp", "nbf", "iat"} {
		all = append(all, forgery{name + " missing", right(header, claims.but(j{name: nil}))})
	}
	return append(all, keyPairs(t, header, parts[1])...)
}

func segmentText(t *testing.T, o j) string {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	return string(text)
}

// trailing gives a last character that decodes to the same bytes as the token's own, since its two lowest bits do not count.
func trailing(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, token[len(token)-1])^1])
}

// keyPairs are tokens that an attacker signed by a key of his own, which they bring along.
func keyPairs(t *testing.T, header j, claims string) []forgery {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	input := func(alg string, jwk j) (string, []byte) {
		text := segment(t, header.but(j{"alg": alg, "jwk": jwk})) + "." + claims
		sum := sha256.Sum256([]byte(text))
		return text, sum[:]
	}
	rsaText, rsaSum := input("RS256", j{"kty": "RSA", "e": "AQAB", "n": encode(rsaKey.N.Bytes())})
	rsaSignature, err := rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, rsaSum)
	require.NoError(t, err)
	ecText, ecSum := input("ES256", j{"kty": "EC", "crv": "P-256"})
	r, s, err := ecdsa.Sign(rand.Reader, ecKey, ecSum)
	require.NoError(t, err)
	edText, _ := input("EdDSA", j{"kty": "OKP", "crv": "Ed25519", "x": encode(edPublic)})
	zeroText, _ := input("ES256", j{"kty": "EC", "crv": "P-256"})
	fixed := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }
	return []forgery{
		{"RS256 by a key of mine", rsaText + "." + encode(rsaSignature)},
		{"ES256 by a key of mine", ecText + "." + encode(append(fixed(r), fixed(s)...))},
		{"EdDSA by a key of mine", edText + "." + encode(ed25519.Sign(edKey, []byte(edText)))},
		{"ES256 with a signature of zeros", zeroText + "." + encode(make([]byte, 64))},
	}
}

// attackTokens: nothing but a token of the server's own opens a session, nor carries one on.
func attackTokens(t *testing.T, s *server) {
	victim, other := s.newUser(t, user), s.newUser(t, user)
	url, calls := canary(t)
	for _, f := range forgeries(t, victim, other, url) {
		t.Run("forged/"+f.name, func(t *testing.T) {
			liar := victim.with("")
			liar.get(t, "/users/me", "Authorization", "Bearer "+f.token).refuses(t, http.StatusUnauthorized, "authorization")
			liar.post(t, "/auth/refresh", j{"refreshToken": victim.refresh}, "Authorization", "Bearer "+f.token).refuses(t, http.StatusUnauthorized, "authorization")
			victim.alive(t)
		})
	}
	t.Run("no key is fetched", func(t *testing.T) { require.Zero(t, calls()) })

	me := func(t *testing.T, headers ...string) answer {
		t.Helper()
		return s.anonymous().get(t, "/users/me", headers...)
	}
	for _, c := range []struct {
		name    string
		headers []string
	}{
		{"none", nil},
		{"two alike", []string{"Authorization", "Bearer " + victim.access, "Authorization", "Bearer " + victim.access}},
		{"two, the right one first", []string{"Authorization", "Bearer " + victim.access, "Authorization", "Bearer x"}},
		{"two, the right one last", []string{"Authorization", "Bearer x", "Authorization", "Bearer " + victim.access}},
		{"two in one", []string{"Authorization", "Bearer " + victim.access + ", Bearer " + other.access}},
		{"no scheme", []string{"Authorization", victim.access}}, {"scheme Basic", []string{"Authorization", "Basic " + victim.access}},
		{"scheme Basic with the password", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(victim.email+":"+victim.password))}},
		{"scheme Token", []string{"Authorization", "Token " + victim.access}}, {"scheme JWT", []string{"Authorization", "JWT " + victim.access}}, {"scheme DPoP", []string{"Authorization", "DPoP " + victim.access}},
		{"scheme with a colon", []string{"Authorization", "Bearer: " + victim.access}}, {"scheme after a tab", []string{"Authorization", "Bearer\t" + victim.access}},
		{"scheme twice", []string{"Authorization", "Bearer Bearer " + victim.access}}, {"two spaces", []string{"Authorization", "Bearer  " + victim.access}}, {"scheme alone", []string{"Authorization", "Bearer"}},
		{"as a parameter", []string{"Authorization", "Bearer token=" + victim.access}},
		{"cookie", []string{"Cookie", "accessToken=" + victim.access + "; Authorization=Bearer " + victim.access}}, {"header X-Authorization", []string{"X-Authorization", "Bearer " + victim.access}},
		{"header Proxy-Authorization", []string{"Proxy-Authorization", "Bearer " + victim.access}}, {"header X-Access-Token", []string{"X-Access-Token", victim.access}},
		{"header X-Forwarded-User", []string{"X-Forwarded-User", adminEmail, "X-Remote-User", adminEmail, "X-User-Id", s.admin.id, "X-Role", admin}},
		{"header with an underscore", []string{"Authorization_", "Bearer " + victim.access}},
	} {
		t.Run("presented/"+c.name, func(t *testing.T) { me(t, c.headers...).refuses(t, http.StatusUnauthorized, "authorization") })
	}
	for _, parameter := range []string{"access_token", "accessToken", "token", "authorization", "jwt"} {
		t.Run("presented/query "+parameter, func(t *testing.T) {
			s.anonymous().get(t, "/users/me?"+parameter+"="+victim.access).refuses(t, http.StatusUnauthorized, "authorization")
		})
	}
	t.Run("presented/in the body", func(t *testing.T) {
		s.anonymous().post(t, "/auth/logout", j{"accessToken": victim.access}).refuses(t, http.StatusUnauthorized, "authorization")
		s.anonymous().post(t, "/auth/logout", "access_token="+victim.access, "Content-Type", "application/x-www-form-urlencoded").refuses(t, http.StatusUnauthorized, "authorization")
		victim.alive(t)
	})
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		t.Run("rightly presented/"+scheme, func(t *testing.T) { me(t, "Authorization", scheme+" "+victim.access).wants(t, http.StatusOK) })
	}

	header, claims := opened(t, victim.access)
	old := signed(t, sha256.New, jwtSecret, header, claims.but(j{"exp": time.Now().Add(-time.Hour).Unix(), "nbf": time.Now().Add(-2 * time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()}))
	t.Run("expired/opens nothing", func(t *testing.T) {
		victim.with(old).get(t, "/users/me").refuses(t, http.StatusUnauthorized, "authorization")
		victim.with(old).post(t, "/auth/logout", nil).refuses(t, http.StatusUnauthorized, "authorization")
		victim.alive(t)
	})
	t.Run("expired/with another's refresh token", func(t *testing.T) {
		victim.with(old).post(t, "/auth/refresh", j{"refreshToken": other.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
		other.alive(t)
	})
	t.Run("expired/of an old login by another", func(t *testing.T) {
		stolen := signed(t, sha256.New, "guessed", header, claims.but(j{"exp": 1}))
		victim.with(stolen).post(t, "/auth/refresh", j{"refreshToken": victim.refresh}).refuses(t, http.StatusUnauthorized, "authorization")
	})
	t.Run("expired/carries the session on", func(t *testing.T) { // after all of the above the refresh token is unspent
		next := victim.with(old).post(t, "/auth/refresh", j{"refreshToken": victim.refresh}).wants(t, http.StatusOK).holder(t, s)
		next.alive(t)
	})
}
