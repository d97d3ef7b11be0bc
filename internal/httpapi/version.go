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
	c.Header("ETag", tagOf(version))
}

func tagOf(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

var versionTag = regexp.MustCompile(`^"v([1-9][0-9]{0,17})"$`)

// expectation reads `If-Match` (RFC 9110 section 13.1.1). A star holds for whatever exists; no tag, a weak one, and one that we never gave hold for nothing.
func expectation(c *gin.Context) domain.Expectation {
	lines := c.Request.Header.Values("If-Match")
	given := strings.TrimSpace(strings.Join(lines, ","))
	if len(lines) == 0 || given == "*" {
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

// hasAlready says whether the caller has the version that is there, by `If-None-Match` (RFC 9110 section 13.1.2): a tag that is given as a weak one
// is as good, and a star stands for any.
func hasAlready(c *gin.Context, version int64) bool {
	lines := c.Request.Header.Values("If-None-Match")
	if len(lines) == 0 {
		return false
	}
	given := strings.TrimSpace(strings.Join(lines, ","))
	if given == "*" {
		return true
	}
	present := tagOf(version)
	for tag := range strings.SplitSeq(given, ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == present {
			return true
		}
	}
	return false
}
