package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"inventoryhub/internal/domain"
)

// Vault keeps secrets that the server has to read again, such as those of authenticator apps, so that the database alone does not give them away.
type Vault struct{ aead cipher.AEAD }

// NewVault makes a vault whose key (AES-256-GCM) is derived from the server's secret (HKDF, RFC 5869).
func NewVault(secret []byte) (*Vault, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "inventoryhub vault 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the vault's key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("open the vault: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("open the vault: %w", err)
	}
	return &Vault{aead}, nil
}

// Seal gives the form in which a secret is kept. It can be opened for the same owner alone.
func (v *Vault) Seal(secret, owner string) string {
	return base64.RawStdEncoding.EncodeToString(v.aead.Seal(nil, nil, []byte(secret), []byte(owner)))
}

// Open gives a sealed secret back. It fails for another owner, and after the server's secret has changed.
func (v *Vault) Open(sealed, owner string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("open a sealed secret: %w", err)
	}
	secret, err := v.aead.Open(nil, nil, raw, []byte(owner))
	if err != nil {
		return "", fmt.Errorf("open a sealed secret: %w", err)
	}
	return string(secret), nil
}

// The parameters that every authenticator app knows: SHA-1, 6 digits, 30 s (RFC 6238 section 5.2).
const (
	stepSeconds = 30
	// clockSkew is how many steps an app's clock may be off to either side (RFC 6238 section 5.2 advises one).
	clockSkew = 1
)

// NewFactor makes the secret of an authenticator app, 160 random bits (RFC 4226 section 4) in base32, and the address that apps read from a QR code.
func NewFactor(account string) (secret, uri string, err error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Inventory Hub", AccountName: account, SecretSize: 20})
	if err != nil {
		return "", "", fmt.Errorf("make a second factor: %w", err)
	}
	return key.Secret(), key.URL(), nil
}

// FactorStep says whether a code is the app's at the time, and of which time step, so that none is taken twice.
func FactorStep(secret, code string, at time.Time) (step int64, ok bool, err error) {
	for skew := int64(-clockSkew); skew <= clockSkew; skew++ {
		t := at.Add(time.Duration(skew) * stepSeconds * time.Second)
		right, err := totp.ValidateCustom(code, secret, t, totp.ValidateOpts{Period: stepSeconds, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if errors.Is(err, otp.ErrValidateInputInvalidLength) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, fmt.Errorf("check a code: %w", err)
		}
		if right {
			return t.Unix() / stepSeconds, true, nil
		}
	}
	return 0, false, nil
}

// recoveryBits is the strength of a recovery code. From 112 bits on a plain hash of it will do (OWASP ASVS 5.0, 6.5.2).
const recoveryBits = 120

// NewRecoveryCode makes a recovery code: four groups of six letters and digits.
func NewRecoveryCode() string {
	b := make([]byte, recoveryBits/8)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	text := strings.ToLower(base32.StdEncoding.EncodeToString(b))
	return strings.Join([]string{text[:6], text[6:12], text[12:18], text[18:]}, "-")
}

// HashRecoveryCode gives the form in which a recovery code is kept, however it was typed: in capitals, or without its dashes.
func HashRecoveryCode(code string) string {
	return Hash(strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code)))
}

// NewKey makes an API key of 256 random bits.
func NewKey() string { return domain.KeyPrefix + NewSecret() }
