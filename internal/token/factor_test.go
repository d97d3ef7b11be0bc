package token_test

import (
	"encoding/base32"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/token"
)

// TestFactorStep takes the vectors of RFC 6238 appendix B for SHA-1, cut to six digits.
func TestFactorStep(t *testing.T) {
	seed := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for unix, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		for offset, want := range map[time.Duration]bool{0: true, -30 * time.Second: true, 30 * time.Second: true, -time.Minute: false, time.Minute: false} {
			step, ok, err := token.FactorStep(seed, code, time.Unix(unix, 0).Add(offset))
			require.NoError(t, err)
			require.Equal(t, want, ok, "%d%+v", unix, offset)
			if ok {
				require.Equal(t, unix/30, step)
			}
		}
		for _, wrong := range []string{"", "0", code[1:], code + "0", "x" + code[1:], "+" + code[1:]} {
			_, ok, err := token.FactorStep(seed, wrong, time.Unix(unix, 0))
			require.NoError(t, err)
			require.False(t, ok, wrong)
		}
	}
	_, _, err := token.FactorStep("no base32!", "287082", time.Unix(59, 0))
	require.Error(t, err)
}

func TestNewFactor(t *testing.T) {
	secret, uri, err := token.NewFactor("jane+1@example.com")
	require.NoError(t, err)
	raw, err := base32.StdEncoding.DecodeString(secret)
	require.NoError(t, err)
	require.Len(t, raw, 20)
	u, err := url.Parse(uri)
	require.NoError(t, err)
	require.Equal(t, "/Inventory Hub:jane+1@example.com", u.Path)
	require.Equal(t, url.Values{"secret": {secret}, "issuer": {"Inventory Hub"}, "period": {"30"}, "digits": {"6"}, "algorithm": {"SHA1"}}, u.Query())
	again, _, err := token.NewFactor("jane+1@example.com")
	require.NoError(t, err)
	require.NotEqual(t, secret, again)
}

func TestVault(t *testing.T) {
	vault := func(secret string) *token.Vault {
		v, err := token.NewVault([]byte(secret))
		require.NoError(t, err)
		return v
	}
	v := vault(secret)
	sealed := v.Seal("GEZDGNBVGY3TQOJQ", "jane")
	require.NotContains(t, sealed, "GEZDGNBVGY3TQOJQ")
	require.NotEqual(t, sealed, v.Seal("GEZDGNBVGY3TQOJQ", "jane"), "two that are the same do not show it")
	opened, err := vault(secret).Open(sealed, "jane")
	require.NoError(t, err)
	require.Equal(t, "GEZDGNBVGY3TQOJQ", opened)
	for name, open := range map[string]func() (string, error){
		"other owner":  func() (string, error) { return v.Open(sealed, "john") },
		"other secret": func() (string, error) { return vault(strings.Repeat("x", 32)).Open(sealed, "jane") },
		"changed":      func() (string, error) { return v.Open("A"+sealed[1:], "jane") },
		"cut":          func() (string, error) { return v.Open(sealed[:len(sealed)-4], "jane") },
		"empty":        func() (string, error) { return v.Open("", "jane") },
		"no base64":    func() (string, error) { return v.Open("!", "jane") },
	} {
		got, err := open()
		require.Error(t, err, name)
		require.Empty(t, got)
	}
}

func TestHashRecoveryCode(t *testing.T) {
	code := token.NewRecoveryCode()
	require.Regexp(t, `^[a-z2-7]{6}(-[a-z2-7]{6}){3}$`, code)
	require.NotEqual(t, code, token.NewRecoveryCode())
	for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " ")} {
		require.Equal(t, token.HashRecoveryCode(code), token.HashRecoveryCode(typed))
	}
	require.NotEqual(t, token.HashRecoveryCode(code), token.HashRecoveryCode(code[1:]))
}
