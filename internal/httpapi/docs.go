package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"mime"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"

	"inventoryhub/internal/domain"
)

// docsFiles are the reference: the OpenAPI document, the page that shows it, and the parts of the page. Swagger UI is as npm's swagger-ui-dist
// 5.35.0 has it, but for its two large files, which are compressed by gzip -9n.
//
//go:embed docs/openapi.yaml docs/page.html docs/assets
var docsFiles embed.FS

// docsPolicy lets the page load its own parts alone, and call this server alone. Swagger UI draws its symbols as data: URLs and shows
// a picture that it was sent as a blob: URL.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// docsTypes are the content types of the reference's files.
var docsTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

// docsFile is a file of the reference, compressed as nearly everyone takes it.
type docsFile struct {
	contentType string
	zipped      []byte
	hash        string
}

// reference gives the files of the reference by their names.
var reference = sync.OnceValues(loadReference)

func loadReference() (map[string]docsFile, error) {
	document, err := docsFiles.ReadFile("docs/openapi.yaml")
	if err != nil {
		return nil, err
	}
	if document, err = yaml.YAMLToJSON(document); err != nil {
		return nil, err
	}
	page, err := docsFiles.ReadFile("docs/page.html")
	if err != nil {
		return nil, err
	}
	files := map[string]docsFile{"openapi.json": newDocsFile(".json", zip(document)), "page.html": newDocsFile(".html", zip(page))}
	assets, err := docsFiles.ReadDir("docs/assets")
	if err != nil {
		return nil, err
	}
	for _, asset := range assets {
		data, err := docsFiles.ReadFile("docs/assets/" + asset.Name())
		if err != nil {
			return nil, err
		}
		name, zipped := strings.CutSuffix(asset.Name(), ".gz")
		if !zipped {
			data = zip(data)
		}
		files["assets/"+name] = newDocsFile(path.Ext(name), data)
	}
	return files, nil
}

func newDocsFile(extension string, zipped []byte) docsFile {
	sum := sha256.Sum256(zipped)
	return docsFile{contentType: docsTypes[extension], zipped: zipped, hash: hex.EncodeToString(sum[:10])}
}

// zip compresses. A buffer never fails.
func zip(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func (f docsFile) unzip() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(f.zipped))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

type docsHandlers struct{}

func (h docsHandlers) openAPI(c *gin.Context) error { return h.write(c, "openapi.json") }

func (h docsHandlers) page(c *gin.Context) error {
	c.Header("Content-Security-Policy", docsPolicy)
	return h.write(c, "page.html")
}

func (h docsHandlers) asset(c *gin.Context) error {
	name, _ := pathText(c, "name") // what is no text is no name either
	return h.write(c, "assets/"+name)
}

// write answers with a file. A browser keeps it, and asks each time whether it is still the same.
func (docsHandlers) write(c *gin.Context, name string) error {
	files, err := reference()
	if err != nil {
		return err
	}
	file, ok := files[name]
	if !ok {
		return domain.NotFound("name", "The file '%s' does not exist", domain.Clip(path.Base(name)))
	}
	header, data, tag := c.Writer.Header(), file.zipped, file.hash
	if takesGzip(c) {
		tag += "-gzip"
		header.Set("Content-Encoding", "gzip")
		header.Set("Content-Length", strconv.Itoa(len(data)))
	} else if data, err = file.unzip(); err != nil {
		return err
	}
	header.Set("Content-Type", file.contentType)
	header.Set("Cache-Control", "public, no-cache")
	header.Set("ETag", `"`+tag+`"`)
	header.Add("Vary", "Accept-Encoding")
	serveWhole(c, time.Time{}, bytes.NewReader(data))
	return nil
}

// takesGzip says whether the caller takes a compressed answer (RFC 9110 section 12.5.3).
func takesGzip(c *gin.Context) bool {
	for coding := range strings.SplitSeq(strings.Join(c.Request.Header.Values("Accept-Encoding"), ","), ",") {
		if name, params, err := mime.ParseMediaType(coding); err == nil && name == "gzip" {
			weight, err := strconv.ParseFloat(params["q"], 64)
			return err != nil || weight > 0
		}
	}
	return false
}
