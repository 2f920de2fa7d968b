package mysql

import (
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// selection is the set of captured tables. It is immutable; its cache belongs to one goroutine.
type selection struct {
	include, exclude []cdc.TableGlob
	known            map[string]bool
}

// newSelection reads the patterns of what is captured, and of what of that is not.
func newSelection(include, exclude []string) (*selection, error) {
	s := &selection{known: map[string]bool{}}
	parse := func(key string, texts []string) (globs []cdc.TableGlob, err error) {
		for _, text := range texts {
			g, err := cdc.ParseTableGlob(text)
			if err != nil {
				return nil, cdc.Errorf("CDCD-1208", "%s: '%s' is not a pattern of tables: %w", key, text, err).
					WithFix("write it like shop.orders, or shop.* for all tables of a schema")
			}
			globs = append(globs, g)
		}
		return globs, nil
	}
	var err error
	if s.include, err = parse("tables", include); err != nil {
		return nil, err
	}
	if s.exclude, err = parse("exclude_tables", exclude); err != nil {
		return nil, err
	}
	return s, nil
}

// clone returns the same selection for another goroutine.
func (s *selection) clone() *selection {
	return &selection{include: s.include, exclude: s.exclude, known: map[string]bool{}}
}

// has reports whether the table is captured. It does not allocate for tables that it has seen.
func (s *selection) has(schema, table []byte) bool {
	var scratch [160]byte
	key := append(append(append(scratch[:0], schema...), 0), table...)
	if yes, ok := s.known[string(key)]; ok {
		return yes
	}
	yes := s.match(string(schema), string(table))
	if len(s.known) > 100_000 {
		clear(s.known)
	}
	s.known[string(key)] = yes
	return yes
}

func (s *selection) match(schema, table string) bool {
	for _, g := range s.exclude {
		if g.Match(schema, table) {
			return false
		}
	}
	for _, g := range s.include {
		if meansSchema(g, schema) && g.Table.Match(table) {
			return true
		}
	}
	return false
}

// mayHold reports whether a database can hold selected tables.
func (s *selection) mayHold(schema string) bool {
	return slices.ContainsFunc(s.include, func(g cdc.TableGlob) bool { return meansSchema(g, schema) })
}

// meansSchema reports whether a pattern means tables of the schema: a wildcard does not mean the server's own.
func meansSchema(g cdc.TableGlob, schema string) bool {
	if systemSchema(schema) {
		return string(g.Schema) == schema
	}
	return g.Schema.Match(schema)
}

func systemSchema(name string) bool {
	switch strings.ToLower(name) {
	case "mysql", "information_schema", "performance_schema", "sys":
		return true
	}
	return false
}
