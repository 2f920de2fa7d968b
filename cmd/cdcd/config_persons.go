package main

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/person"
)

// personConfig is a kind of person, each of whom has a key of its own.
type personConfig struct {
	// Subject is the column that names the person, by table: {shop.customers: id, shop.orders: customer_id}.
	Subject map[string]string `yaml:"subject" required:"true"`
	// Columns are the person's, in these tables: schema.table.column; each part may hold * and ?. They are encrypted with the person's key
	// before they are written anywhere, and `cdcd erase` destroys the key.
	Columns []string `yaml:"columns" required:"true"`
}

func (v *validator) checkPersons() {
	for _, name := range slices.Sorted(maps.Keys(v.Persons)) {
		at, c := steps("persons", name), v.Persons[name]
		if !plainName.MatchString(name) {
			v.errs = append(v.errs, v.doc.At(at...).KeyError("CDCD-1013", fmt.Sprintf("a kind of person cannot be called '%s'", name)).
				Hint("use up to 32 lower-case letters, digits, - and _"))
		}
		if c == nil {
			v.fault(at, "CDCD-1011", "persons.%s.subject is missing", name).Hint("add 'subject: {shop.customers: id}'")
			continue
		}
		v.checkColumns(append(at, "columns"), c.Columns)
		for _, table := range slices.Sorted(maps.Keys(c.Subject)) {
			v.checkTables(append(at, "subject"), []string{table})
			if c.Subject[table] == "" {
				v.invalid(append(at, "subject", table), "this names no column").Hint("write the column that names the person: {%s: id}", table)
			}
		}
	}
}

// persons returns the kinds of persons, in the order of their names: of a column that is of two kinds the first counts.
func (c *config) persons() []person.Kind {
	var kinds []person.Kind
	for _, name := range slices.Sorted(maps.Keys(c.Persons)) {
		k := person.Kind{Name: name, Subjects: c.Persons[name].Subject}
		for _, text := range c.Persons[name].Columns {
			g, err := cdc.ParseColumnGlob(text)
			if err == nil { // which the validator has seen to
				k.Columns = append(k.Columns, g)
			}
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// personsKeys is the file of the keyring.
func (c *config) personsKeys() maskMethod {
	return maskMethod{method: personsMethod, file: cmp.Or(c.captured().MaskKeyFiles.Persons, filepath.Join(c.Data, "persons.json"))}
}

// personsMethod is what the verbs about keys call the keyring.
const personsMethod = "persons"
