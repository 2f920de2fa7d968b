package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask/method"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// This file is about `select` and `mask`: what of a change, and of what was looked up for it, a rule lets see, and how.

// maxPaths bounds the columns that a rule names in select and in mask.
const maxPaths = 1000

// show reads `select` and `mask`.
func (p *parser) show(at strictyaml.Place, y *ruleYAML, r *Rule) {
	selected, masked := at.At("select"), at.At("mask")
	if !selected.Exists() && !masked.Exists() {
		return
	}
	show := &cdc.Show{}
	seen := map[cdc.Path]bool{}
	switch {
	case !selected.Exists() || p.badWithin(selected):
	case len(y.Select) == 0:
		p.fail(selected, codeValue, "'select' names no column").Hint("write select: [after.id, after.status], or remove it to deliver everything")
	case len(y.Select) > maxPaths:
		p.fail(selected, codeLimit, "%d columns in 'select'; at most %d are read", len(y.Select), maxPaths)
	default:
		for i, text := range y.Select {
			path, mistake := r.path(text, selected.At(i).Error)
			if mistake == nil && seen[path] {
				mistake = selected.At(i).Error(codeDuplicate, fmt.Sprintf("'%s' is there twice", clip(text))).Hint("remove one of them")
			}
			if seen[path] = true; mistake != nil {
				p.add(mistake)
			}
			show.Select = append(show.Select, path)
		}
	}
	switch {
	case !masked.Exists() || p.badWithin(masked):
	case len(y.Mask) == 0:
		p.fail(masked, codeValue, "'mask' names no column").Hint("write mask: {after.email: hmac}, or remove it")
	case len(y.Mask) > maxPaths:
		p.fail(masked, codeLimit, "%d columns in 'mask'; at most %d are read", len(y.Mask), maxPaths)
	default:
		for _, text := range masked.Keys() {
			path, mistake := r.path(text, masked.At(text).KeyError)
			if mistake != nil {
				p.add(mistake)
			}
			m, err := method.Parse(y.Mask[text])
			if err != nil {
				p.noMethod(masked.At(text), y.Mask[text], err)
			}
			show.Mask = append(show.Mask, cdc.MaskPath{Path: path, Method: m.String()})
		}
	}
	r.Show = show
}

// noMethod says that there is no such method of masking.
func (p *parser) noMethod(at strictyaml.Place, text string, err error) {
	if err != method.ErrUnknown {
		p.fail(at, codeValue, "'%s' is not a method of masking", clip(text)).Hint("%s", err)
		return
	}
	e := p.fail(at, codeValue, "'%s' is not a known method of masking", clip(text))
	if near, ok := strictyaml.Nearest(text, method.Names); ok {
		e.Hint("did you mean '%s'?", near)
	} else if near, ok := maskAliases[strings.ToLower(text)]; ok {
		e.Hint("did you mean '%s'?", near)
	} else {
		e.Hint("one of redact, hmac, encrypt, year, month, truncate(3), last4")
	}
}

// maskAliases are what other tools call the same thing.
var maskAliases = map[string]string{"hash": "hmac", "sha256": "hmac", "md5": "hmac", "pseudonym": "hmac", "token": "encrypt", "tokenize": "encrypt",
	"aes": "encrypt", "hide": "redact", "null": "redact", "drop": "redact", "remove": "redact", "partial": "last4", "left": "truncate(3)",
	"prefix": "truncate(3)", "date": "month", "round": "month"}

// path reads after.email, row.* or customer.name. mistake makes a finding at its place.
func (r *Rule) path(text string, mistake func(code, msg string) *Finding) (cdc.Path, *Finding) {
	of, column, dotted := strings.Cut(text, ".")
	known := []string{beforeVar, afterVar, rowVar}
	for _, l := range r.Lookups {
		known = append(known, l.Name)
	}
	path := cdc.Path{Of: of, Column: column}
	switch {
	case !dotted || column == "":
		e := mistake(codeValue, fmt.Sprintf("'%s' does not say of what it is a column", clip(text)))
		if slices.Contains(known, of) {
			return path, e.Hint("write %s.<column>, or %s.* for all of them", of, of)
		}
		return path, e.Hint("write after.%s, or row.%s for both before and after", clip(text), clip(text))
	case !slices.Contains(known, of):
		e := mistake(codeName, fmt.Sprintf("there is nothing named '%s'", clip(of)))
		if near, ok := strictyaml.Nearest(of, known); ok {
			return path, e.Hint("did you mean '%s.%s'?", near, clip(column))
		}
		return path, e.Hint("a column is of %s", some(known, "or"))
	case column != "*" && strings.ContainsAny(column, "*?"):
		return path, mistake(codeValue, fmt.Sprintf("'%s' is not the name of a column", clip(column))).Hint("write %s.* for all columns, or name each", of)
	}
	return path, nil
}

