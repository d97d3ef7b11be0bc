package httpapi

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

// Bounds of an import.
const (
	maxImportBody = 32 << 20
	maxImportRows = 200_000
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
	// One at a time: each holds its whole file, and on SQLite everybody who writes waits for it.
	select {
	case h.importing <- struct{}{}:
		defer func() { <-h.importing }()
	case <-c.Request.Context().Done():
		return domain.Unavailable(errors.New("other imports did not end in time"))
	}
	file, err := readImport(c, &q.faults)
	if err != nil {
		return err
	}
	body := importBody{DryRun: dryRun != nil && *dryRun}
	report, err := h.products.Import(c.Request.Context(), actorOf(c), sheet(c.Request.Context(), file), body.DryRun, q.faults)
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
		return readBody(c, maxImportBody)
	}
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" || c.GetHeader("Content-Encoding") != "" {
		return nil, refuse(http.StatusUnsupportedMediaType, "request", "The body must be of the type text/csv in UTF-8 or multipart/form-data")
	}
	const frame = 64 << 10 // what the form may have around the file
	form := multipart.NewReader(http.MaxBytesReader(c.Writer, c.Request.Body, maxImportBody+frame), params["boundary"])
	var file []byte
	found := false
	for n := 0; ; n++ {
		part, err := form.NextPart()
		if err == io.EOF { // as it is; wrapped, it stands for a form without its end
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

// sheet reads the rows of a file of products. Its first row names the columns, in any order; those that an import does not know are ignored, and so
// are the times.
func sheet(ctx context.Context, file []byte) service.Sheet {
	return func(yield func(service.ImportRow) error) error {
		if len(file) == 0 {
			return yield(fileFault("The file is empty"))
		}
		s := &sheetReader{csv: csv.NewReader(&keepCR{from: bytes.TrimPrefix(file, []byte("\ufeff"))}), nextLine: 1}
		s.csv.FieldsPerRecord, s.csv.ReuseRecord = -1, true
		columns, err := s.next()
		if err != nil {
			return yield(s.broken(err))
		}
		if fault := s.head(columns); fault != "" {
			return yield(fileFault(fault))
		}
		for rows := 0; ; rows++ {
			cells, err := s.next()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return yield(s.broken(err)) // what follows would be guessed
			case rows == maxImportRows:
				return yield(fileFault(fmt.Sprintf("The file must have at most %d rows", maxImportRows)))
			}
			if err := errors.Join(ctx.Err(), yield(s.row(cells))); err != nil {
				return err
			}
		}
	}
}

// fileFault is a row of no number that tells what is wrong with the file as a whole.
func fileFault(text string) service.ImportRow {
	return service.ImportRow{Faults: []domain.SheetFault{{Text: text}}}
}

type sheetReader struct {
	csv      *csv.Reader
	columns  []string
	number   int // of the last row
	nextLine int // where the next one begins, unless lines between are empty
}

// next gives the cells of the next row. The reader leaves empty lines out, which a spreadsheet counts as rows.
func (s *sheetReader) next() ([]string, error) {
	cells, err := s.csv.Read()
	var line int
	var broken *csv.ParseError
	switch {
	case errors.As(err, &broken):
		line = broken.StartLine
	case err != nil:
		return nil, err
	default:
		line, _ = s.csv.FieldPos(0)
	}
	s.number += 1 + line - s.nextLine
	s.nextLine = line + 1
	for _, cell := range cells {
		s.nextLine += strings.Count(cell, "\n")
	}
	return cells, err
}

// broken tells of a row that is not CSV.
func (s *sheetReader) broken(err error) service.ImportRow {
	var at *csv.ParseError
	if !errors.As(err, &at) {
		return fileFault("The file names no columns")
	}
	text := "a quote stands in a cell that is not quoted"
	if errors.Is(at.Err, csv.ErrQuote) {
		text = "a quoted cell does not end, or something follows its end"
	}
	return fileFault(fmt.Sprintf("Row %d: %s; what follows was not read", s.number, text))
}

// head takes the names of the columns and says what is wrong with them.
func (s *sheetReader) head(cells []string) string {
	for _, cell := range cells {
		name := trimmed(cell)
		if name != "" && slices.Contains(s.columns, name) {
			return "The column '" + domain.Clip(name) + "' stands twice"
		}
		s.columns = append(s.columns, strings.Clone(name))
	}
	if !slices.Contains(s.columns, "id") && !slices.Contains(s.columns, "sku") {
		return "The file has neither a column 'id' nor a column 'sku' in its first row"
	}
	return ""
}

func (s *sheetReader) row(cells []string) service.ImportRow {
	row := service.ImportRow{Number: s.number}
	if len(cells) != len(s.columns) {
		// Which cell is missing cannot be known, so none is read.
		return fileFault(fmt.Sprintf("Row %d: expected %d cells, found %d", s.number, len(s.columns), len(cells)))
	}
	for i, column := range s.columns {
		setCell(&row, column, cells[i])
	}
	return row
}

func setCell(row *service.ImportRow, column, cell string) {
	fault := func(expected string) {
		row.Faults = append(row.Faults, domain.SheetFault{Column: column, Text: "expected " + expected + ", found '" + domain.Clip(cell) + "'"})
	}
	line := func(most int) string {
		text := trimmed(unguard(cell))
		if !domain.IsLine(text) || utf8.RuneCountInString(text) > most {
			fault("one line of at most " + strconv.Itoa(most) + " characters")
			return ""
		}
		return text
	}
	number := func() *int64 {
		text := strings.TrimSpace(cell)
		if text == "" {
			return nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !wholeNumber.MatchString(text) || n < 0 || (column == "reorderLevel" && n > domain.MaxQuantity) {
			fault("a whole number from 0 to " + strconv.Itoa(domain.MaxQuantity))
			return nil
		}
		return &n
	}
	switch column {
	case "id":
		id, ok := parseID(strings.TrimSpace(cell))
		if ok {
			row.ID = id
		} else if trimmed(cell) != "" {
			fault("the id of an item")
		}
	case "sku":
		row.SKU.Set = true
		if text := line(domain.MaxSKU); text != "" {
			row.SKU.Value = &text
		}
	case "name":
		row.Name = line(domain.MaxProductName)
	case "category":
		row.Category = line(domain.MaxCategoryName)
	case "quantity":
		row.Quantity = number()
	case "reorderLevel":
		row.Reorder.Set, row.Reorder.Value = true, number()
	case "description":
		text := unguard(cell)
		if !domain.IsText(text) || utf8.RuneCountInString(text) > domain.MaxProductDescription {
			fault("a text of at most " + strconv.Itoa(domain.MaxProductDescription) + " characters")
		}
		row.Description = &text
	}
}

// keepCR reads a file such that encoding/csv keeps what stands in quotes to the letter: it would drop a carriage return before the end of a line
// there too, and so gets it twice.
type keepCR struct {
	from   []byte
	quoted bool
	twice  bool // the carriage return at the front was given once
}

// Read never fails before the end.
func (r *keepCR) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && len(r.from) > 0 {
		p[n] = r.from[0]
		n++
		if r.quoted && !r.twice && len(r.from) > 1 && r.from[0] == '\r' && r.from[1] == '\n' {
			r.twice = true
			continue
		}
		r.twice = false
		if r.from[0] == '"' {
			r.quoted = !r.quoted
		}
		r.from = r.from[1:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
