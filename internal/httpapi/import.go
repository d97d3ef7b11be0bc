package httpapi

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/sheet"
)

type importBody struct {
	DryRun    bool `json:"dryRun"`
	Created   int  `json:"created"`
	Updated   int  `json:"updated"`
	Unchanged int  `json:"unchanged"`
}

func (h productHandlers) importFile(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	dryRun := q.flag("dryRun")
	file, err := readImport(c, &q.faults)
	if err != nil {
		return err
	}
	body := importBody{DryRun: dryRun != nil && *dryRun}
	report, err := h.products.Import(c.Request.Context(), actorOf(c), sheet.Products(c.Request.Context(), bytes.NewReader(file)), body.DryRun, q.faults)
	if err != nil {
		return err
	}
	body.Created, body.Updated, body.Unchanged = report.Created, report.Updated, report.Unchanged
	c.PureJSON(http.StatusOK, body)
	return nil
}

// readImport gives the file, as it is or as the part `file` of a form.
func readImport(c *gin.Context, faults *domain.Faults) ([]byte, error) {
	media, params, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	charset := params["charset"]
	if err == nil && media == "text/csv" && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return readBody(c, sheet.MaxBytes)
	}
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" || c.GetHeader("Content-Encoding") != "" {
		return nil, refuse(http.StatusUnsupportedMediaType, "request", "The body must be of the type text/csv in UTF-8 or multipart/form-data")
	}
	const frame = 64 << 10 // what the form may have around the file
	form := multipart.NewReader(http.MaxBytesReader(c.Writer, c.Request.Body, sheet.MaxBytes+frame), params["boundary"])
	var file []byte
	found := false
	for n := 0; ; n++ {
		part, err := form.NextPart()
		if err == io.EOF { //nolint:errorlint // as it is; wrapped, it stands for a form without its end
			break
		}
		if err != nil {
			return nil, bodyError(err)
		}
		if n == maxParts {
			return nil, refuse(http.StatusBadRequest, "request", "The form has too many parts")
		}
		if part.FormName() != "file" {
			continue
		}
		if found {
			return nil, refuse(http.StatusBadRequest, "request", "The form's field 'file' stands twice")
		}
		content, failed := io.ReadAll(part)
		if failed != nil {
			return nil, bodyError(failed)
		}
		file, found = content, true
	}
	if !found {
		faults.Add("file", "The file is required")
	}
	return file, nil
}
