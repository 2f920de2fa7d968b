package view

import (
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask/method"
)

// place is what rows are of: of a table's changes, or of what a look-up of that name found in a table.
type place struct {
	table  *cdc.Table
	lookup string
}

// node is a place with the rules that show something of it, of which only what they show counts. What follows when one more
// rule does is behind next, so that finding the plan for a change's rules takes a step for each of them.
type node struct {
	place
	shows []*cdc.Show
	next  map[*cdc.Show]*node
	plan  *plan // made when it is first needed
}

// maxNodes bounds what is remembered: tables are altered, and rules are published again and again.
const maxNodes = 4096

func (v *View) root(at place) *node {
	if v.nodes > maxNodes {
		clear(v.roots)
		v.nodes = 0
	}
	if n := v.roots[at]; n != nil {
		return n
	}
	n := &node{place: at}
	v.roots[at] = n
	v.nodes++
	return n
}

func (v *View) next(n *node, s *cdc.Show) *node {
	if after := n.next[s]; after != nil {
		return after
	}
	after := &node{place: n.place, shows: append(n.shows[:len(n.shows):len(n.shows)], s)}
	if n.next == nil {
		n.next = map[*cdc.Show]*node{}
	}
	n.next[s] = after
	v.nodes++
	return after
}

// plan is what becomes of the columns of a place. It is immutable.
type plan struct {
	columns []cdc.Column // as they are delivered; nil: as they are
	shown   [2][]bool    // by image (a look-up has one) and column
	hidden  [2]bool      // nothing of the image is shown
	dropped []bool       // by column: the feed forbids it, also in the key
	masks   []treatment  // by column; nil: nothing is masked
}

// treatment is how a column is masked.
type treatment struct {
	method method.Method // zero: not at all
	key    Mask          // of methods that need one
	place  string        // schema.table.column
	column *cdc.Column   // unmasked
}

var images = [2]string{"before", "after"}

func (v *View) plan(n *node) *plan {
	if n.plan != nil {
		return n.plan
	}
	t := n.table
	p := &plan{dropped: make([]bool, len(t.Columns)), hidden: [2]bool{true, true}}
	for i := range p.shown {
		p.shown[i] = make([]bool, len(t.Columns))
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		p.dropped[i] = v.drops(t, c.Name)
		allowed := !p.dropped[i] && v.selects(t, c.Name)
		how := v.method(t, c.Name)
		for _, s := range n.shows {
			for j := range images {
				of := images[j]
				if n.lookup != "" {
					of = n.lookup
				}
				if allowed && method.Shows(s, of, c.Name) {
					p.shown[j][i], p.hidden[j] = true, false
				}
				how = method.Stronger(how, method.Of(s, of, c.Name))
			}
		}
		if how != (method.Method{}) {
			p.treat(v, i, how, t)
		}
	}
	n.plan = p
	return p
}

// treat has a column masked. A method that cannot mask it, or that has no key, redacts.
func (p *plan) treat(v *View, i int, how method.Method, t *cdc.Table) {
	c := &t.Columns[i]
	if why, _ := how.Fits(c); why != "" {
		how = method.Method{Name: method.Redact}
	}
	key := v.masks[how.Name]
	if how.Keyed() && key == nil {
		how = method.Method{Name: method.Redact}
	}
	if p.masks == nil {
		p.masks = make([]treatment, len(t.Columns))
		p.columns = append([]cdc.Column(nil), t.Columns...)
	}
	p.masks[i] = treatment{how, key, t.String() + "." + c.Name, c}
	p.columns[i] = how.Column(*c)
}

func (v *View) drops(t *cdc.Table, column string) bool {
	for _, g := range v.drop {
		if g.Match(t.Schema, t.Name, column) {
			return true
		}
	}
	return false
}

func (v *View) selects(t *cdc.Table, column string) bool {
	for _, g := range v.only {
		if g.Match(t.Schema, t.Name, column) {
			return true
		}
	}
	return len(v.only) == 0
}

// method returns how the feed masks a column.
func (v *View) method(t *cdc.Table, column string) method.Method {
	var how method.Method
	for _, m := range v.mask {
		if m.columns.Match(t.Schema, t.Name, column) {
			how = method.Stronger(how, m.method)
		}
	}
	return how
}

// apply narrows and masks the values of an image, in place. An image of which nothing is shown is none.
func (p *plan) apply(image int, values []cdc.Value) []cdc.Value {
	if values == nil || p.hidden[image] {
		return nil
	}
	for i := range values {
		p.narrow(image, i, values)
	}
	return values
}

// applyBoth is apply for both images of a row. What is the same in both, most of an update, is masked once: a key takes its time.
func (p *plan) applyBoth(before, after []cdc.Value) (_, _ []cdc.Value) {
	if before == nil || after == nil || p.masks == nil || p.hidden[0] || p.hidden[1] {
		return p.apply(0, before), p.apply(1, after)
	}
	for i := range before {
		if !p.shown[0][i] || !p.shown[1][i] || !before[i].Equal(after[i]) {
			p.narrow(0, i, before)
			p.narrow(1, i, after)
			continue
		}
		before[i] = p.masked(i, before[i])
		after[i] = before[i]
	}
	return before, after
}

func (p *plan) narrow(image, i int, values []cdc.Value) {
	if !p.shown[image][i] {
		values[i] = cdc.Value{}
	} else {
		values[i] = p.masked(i, values[i])
	}
}

// masked returns what is delivered of a column's value.
func (p *plan) masked(i int, v cdc.Value) cdc.Value {
	if p.masks == nil || v.IsNull() || v.IsAbsent() {
		return v
	}
	m := &p.masks[i]
	switch {
	case m.method == (method.Method{}):
		return v
	case m.key == nil:
		return m.method.Value(m.column, v)
	}
	out, err := m.key.Value(m.place, m.column, v)
	if err != nil { // no key does that to values that fit into memory
		return cdc.TextValue(cdc.KindString, method.Redacted)
	}
	return out
}

func (p *plan) columnsOr(columns []cdc.Column) []cdc.Column {
	if p.columns == nil {
		return columns
	}
	return p.columns
}
