package rowimage

import (
	"errors"
	"fmt"

	"github.com/cdcd-project/cdcd/cdc"
)

// Event is how to read the row images of one row event. Where it has both, they come in pairs.
type Event struct {
	Layout        *Layout
	Before, After []byte // bitmaps of the columns that the images hold; nil where there is no such image
	Partial       bool   // after images may hold what changed in a JSON document instead of the document
}

// ErrNoDocument says that an after image holds what changed in a JSON document, and the before image not the document.
var ErrNoDocument = errors.New("the binlog holds what changed in a JSON document, but not the document as it was before")

// Append writes the images of the row that data begins with, and returns their places in the frame, 0 for none, and
// what follows them. After an error the frame holds none of them.
func (e *Event) Append(b *cdc.Builder, data []byte) (before, after uint32, rest []byte, err error) {
	rest = data
	if e.Before != nil {
		if before, rest, err = e.Layout.appendImage(b, rest, e.Before, nil); err != nil {
			return 0, 0, nil, err
		}
	}
	if e.After != nil {
		if after, rest, err = e.appendAfter(b, data, rest); err != nil {
			if e.Before != nil {
				b.DropRows(before)
			}
			return 0, 0, nil, err
		}
	}
	return before, after, rest, e.progress(data, rest)
}

func (e *Event) appendAfter(b *cdc.Builder, before, image []byte) (after uint32, rest []byte, err error) {
	var patches *patches
	if e.Partial {
		if patches, image, err = e.cutPatches(before, image); err != nil {
			return 0, nil, err
		}
	}
	return e.Layout.appendImage(b, image, e.After, patches)
}

// patches say which JSON columns of an image hold what changed in the documents of the image before.
type patches struct {
	columns         []byte // a bit for each JSON column of the table, in the image or not; nil for none
	before, present []byte
}

func (p *patches) hold(c *column) bool {
	return p != nil && p.columns != nil && c.json > 0 && bit(p.columns, int(c.json)-1)
}

// cutPatches cuts off what stands in front of the second image of a partial update: the value of
// binlog_row_value_options, and a bitmap if that is PARTIAL_JSON.
func (e *Event) cutPatches(before, image []byte) (p *patches, rest []byte, err error) {
	p = &patches{before: before, present: e.Before}
	switch {
	case len(image) == 0:
		return nil, nil, errors.New("a row ends before its second image")
	case image[0] == 0:
		return p, image[1:], nil
	case image[0] != 1:
		return nil, nil, fmt.Errorf("the second image has options %d, which are not known", image[0])
	}
	n := (e.Layout.jsons + 7) / 8
	if image = image[1:]; n > len(image) {
		return nil, nil, errors.New("a row ends within its bitmap of JSON documents")
	}
	p.columns = image[:n]
	return p, image[n:], nil
}

// Skip returns what follows the images of the row that data begins with.
func (e *Event) Skip(data []byte) (rest []byte, err error) {
	rest = data
	if e.Before != nil {
		if rest, err = e.Layout.skipImage(rest, e.Before); err != nil {
			return nil, err
		}
	}
	if e.After != nil {
		if e.Partial {
			if _, rest, err = e.cutPatches(data, rest); err != nil {
				return nil, err
			}
		}
		if rest, err = e.Layout.skipImage(rest, e.After); err != nil {
			return nil, err
		}
	}
	return rest, e.progress(data, rest)
}

// Empty reports whether the images of a row take no bytes at all. An event without a byte then holds one row: MySQL
// writes it for INSERT … VALUES () with binlog_row_image=MINIMAL, and fails when there is a second.
func (e *Event) Empty() bool {
	for _, b := range e.Before {
		if b != 0 {
			return false
		}
	}
	for _, b := range e.After {
		if b != 0 {
			return false
		}
	}
	return true
}

// progress refuses rows without a byte, of which there could be any number.
func (e *Event) progress(data, rest []byte) error {
	if len(rest) < len(data) || len(data) == 0 {
		return nil
	}
	return errors.New("bytes that belong to no row")
}
