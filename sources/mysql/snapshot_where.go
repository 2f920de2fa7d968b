package mysql

import (
	"errors"
	"strings"
)

// oneCondition refuses what would not stay within the parentheses that a snapshot's condition is put into: with UNION, it
// would deliver rows of other tables, and columns that are dropped or masked, under this table's name.
func oneCondition(where string) error {
	depth := 0
	for i := 0; i < len(where); i++ {
		switch c := where[i]; {
		case c == '\'' || c == '"' || c == '`':
			length := strings.IndexByte(where[i+1:], c)
			if length < 0 {
				return errors.New("it has a quote that does not end")
			}
			if c != '`' && strings.Contains(where[i+1:i+1+length], `\`) {
				return errors.New(`it has a \ in a string, which means one thing or another by the server's sql_mode`)
			}
			i += length + 1
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return errors.New("it has a ) too many")
			}
		case c == ';' || c == '#' || strings.HasPrefix(where[i:], "--") || strings.HasPrefix(where[i:], "/*"):
			return errors.New("it has a comment or a semicolon")
		}
	}
	if depth > 0 {
		return errors.New("it has a ( too many")
	}
	return nil
}
