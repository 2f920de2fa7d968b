package mysql

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// A snapshot remembers the key of the last row that is in the stream as text, one per key column: a letter that says
// what it is, then characters of a small alphabet. The text goes through the checkpoint and back into SQL, so whatever
// is put into SQL is checked against that alphabet first.
//
//	n  a number, as it is
//	s  UTF-8 text in hexadecimal; the server compares it in the column's own collation
//	b  bytes in hexadecimal
//	q  a date, time, UUID or address, to be quoted

// keyText writes one column of a row's key. It reports false for what cannot be a key.
func keyText(c *cdc.Column, v cdc.Value) (string, bool) {
	switch v.Kind() {
	case cdc.KindInt64:
		return "n" + strconv.FormatInt(v.Int64(), 10), true
	case cdc.KindUint64, cdc.KindBit:
		return "n" + strconv.FormatUint(v.Uint64(), 10), true
	case cdc.KindFloat64:
		return "n" + strconv.FormatFloat(v.Float64(), 'e', -1, 64), true // what the server compares a FLOAT as, too
	case cdc.KindDecimal:
		return "n" + v.Text(), true
	case cdc.KindString:
		switch c.Type {
		case "uuid", "inet4", "inet6":
			return "q" + v.Text(), true
		}
		return "s" + hex.EncodeToString([]byte(v.Text())), true
	case cdc.KindBytes:
		return "b" + hex.EncodeToString([]byte(v.Text())), true
	case cdc.KindDate:
		d := v.Civil()
		return fmt.Sprintf("q%04d-%02d-%02d", d.Year, d.Month, d.Day), true
	case cdc.KindDatetime:
		return "q" + civilText(v.Civil()), true
	case cdc.KindTimestamp:
		if v.Int64() == 0 {
			return "q" + civilText(cdc.Civil{}), true
		}
		return "q" + v.Time().Format("2006-01-02 15:04:05.000000"), true
	case cdc.KindTime:
		sign, n := "", v.Int64()
		if n < 0 {
			sign, n = "-", -n
		}
		return fmt.Sprintf("q%s%02d:%02d:%02d.%06d", sign, n/3600e6, n/60e6%60, n/1e6%60, n%1e6), true
	case cdc.KindEnum: // ordered by number
		for i, m := range c.Members {
			if m == v.Text() {
				return "n" + strconv.Itoa(i+1), true
			}
		}
		return "n0", v.Text() == ""
	case cdc.KindSet: // by the number that its bits make
		var bits uint64
		for member := range strings.SplitSeq(v.Text(), ",") {
			for i, m := range c.Members {
				if m == member {
					bits |= 1 << i
				}
			}
		}
		return "n" + strconv.FormatUint(bits, 10), true
	}
	return "", false
}

func civilText(c cdc.Civil) string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d.%06d", c.Year, c.Month, c.Day, c.Hour, c.Minute, c.Second, c.Micro)
}

// keyLiteral turns what keyText wrote into an SQL literal.
func keyLiteral(text string) (string, error) {
	alphabets := map[byte]string{'n': "0123456789+-.e", 's': "0123456789abcdef", 'b': "0123456789abcdef", 'q': "0123456789abcdefABCDEF-:. "}
	if text == "" || alphabets[text[0]] == "" {
		return "", fmt.Errorf("key %q", text)
	}
	rest := text[1:]
	strange := func(r rune) bool { return !strings.ContainsRune(alphabets[text[0]], r) }
	if strings.ContainsFunc(rest, strange) || strings.Contains(rest, "--") || rest == "" && (text[0] == 'n' || text[0] == 'q') {
		return "", fmt.Errorf("key %q", text)
	}
	switch text[0] {
	case 's':
		return "_utf8mb4 X'" + rest + "'", nil
	case 'b':
		return "_binary X'" + rest + "'", nil
	case 'q':
		return "'" + rest + "'", nil
	}
	return rest, nil
}

// maxListed bounds the members of an ENUM that a table is read by: they stand in each statement.
const maxListed = 1000

// compareKey compares a key column. Members of an ENUM or SET are compared by their number, as they are sorted. Servers use no
// index for that; of an ENUM that the index begins with they do for a list of numbers.
func compareKey(c *cdc.Column, first bool, op, literal string) string {
	name := rowimage.QuoteName(c.Name)
	if c.Kind != cdc.KindEnum && c.Kind != cdc.KindSet {
		return name + " " + op + " " + literal
	}
	exact := "(" + name + " + 0) " + op + " " + literal
	n, err := strconv.Atoi(literal)
	if c.Kind == cdc.KindSet || !first || err != nil {
		return exact
	}
	from, to := n, len(c.Members)
	if op[0] == '<' {
		from, to = 0, n
	}
	if op == ">" {
		from++
	}
	if from > to {
		return "FALSE"
	}
	list := strconv.AppendInt(nil, int64(from), 10)
	for i := from + 1; i <= to; i++ {
		list = strconv.AppendInt(append(list, ','), int64(i), 10)
	}
	return name + " IN (" + string(list) + ")"
}

// beyond returns the condition that a row's key comes after the given one (op ">"), or not after it ("<="). A comparison of
// row constructors would be shorter, but servers do not use an index for it.
func beyond(t *cdc.Table, key []int, at []string, op string) (string, error) {
	if len(at) != len(key) {
		return "", fmt.Errorf("%d key columns where %s has %d", len(at), t, len(key))
	}
	strict := op[:1]
	condition := ""
	for i := len(key) - 1; i >= 0; i-- {
		literal, err := keyLiteral(at[i])
		if err != nil {
			return "", err
		}
		c := &t.Columns[key[i]]
		if condition == "" {
			condition = compareKey(c, i == 0, op, literal)
			continue
		}
		condition = fmt.Sprintf("%s AND (%s OR %s)", compareKey(c, i == 0, strict+"=", literal), compareKey(c, false, strict, literal), condition)
	}
	return condition, nil
}

// appendMergeKey appends what two images of the same row have in common: the exact values of its key.
func appendMergeKey(dst []byte, v cdc.Value) []byte {
	dst = append(dst, byte(v.Kind()))
	if text := v.Text(); text != "" {
		dst = strconv.AppendInt(dst, int64(len(text)), 10)
		dst = append(dst, ':')
		return append(dst, text...)
	}
	return append(strconv.AppendUint(dst, v.Uint64(), 16), ';')
}
