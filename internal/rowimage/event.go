package rowimage

import (
	"errors"

	"github.com/cdcd-project/cdcd/cdc"
)

// Event is how to read the row images of one row event. Where it has both, they come in pairs.
type Event struct {
	Layout        *Layout
	Before, After []byte // bitmaps of the columns that the images hold; nil where there is no such image
}

// Append writes the images of the row that data begins with, and returns their places in the frame, 0 for none, and
// what follows them. After an error the frame holds none of them.
func (e *Event) Append(b *cdc.Builder, data []byte) (before, after uint32, rest []byte, err error) {
	rest = data
	if e.Before != nil {
		if before, rest, err = e.Layout.AppendImage(b, rest, e.Before); err != nil {
			return 0, 0, nil, err
		}
	}
	if e.After != nil {
		if after, rest, err = e.Layout.AppendImage(b, rest, e.After); err != nil {
			if e.Before != nil {
				b.DropRows(before)
			}
			return 0, 0, nil, err
		}
	}
	return before, after, rest, e.progress(data, rest)
}

// Skip returns what follows the images of the row that data begins with.
func (e *Event) Skip(data []byte) (rest []byte, err error) {
	rest = data
	for _, present := range [...][]byte{e.Before, e.After} {
		if present == nil {
			continue
		}
		if rest, err = e.Layout.SkipImage(rest, present); err != nil {
			return nil, err
		}
	}
	return rest, e.progress(data, rest)
}

// progress refuses rows without a byte, of which there could be any number.
func (e *Event) progress(data, rest []byte) error {
	if len(rest) < len(data) {
		return nil
	}
	return errors.New("bytes that belong to no row")
}
