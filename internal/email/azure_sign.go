package email

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// azureSigner signs each try with the resource's key (Learn, "Sign an HTTP request", HMAC-SHA256).
type azureSigner struct{ key []byte }

// Do signs the request and passes it on.
func (s azureSigner) Do(req *policy.Request) (*http.Response, error) {
	hash, err := bodyHash(req)
	if err != nil {
		return nil, err
	}
	raw := req.Raw()
	date := time.Now().UTC().Format(http.TimeFormat)
	mac := hmac.New(sha256.New, s.key)
	_, _ = io.WriteString(mac, strings.Join([]string{raw.Method, raw.URL.RequestURI(), date + ";" + raw.URL.Host + ";" + hash}, "\n"))
	raw.Header.Set("x-ms-date", date)
	raw.Header.Set("x-ms-content-sha256", hash)
	raw.Header.Set("Authorization", "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="+
		base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return req.Next()
}

func bodyHash(req *policy.Request) (string, error) {
	sum := sha256.New()
	if body := req.Body(); body != nil {
		if _, err := io.Copy(sum, body); err != nil {
			return "", err
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	return base64.StdEncoding.EncodeToString(sum.Sum(nil)), nil
}
