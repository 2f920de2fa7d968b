package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask/method"
)

// Mask is a method with its key. It may be used by several goroutines at once.
type Mask interface {
	// Value returns what stands for a value that is neither null nor absent, as text. place is schema.table.column.
	Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error)
}

// Config says what a feed may see.
type Config struct {
	Feed   string
	Select []string // columns that may be delivered, schema.table.column with * and ?; none: all
	Drop   []string // columns that may not
	Mask   []ColumnMask

	// Keys returns the mask of a method that needs a key. It is called when the method is first needed, and again after
	// errors: a key may have been made in between.
	Keys func(method string) (Mask, error)
}

// ColumnMask says how columns are masked.
type ColumnMask struct {
	Columns string // schema.table.column with * and ?
	Method  string // hmac, truncate(2)
}

// View is what a feed may see. It may be used by several goroutines at once.
type View struct {
	feed string
	only []cdc.ColumnGlob
	drop []cdc.ColumnGlob
	mask []columnMask
	keys func(method string) (Mask, error)

	mu    sync.Mutex // guards what follows
	masks map[string]Mask
	roots map[place]*node
	nodes int
	known map[*cdc.Show]bool // whose masks have their keys
}

type columnMask struct {
	columns cdc.ColumnGlob
	method  method.Method
}

// New returns the view of a feed. CDCD-4202 is the error of a setting that cannot be.
func New(cfg Config) (*View, error) {
	v := &View{feed: cfg.Feed, keys: cfg.Keys, masks: map[string]Mask{}, roots: map[place]*node{}, known: map[*cdc.Show]bool{}}
	glob := func(key, text string) (cdc.ColumnGlob, error) {
		g, err := cdc.ParseColumnGlob(text)
		if err != nil {
			return g, cdc.Errorf(codeSetting, "%s of feed %s: '%s' is not a pattern of columns: %w", key, cfg.Feed, text, err).
				WithFix("write it like shop.customers.email or *.*.email")
		}
		return g, nil
	}
	for _, text := range cfg.Select {
		g, err := glob("select", text)
		if err != nil {
			return nil, err
		}
		v.only = append(v.only, g)
	}
	for _, text := range cfg.Drop {
		g, err := glob("drop", text)
		if err != nil {
			return nil, err
		}
		v.drop = append(v.drop, g)
	}
	for _, cm := range cfg.Mask {
		g, err := glob("mask", cm.Columns)
		if err != nil {
			return nil, err
		}
		m, err := method.Parse(cm.Method)
		if err != nil {
			return nil, cdc.Errorf(codeSetting, "mask of feed %s: '%s': %w", cfg.Feed, cm.Method, err)
		}
		if err := v.open(m); err != nil {
			return nil, err
		}
		v.mask = append(v.mask, columnMask{g, m})
	}
	return v, nil
}

// Error codes; each has a page, see `cdcd errors CODE`.
const (
	codeKey     = "CDCD-4201" // there is no key for a mask
	codeSetting = "CDCD-4202" // a setting that cannot be
)

// open gets the key of a method that needs one. The caller holds mu, or is alone.
func (v *View) open(m method.Method) error {
	if !m.Keyed() || v.masks[m.Name] != nil {
		return nil
	}
	if v.keys == nil {
		return cdc.Errorf(codeKey, "feed %s masks with %s, and there is no key", v.feed, m.Name).WithFix("cdcd mask new-key %s", m.Name)
	}
	opened, err := v.keys(m.Name)
	if err != nil {
		return keyless(v.feed, m.Name, err)
	}
	v.masks[m.Name] = opened
	return nil
}

// keyless is the error of a method whose key cannot be had.
func keyless(feed, name string, err error) error {
	e := cdc.Errorf(codeKey, "feed %s masks with %s: %w", feed, name, err).WithFix("cdcd mask new-key %s", name)
	var cause *cdc.Error
	if errors.As(err, &cause) {
		e.What = fmt.Sprintf("feed %s masks with %s: %s", feed, name, cause.What)
		if cause.Fix != "" {
			e.Fix = cause.Fix
		}
	}
	return e
}

