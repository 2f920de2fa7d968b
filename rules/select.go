package rules

import (
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// Judges reports whether the rule is for changes of this operation in the table, named schema.table, whatever its mode.
func (r *Rule) Judges(table string, op cdc.Op) bool {
	schema, name, _ := strings.Cut(table, ".")
	return slices.Contains(r.On, op) && slices.ContainsFunc(r.tables, func(g cdc.TableGlob) bool { return g.Match(schema, name) })
}

// As returns the set of the same rules, all in one mode: to try rules that are off or only watch.
func (s *Set) As(m Mode) *Set {
	rs := make([]*Rule, len(s.rules))
	for i, r := range s.rules {
		other := *r
		other.Mode = m
		rs[i] = &other
	}
	return newSet(rs).Asking(s.ask).LookingIn(s.source)
}
