package mysql

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// A key goes to the server as text, and is made there into what its column holds: then an index can be used, and the server
// compares as it always does, letters and spaces at the end as the column's collation says. What no value of the column can
// equal is not sent at all: a server would make something else of it, such as 12 of '12 apples', or read the whole table.

// param returns the text of a key's value. It reports false when no value of the column can equal it.
func (c *lookupColumn) param(v cdc.Value) (string, bool) {
	switch c.Kind {
	case cdc.KindInt64, cdc.KindUint64, cdc.KindBit:
		n, ok := exact(v)
		if !ok || !n.IsInt() {
			return "", false
		}
		if c.Kind == cdc.KindInt64 {
			return n.Num().String(), n.Num().IsInt64()
		}
		return n.Num().String(), n.Num().IsUint64()
	case cdc.KindDecimal:
		n, ok := exact(v)
		if !ok {
			return "", false
		}
		text := n.FloatString(int(c.Scale))
		same, ok := new(big.Rat).SetString(text)
		return text, ok && same.Cmp(n) == 0 && len(strings.TrimLeft(text, "-")) <= int(c.Precision)+2
	case cdc.KindFloat64:
		n, ok := exact(v)
		if !ok {
			return "", false
		}
		f, _ := n.Float64()
		return strconv.FormatFloat(f, 'e', -1, 64), true
	case cdc.KindString, cdc.KindSet:
		return c.text(v)
	case cdc.KindBytes:
		switch v.Kind() {
		case cdc.KindBytes, cdc.KindString:
			return hex.EncodeToString([]byte(v.Text())), true
		}
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTimestamp, cdc.KindTime:
		return c.moment(v)
	case cdc.KindEnum:
		switch v.Kind() {
		case cdc.KindEnum, cdc.KindString:
			return c.member(v.Text())
		}
	}
	return "", false
}

// exact returns a number that is one, or is written as one.
func exact(v cdc.Value) (*big.Rat, bool) {
	n := new(big.Rat)
	switch v.Kind() {
	case cdc.KindBool:
		if v.Bool() {
			n.SetInt64(1)
		}
		return n, true
	case cdc.KindInt64:
		return n.SetInt64(v.Int64()), true
	case cdc.KindUint64, cdc.KindBit:
		return n.SetUint64(v.Uint64()), true
	case cdc.KindFloat64:
		return n, n.SetFloat64(v.Float64()) != nil
	case cdc.KindDecimal, cdc.KindString:
		text := v.Text()
		if len(text) > 100 || text == "" || strings.Trim(text, "+-.0123456789") != "" {
			return nil, false
		}
		return n.SetString(text)
	}
	return nil, false
}

// text returns the text that a text column may hold.
func (c *lookupColumn) text(v cdc.Value) (string, bool) {
	var text string
	switch v.Kind() {
	case cdc.KindString, cdc.KindEnum, cdc.KindSet, cdc.KindDecimal, cdc.KindBytes:
		text = v.Text()
	case cdc.KindInt64:
		text = strconv.FormatInt(v.Int64(), 10)
	case cdc.KindUint64, cdc.KindBit:
		text = strconv.FormatUint(v.Uint64(), 10)
	default:
		return "", false
	}
	switch {
	case !utf8.ValidString(text):
		return "", false
	case c.charset == "": // MariaDB's UUID and addresses
		return text, text != "" && strings.Trim(text, "0123456789abcdefABCDEF-:.") == ""
	}
	return text, true
}

// moment returns a date or time as SQL writes it.
func (c *lookupColumn) moment(v cdc.Value) (string, bool) {
	var text string
	switch v.Kind() {
	case cdc.KindString:
		text = strings.TrimSuffix(strings.Replace(v.Text(), "T", " ", 1), "Z")
		if text == "" || strings.Trim(text, "0123456789-:. ") != "" {
			return "", false
		}
	case cdc.KindTime:
		if c.Kind != cdc.KindTime {
			return "", false
		}
		fallthrough
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTimestamp:
		if c.Kind == cdc.KindTime && v.Kind() != cdc.KindTime {
			return "", false
		}
		key, ok := keyText(&c.Column, v)
		if !ok {
			return "", false
		}
		text = key[1:]
	default:
		return "", false
	}
	if c.Kind == cdc.KindDate { // it has no time of day
		day, rest, _ := strings.Cut(text, " ")
		return day, strings.Trim(rest, "0:. ") == ""
	}
	return text, true
}

// member returns the number of an enum's member as text, from 1. What is no member is stored as 0 and read as "".
func (c *lookupColumn) member(text string) (string, bool) {
	n := slices.Index(c.Members, text)
	if n < 0 {
		n = slices.IndexFunc(c.Members, func(m string) bool { return strings.EqualFold(m, text) })
	}
	return strconv.Itoa(n + 1), n >= 0 || text == ""
}

// expr makes of a parameter what the column holds. width bounds its bytes. The parameter is text to the server, too: of one that
// is to become a number MySQL makes a signed one at once.
func (c *lookupColumn) expr(width int) string {
	text := fmt.Sprintf("CAST(? AS CHAR(%d) CHARACTER SET utf8mb4)", width)
	to := ""
	switch c.Kind {
	case cdc.KindInt64:
		to = "SIGNED"
	case cdc.KindUint64, cdc.KindBit, cdc.KindEnum:
		to = "UNSIGNED"
	case cdc.KindDecimal:
		to = fmt.Sprintf("DECIMAL(%d,%d)", c.Precision, c.Scale)
	case cdc.KindFloat64:
		to = "DOUBLE"
	case cdc.KindBytes:
		return "UNHEX(" + text + ")"
	case cdc.KindDate:
		to = "DATE"
	case cdc.KindDatetime, cdc.KindTimestamp:
		to = "DATETIME(6)"
	case cdc.KindTime:
		to = "TIME(6)"
	default:
		if c.charset != "" {
			return text
		}
		to = strings.ToUpper(c.Type)
	}
	return "CAST(" + text + " AS " + to + ")"
}

// condition compares the column with what expr made, and says how often that stands in it.
func (c *lookupColumn) condition(k string) (condition string, times int) {
	name := "t." + rowimage.QuoteName(c.Name)
	if c.Kind != cdc.KindString && c.Kind != cdc.KindSet || c.charset == "" {
		return name + " = " + k, 1
	}
	if c.charset == "utf8mb4" {
		return name + " = " + k + " COLLATE " + c.collation, 1
	}
	// What the column's character set does not have becomes a question mark, which may be in the column.
	return fmt.Sprintf("%s = CONVERT(%s USING %s) COLLATE %s AND CONVERT(CONVERT(%s USING %s) USING utf8mb4) = %s COLLATE utf8mb4_bin",
		name, k, c.charset, c.collation, k, c.charset, k), 3
}
