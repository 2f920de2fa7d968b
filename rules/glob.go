package rules

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// tableGlob is a pattern for schema.table: * stands for any characters, ? for one, in each of the two names.
type tableGlob struct {
	text         string
	schema, name string
}

func parseTableGlob(text string) (tableGlob, error) {
	schema, name, ok := strings.Cut(text, ".")
	switch {
	case text == "":
		return tableGlob{}, errors.New("it is empty")
	case !ok:
		return tableGlob{}, errors.New("there is no '.' in it")
	case schema == "" || name == "":
		return tableGlob{}, errors.New("a name is missing beside the '.'")
	case strings.ContainsAny(text, " \t\r\n,[]{}"):
		return tableGlob{}, errors.New("it has a blank, a comma or a bracket in it")
	case len(text) > 512:
		return tableGlob{}, errors.New("it is longer than two names can be")
	}
	return tableGlob{text, schema, name}, nil
}

func (g tableGlob) matches(schema, name string) bool {
	return glob(g.schema, schema) && glob(g.name, name)
}

// glob matches in time linear in len(pattern)*len(s): on a mismatch only the last * has to take one more character.
func glob(pattern, s string) bool {
	star, retry := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
			continue
		case p < len(pattern) && pattern[p] == '?':
			_, n := utf8.DecodeRuneInString(s[i:])
			p, i = p+1, i+n
			continue
		case p < len(pattern) && pattern[p] == s[i]:
			p, i = p+1, i+1
			continue
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[retry:])
		retry += n
		p, i = star+1, retry
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