// Prepare makes sure that what the rules of the decisions want masked can be masked. After an error the decisions must not
// be rendered: the batch is to be offered again.
func (v *View) Prepare(_ context.Context, _ *cdc.Batch, ds []cdc.Decision) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range ds {
		for j := range ds[i].Matches {
			m := &ds[i].Matches[j]
			if m.Show == nil || v.known[m.Show] || !slices.Contains(m.To, v.feed) {
				continue
			}
			for _, how := range m.Show.Mask {
				parsed, err := method.Parse(how.Method)
				if err != nil {
					return cdc.Errorf(codeSetting, "rule %s masks with '%s': %w", m.Name, how.Method, err)
				}
				if err := v.open(parsed); err != nil {
					return err
				}
			}
			if len(v.known) > maxNodes {
				clear(v.known)
			}
			v.known[m.Show] = true
		}
	}
	return nil
}

// Apply takes out of a delivery what the feed may not see, and masks what it may see only so. It allocates nothing where
// there is nothing to mask.
func (v *View) Apply(d *cdc.Delivery) {
	if len(v.only)+len(v.drop)+len(v.mask) == 0 && !slices.ContainsFunc(d.Rules, func(m *cdc.RuleMatch) bool { return m.Show != nil }) {
		return
	}
	p := v.images(d)
	if p.columns != nil {
		d.Columns = p.columns
	}
	table := d.Event.Table()
	for n, i := range table.Key() {
		if p.dropped[i] {
			d.Key[n] = cdc.Value{}
		} else {
			d.Key[n] = p.masked(i, d.Key[n])
		}
	}
	d.Before, d.After = p.applyBoth(d.Before, d.After)

	kept := d.Lookups[:0]
	for i := range d.Lookups {
		f := &d.Lookups[i]
		p, shown := v.lookup(d, f)
		if !shown {
			continue
		}
		if p != nil {
			f.Columns = p.columnsOr(f.Columns)
			for j := range f.Rows {
				p.apply(0, f.Rows[j])
			}
		}
		kept = append(kept, *f)
	}
	d.Lookups = kept
}

// images returns the plan for the row images of a delivery.
func (v *View) images(d *cdc.Delivery) *plan {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.root(place{d.Event.Table(), ""})
	for _, m := range d.Rules {
		n = v.next(n, m.Show)
	}
	return v.plan(n)
}

// lookup returns the plan for the rows of a look-up, nil when it has none, and whether any of it is shown. Of the rules only
// those count that asked.
func (v *View) lookup(d *cdc.Delivery, f *cdc.Found) (*plan, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	shown := false
	var n *node
	if f.Table != nil {
		n = v.root(place{f.Table, f.Name})
	}
	for _, m := range d.Rules {
		if !slices.ContainsFunc(m.Lookups, func(l cdc.Looked) bool { return l.Name == f.Name }) {
			continue
		}
		shown = shown || m.Show == nil || len(m.Show.Select) == 0 ||
			slices.ContainsFunc(m.Show.Select, func(p cdc.Path) bool { return p.Of == f.Name })
		if n != nil {
			n = v.next(n, m.Show)
		}
	}
	if !shown || n == nil {
		return nil, shown
	}
	p := v.plan(n)
	return p, !p.hidden[0]
}

// Columns returns the columns of a table as the feed's own masks leave them; rules may mask more.
func (v *View) Columns(t *cdc.Table) []cdc.Column {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := &plan{columns: t.Columns}
	for i := range t.Columns {
		if how := v.method(t, t.Columns[i].Name); how != (method.Method{}) {
			p.treat(v, i, how, t)
		}
	}
	return p.columns
}

// Table describes a table to those who get the feed: without the columns that they do not get, and with those that are masked as what the
// masks make of them. t itself if it is whole. by has, for each way in which records are shown, what the rules of those let see, nil for
// a rule that hides nothing: what any of them shows as it is, is described as it is.
func (v *View) Table(t *cdc.Table, by [][]*cdc.Show) *cdc.Table {
	v.mu.Lock()
	defer v.mu.Unlock()
	plans := make([]*plan, len(by))
	for i, shows := range by {
		n := v.root(place{t, ""})
		for _, s := range shows {
			n = v.next(n, s)
		}
		plans[i] = v.plan(n)
	}
	whole := true
	shown := make([]cdc.Column, 0, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		var masked *cdc.Column
		plainly := false
		for _, p := range plans {
			switch {
			case p.dropped[i] || c.Key == 0 && !p.shown[0][i] && !p.shown[1][i]:
			case p.masks == nil || p.masks[i].method == (method.Method{}):
				plainly = true
			case masked == nil:
				masked = &p.columns[i]
			}
		}
		if whole = whole && plainly; plainly {
			shown = append(shown, *c)
		} else if masked != nil {
			shown = append(shown, *masked)
		}
	}
	if whole {
		return t
	}
	return &cdc.Table{Schema: t.Schema, Name: t.Name, Columns: shown}
}
