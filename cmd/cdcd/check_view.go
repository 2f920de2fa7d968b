package main

import (
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask/method"
)

// viewPatterns looks for patterns of persons and of what feeds may see that match nothing, and for methods that do not fit what
// they match. Tables that rules look something up in need not be captured: of those nothing is said.
func (c *checker) viewPatterns(tables []*cdc.Table) {
	var columns []string
	for _, t := range tables {
		for i := range t.Columns {
			columns = append(columns, t.String()+"."+t.Columns[i].Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Persons)) {
		person := c.cfg.Persons[name]
		c.matching("persons."+name+".columns", person.Columns, columns)
		for _, table := range slices.Sorted(maps.Keys(person.Subject)) {
			c.matching("persons."+name+".subject", []string{table + "." + person.Subject[table]}, columns)
		}
	}
	sealed := sealedTables(c.cfg, slices.Clone(tables))
	for _, name := range feedNames(c.cfg) {
		view := &c.cfg.Feeds[name].View
		at := "feeds." + name
		c.matching(at+".select", view.Select, columns)
		c.matching(at+".drop", view.Drop, columns)
		for _, how := range slices.Sorted(maps.Keys(view.Mask)) {
			c.matching(at+".mask", view.Mask[how], columns)
			c.fitting(at+".mask", how, view.Mask[how], sealed)
		}
	}
}

// fitting warns of columns that a method cannot mask as it should: they are redacted.
func (c *checker) fitting(key, how string, patterns []string, tables []*cdc.Table) {
	m, err := method.Parse(how)
	if err != nil {
		return
	}
	for _, t := range tables {
		for i := range t.Columns {
			column := &t.Columns[i]
			name := t.String() + "." + column.Name
			if !slices.ContainsFunc(patterns, func(p string) bool { return matchesName(p, name) }) {
				continue
			}
			if why, fix := m.Fits(column); why != "" {
				item := c.add(patternItem(key), "warn", "%s, and %s is %s: it will be redacted", why, name, column.Type)
				item.Code, item.Fix = "CDCD-2150", fix
			} else if column.Key != 0 && !m.Keyed() {
				item := c.add(patternItem(key), "warn", "%s is of the primary key: masked with %s, rows that differ may look the same to who gets them", name, how)
				item.Code, item.Fix = "CDCD-2151", "use hmac or encrypt, which keep rows apart"
			}
		}
	}
}
