package cdc

import (
	"fmt"
	"strconv"
	"strings"
)

// Revision names a state of the rules of a source: the number of the publication that made it, dense from 1, and an ID
// over that publication and all before it. A store that was lost and begun anew gives the same numbers again, but not
// with the same IDs. The zero Revision stands for none.
type Revision struct {
	No uint64
	ID string // 16 hexadecimal digits
}

// String returns "17.9f8a0b1c2d3e4f50", or "" for the zero Revision.
func (r Revision) String() string {
	if r == (Revision{}) {
		return ""
	}
	return strconv.FormatUint(r.No, 10) + "." + r.ID
}

// ParseRevision reads what [Revision.String] has written.
func ParseRevision(text string) (Revision, error) {
	if text == "" {
		return Revision{}, nil
	}
	number, id, _ := strings.Cut(text, ".")
	no, err := strconv.ParseUint(number, 10, 64)
	if err != nil || no == 0 || number[0] == '0' || number[0] == '+' || len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
		return Revision{}, fmt.Errorf("%q is not a revision of rules", text)
	}
	return Revision{no, id}, nil
}
