package sheet

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

// Bounds of a file of products: what its reader may cost whoever takes it.
const (
	MaxBytes = 32 << 20
	MaxRows  = 200_000
)

// Products reads the rows of a file of products, from its beginning each time. Its first row names the columns, in any order; those that an import
// does not know are ignored, and so are the times. Of the file no more than a row is held. What is wrong with it comes as faults of its rows; the
// error is the reader's, or that of ctx.
func Products(ctx context.Context, file io.ReadSeeker) service.Sheet {
	return func(yield func(service.ImportRow) error) error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		from := bufio.NewReader(file)
		if _, err := from.Peek(1); errors.Is(err, io.EOF) {
			return yield(fileFault("The file is empty"))
		}
		if mark, _ := from.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
			_, _ = from.Discard(len(byteOrderMark)) // cannot fail for what was peeked at
		}
		if by := otherSeparator(from); by != "" {
			return yield(fileFault("The columns must be separated by commas, and " + by + " was found in the first row"))
		}
		s := &reader{csv: csv.NewReader(&keepCR{from: from}), nextLine: 1}
		s.csv.FieldsPerRecord, s.csv.ReuseRecord = -1, true
		columns, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return yield(fileFault("The file names no columns"))
		case err != nil:
			return s.broken(err, yield)
		case !isUTF8(columns):
			return yield(s.notUTF8())
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
				return s.broken(err, yield) // what follows would be guessed
			case rows == MaxRows:
				return yield(fileFault(fmt.Sprintf("The file must have at most %d rows", MaxRows)))
			case !isUTF8(cells):
				return yield(s.notUTF8()) // and so are most rows that follow
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

// otherSeparator says what separates the columns of the first row, as spreadsheets of many countries write it, if that is no comma. It reads nothing.
func otherSeparator(from *bufio.Reader) string {
	start, _ := from.Peek(from.Size())
	line, _, _ := strings.Cut(string(start), "\n")
	named := func(separator string) bool {
		return slices.ContainsFunc(strings.Split(line, separator), func(cell string) bool {
			name := strings.Trim(domain.Trim(strings.TrimSuffix(cell, "\r")), `"`)
			return name == "id" || name == "sku"
		})
	}
	switch {
	case named(","):
	case named(";"):
		return "';'"
	case named("\t"):
		return "a tab"
	}
	return ""
}

func isUTF8(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return !utf8.ValidString(cell) })
}

type reader struct {
	csv      *csv.Reader
	columns  []string
	number   int // of the last row
	nextLine int // where the next one begins, unless lines between are empty
}

// next gives the cells of the next row. The reader leaves empty lines out, which a spreadsheet counts as rows.
func (s *reader) next() ([]string, error) {
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

// broken tells of a row that is not CSV. What could not be read at all is an error.
func (s *reader) broken(err error, yield func(service.ImportRow) error) error {
	var at *csv.ParseError
	if !errors.As(err, &at) {
		return err
	}
	text := "a quote stands in a cell that is not quoted"
	if errors.Is(at.Err, csv.ErrQuote) {
		text = "a quoted cell does not end, or something follows its end"
	}
	return yield(fileFault(fmt.Sprintf("Row %d: %s; what follows was not read", s.number, text)))
}

// notUTF8 tells of the last row, from which on the letters could only be guessed.
func (s *reader) notUTF8() service.ImportRow {
	return fileFault(fmt.Sprintf("Row %d: expected text in UTF-8, found another encoding; what follows was not read", s.number))
}

// head takes the names of the columns and says what is wrong with them.
func (s *reader) head(cells []string) string {
	for _, cell := range cells {
		name := domain.Trim(cell)
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

func (s *reader) row(cells []string) service.ImportRow {
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
		text := domain.Trim(unguard(cell))
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
		if err != nil || strconv.FormatInt(n, 10) != text || n < 0 || (column == "reorderLevel" && n > domain.MaxQuantity) {
			fault("a whole number from 0 to " + strconv.Itoa(domain.MaxQuantity))
			return nil
		}
		return &n
	}
	switch column {
	case "id":
		id, ok := domain.ParseID(strings.TrimSpace(cell))
		if ok {
			row.ID = id
		} else if domain.Trim(cell) != "" {
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

// byteOrderMark is what some spreadsheets begin a file in UTF-8 with.
const byteOrderMark = "\ufeff"

// keepCR reads a file such that encoding/csv keeps what stands in quotes to the letter: it would drop a carriage return before the end of a line
// there too, and so gets it twice.
type keepCR struct {
	from   *bufio.Reader
	quoted bool
	again  bool // a carriage return is to be given once more
}

// Read gives at most what the reader below has, so that nothing is waited for twice.
func (r *keepCR) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if r.again {
			p[n], r.again = '\r', false
			n++
			continue
		}
		b, err := r.from.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil // the error comes again
			}
			return 0, err
		}
		p[n] = b
		n++
		switch {
		case b == '"':
			r.quoted = !r.quoted
		case b == '\r' && r.quoted:
			next, _ := r.from.Peek(1)
			r.again = len(next) > 0 && next[0] == '\n'
		}
	}
	return n, nil
}