// canonicalShow is the part of the rule's canonical text that is about what it lets see.
func (r *Rule) canonicalShow(field func(name string, values ...string)) {
	if r.Show == nil {
		return
	}
	var selected, masked []string
	for _, p := range r.Show.Select {
		selected = append(selected, pathText(p))
	}
	for _, m := range r.Show.Mask {
		masked = append(masked, pathText(m.Path)+" "+m.Method)
	}
	if len(selected) > 0 {
		field("select", sorted(selected)...)
	}
	if len(masked) > 0 {
		field("mask", sorted(masked)...)
	}
}

func pathText(p cdc.Path) string { return p.Of + "." + p.Column }

// Selected returns what the rule selects, as rule files have it; nil: everything.
func (r *Rule) Selected() []string {
	if r.Show == nil {
		return nil
	}
	var out []string
	for _, p := range r.Show.Select {
		out = append(out, pathText(p))
	}
	return out
}

// Masked returns what the rule masks, as rule files have it: "after.email: hmac".
func (r *Rule) Masked() []string {
	if r.Show == nil {
		return nil
	}
	var out []string
	for _, m := range r.Show.Mask {
		out = append(out, pathText(m.Path)+": "+m.Method)
	}
	return out
}

// showFindings says what of select and mask does not fit the rule's table. What is of look-ups is judged by their tables,
// see [Rule.showOfLookups].
//
// A column that is masked and not there is a mistake like one in a condition, also while the rule is in force: it may have
// been renamed, and must not go out under its new name unmasked.
func (r *Rule) showFindings(t *cdc.Table, lints bool) Findings {
	if r.Show == nil {
		return nil
	}
	var found Findings
	for i, p := range r.Show.Select {
		if ofRow(p.Of) {
			found = append(found, columnFinding(t, p.Column, r.place.At("select", i).Error)...)
		}
	}
	for _, m := range r.Show.Mask {
		if !ofRow(m.Of) {
			continue
		}
		at := r.place.At("mask", pathText(m.Path))
		if missing := columnFinding(t, m.Column, at.KeyError); missing != nil {
			found = append(found, missing...)
			continue
		}
		found = append(found, r.methodFindings(t, m, at)...)
		if lints {
			found = append(found, r.lintMask(t, m, at)...)
		}
	}
	return found
}

// ofRow reports whether a path is of the row that is changed, not of a look-up.
func ofRow(of string) bool { return of == beforeVar || of == afterVar || of == rowVar }

// columnFinding says that a table has no such column.
func columnFinding(t *cdc.Table, column string, mistake func(code, msg string) *Finding) Findings {
	if column == "*" || t.Column(column) >= 0 {
		return nil
	}
	f := mistake(codeColumn, fmt.Sprintf("%s has no column '%s'", t.Name, clip(column)))
	switch near, ok := strictyaml.Nearest(column, columnNames(t)); {
	case slices.Contains(t.Dropped, column):
		f.Hint("the source leaves it out (drop_columns)")
	case ok:
		f.Hint("did you mean '%s' (%s)?", near, sqlType(&t.Columns[t.Column(near)]))
	default:
		names := columnNames(t)
		if len(names) > 12 {
			names = append(names[:12:12], "…")
		}
		f.Hint("its columns are %s", clip(strings.Join(names, ", ")))
	}
	return Findings{f}
}

// methodFindings says which columns a method does not fit. Of all columns it is said once.
func (r *Rule) methodFindings(t *cdc.Table, m cdc.MaskPath, at strictyaml.Place) Findings {
	how, err := method.Parse(m.Method)
	if err != nil {
		return nil // said when the rule was read
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if m.Column != "*" && m.Column != c.Name {
			continue
		}
		if why, fix := how.Fits(c); why != "" {
			return Findings{at.Error(codeMask, fmt.Sprintf("%s, and %s of %s is %s", why, c.Name, t.Name, sqlType(c))).Hint("%s", fix)}
		}
	}
	return nil
}

