package domain

import "fmt"

// MaxSheetFaults is how many faults of a file are told one by one.
const MaxSheetFaults = 1000

// SheetFault says what is wrong in a row of a file. The column is empty if the whole row is at fault.
type SheetFault struct {
	Column string
	Text   string
}

// SheetFaults collects the faults of a file in the order in which they are found, the first [MaxSheetFaults] with their text.
type SheetFaults struct {
	told []string
	more int
}

// Add notes what is wrong in a row; the row 0 stands for the file as a whole.
func (f *SheetFaults) Add(row int, faults ...SheetFault) {
	for _, fault := range faults {
		switch {
		case len(f.told) == MaxSheetFaults:
			f.more++
		case row == 0:
			f.told = append(f.told, fault.Text)
		case fault.Column == "":
			f.told = append(f.told, fmt.Sprintf("Row %d: %s", row, fault.Text))
		default:
			f.told = append(f.told, fmt.Sprintf("Row %d, column %s: %s", row, fault.Column, fault.Text))
		}
	}
}

// Count gives how many faults were noted.
func (f *SheetFaults) Count() int { return len(f.told) + f.more }

// Any says whether a fault was noted.
func (f *SheetFaults) Any() bool { return f.Count() > 0 }

// Err gives a KindInvalid with the faults on the field, beside others, or nil if there are none of either.
func (f *SheetFaults) Err(field string, others Faults) error {
	all := others.Clone()
	for _, text := range f.told {
		all.Add(field, "%s", text)
	}
	if f.more > 0 {
		all.Add(field, "There are %d more faults", f.more)
	}
	if len(all) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Fields: Fields(all), Whole: true}
}
