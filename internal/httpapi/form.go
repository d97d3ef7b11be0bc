package httpapi

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
)

// Bounds of a form.
const (
	maxParts     = 10
	maxFormField = 16 << 10 // bytes; the longest text has 4,000 characters
)

// bindForm reads a product from a multipart form (RFC 7578) part by part and checks it as [bindJSON] does. Unknown parts are ignored.
func bindForm(c *gin.Context, limit int64) (productRequest, domain.Faults, error) {
	var in productRequest
	media, params, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" || c.GetHeader("Content-Encoding") != "" {
		return in, nil, refuse(http.StatusUnsupportedMediaType, "request", "The body must be of the type multipart/form-data or application/json")
	}
	parts := multipart.NewReader(http.MaxBytesReader(c.Writer, c.Request.Body, limit), params["boundary"])
	var faults domain.Faults
	seen := map[string]bool{}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if err == io.EOF { // as it is; wrapped, it stands for a form without its end
			break
		}
		if err != nil {
			return in, nil, bodyError(err)
		}
		if n == maxParts {
			return in, nil, refuse(http.StatusBadRequest, "request", "The form has too many parts")
		}
		name := part.FormName()
		if seen[name] {
			return in, nil, refuse(http.StatusBadRequest, "request", "The form's field '"+domain.Clip(name)+"' stands twice")
		}
		seen[name] = true
		if err := in.setPart(part, &faults); err != nil {
			return in, nil, err
		}
	}
	finish(reflect.ValueOf(&in).Elem(), &faults)
	return in, faults, nil
}

// setPart takes one part of the form over.
func (r *productRequest) setPart(part *multipart.Part, faults *domain.Faults) error {
	name := part.FormName()
	if name == "image" {
		return r.setPicture(part)
	}
	targets := map[string]*string{"name": &r.Name, "category": &r.Category, "description": &r.Description, "sku": &r.SKU.Value}
	if targets[name] == nil && name != "quantity" && name != "reorderLevel" {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(part, maxFormField+1))
	if string(text) == "null" && (name == "sku" || name == "reorderLevel") {
		text = nil
	}
	r.SKU.Set, r.Reorder.Set = r.SKU.Set || name == "sku", r.Reorder.Set || name == "reorderLevel"
	switch {
	case err != nil:
		return bodyError(err)
	case len(text) > maxFormField:
		faults.Add(name, "The %s is too long", label(name))
	case name == "quantity":
		r.Quantity = decodeInteger(name, string(text), faults)
	case name == "reorderLevel":
		if len(text) > 0 {
			r.Reorder.Value = decodeInteger(name, string(text), faults)
		}
	default:
		*targets[name] = string(text)
	}
	return nil
}

// setPicture reads the picture. None, or the word null, removes the one there is.
func (r *productRequest) setPicture(part *multipart.Part) error {
	data, err := io.ReadAll(part)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "image", "The image must be at most 5 MiB")
	}
	if err != nil {
		return bodyError(err)
	}
	r.Image.Set = true
	if part.FileName() != "" || string(data) != "null" {
		r.file = data
	}
	return nil
}