// lintMask says what follows from a mask that is hardly meant so.
func (r *Rule) lintMask(t *cdc.Table, m cdc.MaskPath, at strictyaml.Place) Findings {
	shown := func(column string) bool {
		return method.Shows(r.Show, beforeVar, column) || method.Shows(r.Show, afterVar, column)
	}
	how, _ := method.Parse(m.Method)
	for i := range t.Columns {
		c := &t.Columns[i]
		switch {
		case m.Column != "*" && m.Column != c.Name:
		case c.Key != 0 && !how.Keyed():
			return Findings{at.Error(codeMaskLint, fmt.Sprintf("%s is of the primary key of %s: masked with %s, rows that differ may look the same to who gets them", c.Name, t.Name, how.Name)).
				Hint("write hmac or encrypt, which keep rows apart").Warn()}
		case m.Column != "*" && c.Key == 0 && !shown(c.Name):
			return Findings{at.KeyError(codeMaskLint, fmt.Sprintf("'select' leaves %s out: its mask only counts where another rule delivers the same change to the feed", c.Name)).
				Hint("remove the mask, or add %s to 'select'", pathText(m.Path)).Warn()}
		}
	}
	return nil
}

// showOfLookups says what of select and mask does not fit what is looked up, as far as the tables are known.
func (r *Rule) showOfLookups(tables []*cdc.Table) Findings {
	if r.Show == nil {
		return nil
	}
	var found Findings
	check := func(p cdc.Path, m *cdc.MaskPath, mistake func(code, msg string) *Finding, at strictyaml.Place) {
		i := slices.IndexFunc(r.Lookups, func(l *Lookup) bool { return l.Name == p.Of })
		if i < 0 {
			return
		}
		l := r.Lookups[i]
		if p.Column != "*" && l.Columns != nil && !slices.Contains(l.Columns, p.Column) {
			f := mistake(codeColumn, fmt.Sprintf("look-up '%s' does not ask for a column '%s'", l.Name, clip(p.Column)))
			if near, ok := strictyaml.Nearest(p.Column, l.Columns); ok {
				f.Hint("did you mean '%s'?", near)
			} else {
				f.Hint("add it to 'columns' of the look-up")
			}
			found = append(found, f)
			return
		}
		for _, t := range tables {
			if t.String() != l.Table {
				continue
			}
			if missing := columnFinding(t, p.Column, mistake); missing != nil {
				found = append(found, missing...)
			} else if m != nil {
				found = append(found, r.methodFindings(t, *m, at)...)
			}
		}
	}
	for i, p := range r.Show.Select {
		at := r.place.At("select", i)
		check(p, nil, at.Error, at)
	}
	for i := range r.Show.Mask {
		m := &r.Show.Mask[i]
		at := r.place.At("mask", pathText(m.Path))
		check(m.Path, m, at.KeyError, at)
	}
	return found
}

// narrowed makes a match's delivery what the rule lets see of it. What only a key can mask stands as the method's name.
func (r *Rule) narrowed(d *cdc.Delivery) {
	if r.Show == nil {
		return
	}
	rows := func(columns []cdc.Column, values []cdc.Value, of string) {
		for i := range values {
			c := &columns[i]
			switch how := method.Of(r.Show, of, c.Name); {
			case !method.Shows(r.Show, of, c.Name):
				values[i] = cdc.Value{}
			case values[i].IsNull() || values[i].IsAbsent() || how == method.Method{}:
			case how.Keyed():
				values[i] = cdc.TextValue(cdc.KindString, how.Name)
			default:
				values[i] = how.Value(c, values[i])
			}
		}
	}
	mask := func(columns []cdc.Column, of string) []cdc.Column {
		out := slices.Clone(columns)
		for i := range out {
			if how := method.Of(r.Show, of, out[i].Name); how != (method.Method{}) {
				out[i] = how.Column(out[i])
			}
		}
		return out
	}
	rows(d.Columns, d.Before, beforeVar)
	rows(d.Columns, d.After, afterVar)
	d.Columns = mask(d.Columns, afterVar)
	for i := range d.Lookups {
		f := &d.Lookups[i]
		for _, values := range f.Rows {
			rows(f.Columns, values, f.Name)
		}
		f.Columns = mask(f.Columns, f.Name)
	}
}
