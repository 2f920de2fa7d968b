package rowimage

import (
	"fmt"
	"strings"
)

// Supports returns why the rows of a table with such a column cannot be read from the binlog, or nil if they can.
func Supports(c *Column) error {
	text := strings.ToLower(c.Type)
	switch {
	case strings.Contains(text, "/* mariadb-5.3 */"), strings.Contains(text, "/* 5.5 binary format */"):
		return fmt.Errorf("it has the temporal format of before MySQL 5.6")
	case !c.Known:
		return fmt.Errorf("its type %s is not known", c.Type)
	case c.Charset != "" && charsetByName[c.Charset] == nil:
		return fmt.Errorf("the character set %s is not supported", c.Charset)
	}
	return nil
}

// Skippable reports whether the rows of a table with such a column can be read without the column, by [ReadExcept].
func Skippable(c *Column) bool {
	c = &Column{Column: c.Column, Known: c.Known}
	return Supports(c) == nil
}
