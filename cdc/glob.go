package cdc

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Glob is a pattern for a name: * stands for any characters, ? for one, everything else for itself. Case counts.
type Glob string

// Match reports whether the pattern matches the whole name. It does not allocate, and takes time linear in
// len(pattern)*len(name): on a mismatch only the last * has to take one more character.
func (g Glob) Match(name string) bool {
	star, retry := -1, 0
	p, i := 0, 0
	for i < len(name) {
		switch {
		case p < len(g) && g[p] == '*':
			star, retry = p, i
			p++
			continue
		case p < len(g) && g[p] == '?':
			_, n := utf8.DecodeRuneInString(name[i:])
			p, i = p+1, i+n
			continue
		case p < len(g) && g[p] == name[i]:
			p, i = p+1, i+1
			continue
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(name[retry:])
		retry += n
		p, i = star+1, retry
	}
	for p < len(g) && g[p] == '*' {
		p++
	}
	return p == len(g)
}

// TableGlob is a pattern for tables: schema.table, with * and ? in each of the two names.
type TableGlob struct{ Schema, Table Glob }

// ParseTableGlob reads schema.table; further points belong to the table's name. Its errors say what is wrong with the
// text, without repeating it.
func ParseTableGlob(text string) (TableGlob, error) {
	names, err := parseGlobs(text, 2)
	if err != nil {
		return TableGlob{}, err
	}
	if len(names) < 2 {
		return TableGlob{}, errors.New("there is no '.' in it")
	}
	return TableGlob{names[0], names[1]}, nil
}

// Match reports whether the pattern matches the table.
func (g TableGlob) Match(schema, table string) bool {
	return g.Schema.Match(schema) && g.Table.Match(table)
}

// String returns the pattern as it was read.
func (g TableGlob) String() string { return string(g.Schema) + "." + string(g.Table) }

// ColumnGlob is a pattern for columns: schema.table.column, with * and ? in each of the three names, in any case.
type ColumnGlob struct {
	TableGlob
	Column Glob
}

// ParseColumnGlob reads schema.table.column; further points belong to the column's name, and ? stands for one in the
// table's. Its errors say what is wrong with the text, without repeating it.
func ParseColumnGlob(text string) (ColumnGlob, error) {
	names, err := parseGlobs(text, 3)
	if err != nil {
		return ColumnGlob{}, err
	}
	if len(names) < 3 {
		return ColumnGlob{}, errors.New("it does not have the three parts schema.table.column")
	}
	return ColumnGlob{TableGlob{names[0], names[1]}, names[2]}, nil
}

// Match reports whether the pattern matches the column. Case does not count: for SQL email and Email are one column, and
// what is to be hidden is rather hidden too often than once too few.
func (g ColumnGlob) Match(schema, table, column string) bool {
	return g.Schema.matchFold(schema) && g.Table.matchFold(table) && g.Column.matchFold(column)
}

func (g Glob) matchFold(name string) bool {
	return Glob(strings.ToLower(string(g))).Match(strings.ToLower(name))
}

// String returns the pattern as it was read.
func (g ColumnGlob) String() string { return g.TableGlob.String() + "." + string(g.Column) }

// parseGlobs splits a text at the first points into at most parts names. What looks like a list, or is longer than any
// names, is a mistake.
func parseGlobs(text string, parts int) ([]Glob, error) {
	switch {
	case text == "":
		return nil, errors.New("it is empty")
	case strings.ContainsAny(text, "\t\r\n,[]{}") || strings.TrimSpace(text) != text:
		return nil, errors.New("it has a comma, a bracket or outer blanks (? stands for what belongs to a name)")
	case len(text) > 768:
		return nil, errors.New("it is longer than names can be")
	}
	var names []Glob
	for _, name := range strings.SplitN(text, ".", parts) {
		if name == "" {
			return nil, errors.New("a name is missing beside the '.'")
		}
		names = append(names, Glob(name))
	}
	return names, nil
}
