package httpapi

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
)

// writeVersion tells a thing's version as its entity tag (RFC 9110 section 8.8.3).
func writeVersion(c *gin.Context, version int64) {
	c.Header("ETag", `"v`+strconv.FormatInt(version, 10)+`"`)
}

var versionTag = regexp.MustCompile(`^"v([1-9][0-9]{0,17})"$`)

// expectation reads `If-Match` (RFC 9110 section 13.1.1). A star holds for whatever exists; a weak tag, and one that we never gave, holds for nothing.
func expectation(c *gin.Context) domain.Expectation {
	given := strings.TrimSpace(strings.Join(c.Request.Header.Values("If-Match"), ","))
	if given == "" || given == "*" {
		return domain.Expectation{}
	}
	var versions []int64
	for tag := range strings.SplitSeq(given, ",") {
		if found := versionTag.FindStringSubmatch(strings.TrimSpace(tag)); found != nil {
			version, _ := strconv.ParseInt(found[1], 10, 64) // 18 digits fit
			versions = append(versions, version)
		}
	}
	return domain.ExpectOneOf(versions...)
}
