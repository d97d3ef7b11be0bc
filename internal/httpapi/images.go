package httpapi

import (
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type imageHandlers struct{ pictures *service.Pictures }

// get serves a picture to anyone who knows its name, for ever, since new bytes get a new name, and never as anything but a picture.
func (h imageHandlers) get(c *gin.Context) error {
	name, ok := pathText(c, "name")
	if !ok {
		return domain.NotFound("name", "The image '%s' does not exist", domain.Clip(name))
	}
	file, err := h.pictures.Open(c.Request.Context(), name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	header := c.Writer.Header()
	header.Set("Content-Type", file.ContentType)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("ETag", `"`+name+`"`)
	serveWhole(c, file.ModTime, file)
	return nil
}

// serveWhole answers with the content, or with 304 if the caller has it already; the headers tell its type and its tag.
func serveWhole(c *gin.Context, modified time.Time, content io.ReadSeeker) {
	for _, condition := range []string{"Range", "If-Match", "If-Unmodified-Since"} {
		c.Request.Header.Del(condition) // what is served so is small, and a refusal would not be told in our form
	}
	http.ServeContent(c.Writer, c.Request, "", modified, content)
}
