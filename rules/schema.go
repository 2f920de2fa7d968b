package rules

import (
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// schemaFile is a file that says what tables look like, for checking rules without a database.
type schemaFile struct {
	Version int                  `yaml:"version"`
	Tables  map[string]tableYAML `yaml:"tables,required"`
}

type tableYAML struct {
	Columns map[string]string `yaml:"columns,required"`
	Key     []string          `yaml:"key"`
}

// ParseSchema reads a schema file: the columns and primary keys of tables, with the types of SHOW CREATE TABLE.
//
//	tables:
//	  shop.orders:
//	    columns: {id: bigint unsigned not null, status: "enum('new','paid')", total: "decimal(12,2)"}
//	    key: [id]
//
// Columns are nullable unless they say NOT NULL or are part of the key. The error is of type [Findings].
func ParseSchema(file string, src []byte) ([]*cdc.Table, error) {
	var f schemaFile
	doc, err := strictyaml.Decode(file, src, &f, strictyaml.Config{Codes: strictyaml.Codes{Syntax: codeSchema, Key: codeSchema, Value: codeSchema}})
	p := parser{doc: doc}
	if err != nil {
		p.errs = err.(strictyaml.Errors)
	}
	tables := p.schemaTables(doc.At("tables"), f.Tables)
	if err := p.errs.Err(); err != nil {
		return nil, err
	}
	return tables, nil
}

func (p *parser) schemaTables(section strictyaml.Place, y map[string]tableYAML) []*cdc.Table {
	var tables []*cdc.Table
	for _, name := range section.Keys() {
		at := section.At(name)
		if p.badWithin(at) {
			continue
		}
		schema, table, ok := strings.Cut(name, ".")
		if !ok || schema == "" || table == "" {
			e := at.KeyError(codeSchema, fmt.Sprintf("'%s' is not the name of a table", clip(name)))
			p.add(e.Hint("write schema.table"))
			continue
		}
		tables = append(tables, p.table(at, schema, table, y[name]))
	}
	return tables
}

func (p *parser) table(at strictyaml.Place, schema, name string, y tableYAML) *cdc.Table {
	t := &cdc.Table{Schema: schema, Name: name}
	for _, column := range at.At("columns").Keys() {
		text := y.Columns[column]
		sqlType, nullable := columnNull(text)
		c, ok := cdc.ParseType(sqlType)
		if !ok {
			p.fail(at.At("columns", column), codeSchema, "'%s' is not an SQL type", clip(text)).
				Hint("write it as SHOW CREATE TABLE does: bigint unsigned not null, decimal(12,2), enum('a','b')")
			continue
		}
		c.Name, c.Nullable = column, nullable
		t.Columns = append(t.Columns, c)
	}
	for i, column := range y.Key {
		j := t.Column(column)
		if j < 0 {
			p.fail(at.At("key", i), codeSchema, "%s has no column '%s'", name, clip(column))
			continue
		}
		t.Columns[j].Key, t.Columns[j].Nullable = uint16(i+1), false
	}
	return t
}

// columnNull splits "int not null" into its type and whether it takes NULL.
func columnNull(text string) (sqlType string, nullable bool) {
	text = strings.TrimSpace(text)
	lower := strings.ToLower(text)
	switch {
	case strings.HasSuffix(lower, " not null"):
		return strings.TrimSpace(text[:len(text)-len(" not null")]), false
	case strings.HasSuffix(lower, " null"):
		return strings.TrimSpace(text[:len(text)-len(" null")]), true
	}
	return text, true
}
