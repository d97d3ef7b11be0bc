package sheet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/sheet"
)

// FuzzTable_cells: whatever a text is, no spreadsheet sees a formula, and the import gets the text back.
func FuzzTable_cells(f *testing.F) {
	for _, text := range []string{"", "x", "=1+1", "'=1", "''", "'", "'''@x", "\t=", "\rx", "-5", "a\r\nb", "'x", "\"", ",", "\\.", " =x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell := sheet.Guard(text)
		require.Equal(t, text, sheet.Unguard(cell))
		require.NotContains(t, "=+-@\t\r", (cell + "x")[:1])
	})
}
