package cdc

import "slices"

// Delivery is a decision as one feed gets it: what every envelope is rendered from. [Deliver] fills it in, with what
// plugins have edited and look-ups have found; whoever narrows or masks does so in it. It is used again for the next
// decision: what is kept of it has to be copied.
type Delivery struct {
	Feed    string
	Event   Event
	RuleSet string
	Rules   []*RuleMatch // those that deliver to the feed, in the order of the rule set
	Change  string       // Entered, Stayed or Left when one of them has `where`, else ""
	Tags    []string     // that plugins gave, each once

	// Columns of the event's table as they are delivered: those of the table, but what was masked has what the mask makes
	// of it. They are not to be altered; who masks puts others in their place.
	Columns []Column

	Key     []Value // of the primary key's columns as they became, by Table.Key; nil when the table has none
	Before  []Value // by column; nil when there is no such image or it is not shown, absent where a column is not
	After   []Value
	Lookups []Found // in the order of the rules, each name once

	key, before, after []Value // the memory of Key, Before and After
}

// Found is what a look-up found, as it is delivered.
type Found struct {
	Name    string
	Many    bool      // it is an array; else it is one row or null
	Table   *Table    // the columns that were asked for
	Columns []Column  // of Table as they are delivered, see [Delivery]
	Rows    [][]Value // by column
	At      string    // see Looked
}

// Deliver makes the delivery of a decision to a feed. Only matches that deliver to it count; if all of them are rules with
// `where`, only the row images that satisfy one of them are shown. Feed "" stands for all matches, and shows both.
func Deliver(to *Delivery, feed string, d *Decision) {
	to.Feed, to.Event, to.RuleSet, to.Change = feed, d.Event, d.RuleSet, ""
	to.Rules, to.Tags, to.Lookups = to.Rules[:0], to.Tags[:0], to.Lookups[:0]
	var was, is, whole, edited bool // before satisfies a rule's filter; after does; a rule delivers the change whatever the images are
	for i := range d.Matches {
		m := &d.Matches[i]
		if feed != "" && !slices.Contains(m.To, feed) {
			continue
		}
		to.Rules = append(to.Rules, m)
		if m.Change == "" {
			whole = true
		} else {
			was, is = was || m.Change != Entered, is || m.Change != Left
		}
		if m.Edits != nil {
			edited = true
			for _, tag := range m.Edits.Tags {
				if !slices.Contains(to.Tags, tag) {
					to.Tags = append(to.Tags, tag)
				}
			}
		}
		for j := range m.Lookups {
			to.find(&m.Lookups[j])
		}
	}
	before, after := d.Event.Before(), d.Event.After()
	keyed := after
	showBefore, showAfter := true, true
	if was || is {
		switch {
		case !was:
			to.Change = Entered
		case !is:
			to.Change, keyed = Left, Row{}
		default:
			to.Change = Stayed
		}
		if feed != "" && !whole {
			showBefore, showAfter = was, is
		}
	}
	t := d.Event.Table()
	to.Columns = t.Columns
	to.key = to.key[:0]
	for _, i := range t.Key() {
		v := keyed.Value(i)
		if v.kind == KindAbsent { // as in a delete and in minimal images: it did not change
			v = before.Value(i)
		}
		to.key = append(to.key, v)
	}
	if to.Key = to.key; len(to.key) == 0 {
		to.Key = nil
	}
	to.Before, to.After = nil, nil
	if showBefore && before.Exists() {
		to.before = before.appendValues(to.before[:0])
		to.Before = to.before
	}
	if showAfter && after.Exists() {
		to.after = after.appendValues(to.after[:0])
		to.After = to.after
	}
	if edited {
		to.edit()
	}
}

// find adds what a look-up found, unless another rule has found something under that name.
func (to *Delivery) find(l *Looked) {
	for i := range to.Lookups {
		if to.Lookups[i].Name == l.Name {
			return
		}
	}
	f := Found{Name: l.Name, Many: l.Many, At: l.At}
	for _, r := range l.Rows {
		f.Table, f.Columns = r.table, r.table.Columns
		f.Rows = append(f.Rows, r.appendValues(nil))
	}
	to.Lookups = append(to.Lookups, f)
}

// edit makes the edits of all rules: of a column the last one counts. Nobody edits a key: it would tell of another row.
func (to *Delivery) edit() {
	for _, m := range to.Rules {
		if m.Edits == nil {
			continue
		}
		for i := range m.Edits.Columns {
			edit := &m.Edits.Columns[i]
			values, v := to.After, edit.Value
			if edit.Before {
				values = to.Before
			}
			c := to.Event.Table().Column(edit.Column)
			if values == nil || c < 0 || to.Columns[c].Key != 0 {
				continue
			}
			if edit.Drop {
				v = Value{}
			}
			values[c] = v
		}
	}
}

// appendValues appends the values of all columns.
func (r Row) appendValues(dst []Value) []Value {
	for i := range r.table.Columns {
		dst = append(dst, r.Value(i))
	}
	return dst
}
