package mysql

import (
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// selection is the set of captured tables. It is immutable; its cache belongs to one goroutine.
type selection struct {
	patterns []pattern
	known    map[string]bool
}

type pattern struct{ schema, table string }

// newSelection parses patterns of the form schema.table with * and ? as wildcards.
func newSelection(globs []string) (*selection, error) {
	s := &selection{known: map[string]bool{}}
	for _, g := range globs {
		schema, table, ok := strings.Cut(g, ".")
		if !ok || schema == "" || table == "" {
			return nil, cdc.Errorf("CDCD-1208", "table %q is not of the form schema.table", g).
				WithFix("write %q for all tables of the schema", g+".*")
		}
		s.patterns = append(s.patterns, pattern{schema, table})
	}
	return s, nil
}

// clone returns the same selection for another goroutine.
func (s *selection) clone() *selection {
	return &selection{patterns: s.patterns, known: map[string]bool{}}
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
	for _, p := range s.patterns {
		if systemSchema(schema) && p.schema != schema {
			continue // a wildcard does not mean the server's own tables
		}
		if wildcard(p.schema, schema) && wildcard(p.table, table) {
			return true
		}
	}
	return false
}

// mayHold reports whether a database can hold selected tables.
func (s *selection) mayHold(schema string) bool {
	for _, p := range s.patterns {
		if wildcard(p.schema, schema) && (!systemSchema(schema) || p.schema == schema) {
			return true
		}
	}
	return false
}

func systemSchema(name string) bool {
	switch strings.ToLower(name) {
	case "mysql", "information_schema", "performance_schema", "sys":
		return true
	}
	return false
}

// wildcard matches * (any text) and ? (any character).
func wildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
