package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// ruleBook turns revisions of the rule store into sets that judge. Rules whose text has not changed are read once, and
// revisions that decide the same are one set, so that a publication costs what it changes.
type ruleBook struct {
	store *bus.Rules

	mu   sync.Mutex             // guards the rest
	read map[string]*rules.Rule // by [textKey]; those of the revision that was read last
	sets map[string]*rules.Set  // by digest, of the revisions that were asked for lately
	last []string               // digests, the one asked for last at the end
}

const keptSets = 4

func newRuleBook(store *bus.Rules) *ruleBook {
	return &ruleBook{store: store, read: map[string]*rules.Rule{}, sets: map[string]*rules.Set{}}
}

// Set returns what a batch is judged by.
func (b *ruleBook) Set(ctx context.Context, batch *cdc.Batch) (*rules.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	st, err := b.store.Resolve(ctx, batch.Rules, batch.Seq)
	if err != nil {
		return nil, err
	}
	return b.set(st)
}

// newest returns the set of the newest revision, nil when nothing was ever published.
func (b *ruleBook) newest(ctx context.Context) (*rules.Set, error) {
	st, err := b.store.Newest(ctx)
	if err != nil || st.Revision == (cdc.Revision{}) {
		return nil, err
	}
	return b.set(st)
}

// set returns the set of a state.
func (b *ruleBook) set(st *bus.RuleState) (*rules.Set, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if set, ok := b.sets[st.Digest]; ok {
		b.keep(st.Digest, set)
		return set, nil
	}
	set, read, err := judgeBy(st, b.read)
	if err != nil {
		return nil, err
	}
	b.read = read
	b.keep(st.Digest, set)
	return set, nil
}

// judgeBy reads the rules of a state to judge by them. It fails when this program makes something else of the texts than
// the one that published them: then it must not.
func judgeBy(st *bus.RuleState, known map[string]*rules.Rule) (*rules.Set, map[string]*rules.Rule, error) {
	set, read, err := readState(st, known)
	if err == nil && set.Digest() != st.Digest {
		err = fmt.Errorf("its digest is %s, it was published as %s", set.Digest(), st.Digest)
	}
	if err != nil {
		return nil, nil, cdc.Errorf("CDCD-2314", "this cdcd cannot judge by revision %d of the rules: %w", st.Revision.No, err).
			WithFix("run the version of cdcd that published it, or a newer one; `cdcd rules history` says who did")
	}
	return set, read, nil
}

func (b *ruleBook) keep(digest string, set *rules.Set) {
	b.last = append(slices.DeleteFunc(b.last, func(d string) bool { return d == digest }), digest)
	b.sets[digest] = set
	if len(b.last) > keptSets {
		delete(b.sets, b.last[0])
		b.last = b.last[1:]
	}
}

// try returns the set that a state would make, with the digest that it has, without keeping anything.
func (b *ruleBook) try(st *bus.RuleState) (*rules.Set, error) {
	b.mu.Lock()
	known := b.read
	b.mu.Unlock()
	set, _, err := readState(st, known)
	return set, err
}

// readState reads the rules of a state, in the order of their names: that is the order of matches in what is delivered, and
// must not depend on who publishes from which files. Texts that are known are not read again.
func readState(st *bus.RuleState, known map[string]*rules.Rule) (*rules.Set, map[string]*rules.Rule, error) {
	read := make(map[string]*rules.Rule, len(st.Rules))
	all := make([]*rules.Rule, 0, len(st.Rules))
	for _, name := range slices.Sorted(maps.Keys(st.Rules)) {
		stored := st.Rules[name]
		r := known[textKey(stored)]
		if r == nil {
			var err error
			if r, err = storedRule(stored); err != nil {
				return nil, nil, err
			}
		}
		if r.Name != name || r.Version != stored.Version {
			return nil, nil, fmt.Errorf("rule %s is %s here, it was published as %s", name, r.Version, stored.Version)
		}
		read[textKey(stored)] = r
		all = append(all, r)
	}
	set, err := rules.New(all)
	return set, read, err
}

// textKey tells rules apart by all that they are made of.
func textKey(stored bus.StoredRule) string { return stored.Plugin + "\n" + stored.Text }

// storedRule reads a rule of the store, with the version of its plugin that it was published with.
func storedRule(stored bus.StoredRule) (*rules.Rule, error) {
	r, err := rules.ParseText(stored.Name, stored.Text)
	if err != nil || stored.Plugin == "" {
		return r, err
	}
	return r.Pin(stored.Plugin)
}

// toStore returns what is stored of a rule.
func toStore(r *rules.Rule, file, text string) bus.StoredRule {
	s := bus.StoredRule{Name: r.Name, File: file, Text: text, Version: r.Version, Mode: r.Mode.String()}
	if r.Filter != nil {
		s.Plugin = r.Filter.Digest
	}
	return s
}

// pinner returns a rule with its plugin pinned to the version that holds now.
type pinner func(*rules.Rule) (*rules.Rule, error)

// inFiles moves findings about stored texts to where these stand in their files.
func inFiles(st *bus.RuleState, found rules.Findings) rules.Findings {
	var moved rules.Findings
	for _, f := range found {
		stored, ok := st.Rules[f.File]
		if layout, in := st.Layout[stored.File]; ok && in {
			line := 1 + strings.Count(layout.Head, "\n")
			for _, name := range layout.Rules {
				if name == f.File {
					break
				}
				line += strings.Count(st.Rules[name].Text, "\n")
			}
			one := *f
			one.File, one.Line = stored.File, f.Line-rules.TextLine+line
			f = &one
		}
		moved = append(moved, f)
	}
	return moved
}

// pushed is what somebody wants to publish: rules as they stand in files, or some that were changed otherwise.
type pushed struct {
	rules  map[string]bus.StoredRule // as they are to be
	layout map[string]bus.Layout     // of their files
	scope  func(file string) bool    // which files were read: rules of these that are not in rules are gone
}

// pushedFiles takes rule files apart. Files have the names that they have beside the configuration.
func pushedFiles(dir string, texts []ruleText, all bool, pin pinner) (*pushed, *rules.Set, error) {
	set, err := pinnedTexts(texts, pin)
	if err != nil {
		return nil, nil, err
	}
	p := &pushed{rules: map[string]bus.StoredRule{}, layout: map[string]bus.Layout{}}
	byFile := map[string][]*rules.Rule{}
	for _, r := range set.Rules() {
		file, _ := r.Place()
		byFile[file] = append(byFile[file], r)
	}
	for _, t := range texts {
		file := fileName(dir, t.File)
		if _, twice := p.layout[file]; twice {
			return nil, nil, usagef("two of the rule files are called %s", file).WithFix("give them different names")
		}
		head, each := rules.Split([]byte(t.Text), byFile[t.File])
		layout := bus.Layout{Head: head}
		for i, r := range byFile[t.File] {
			p.rules[r.Name] = toStore(r, file, each[i])
			layout.Rules = append(layout.Rules, r.Name)
		}
		p.layout[file] = layout
	}
	p.scope = func(file string) bool {
		_, read := p.layout[file]
		return read || all && file != ""
	}
	return p, set, nil
}

// fileName returns what a rule file is called in the store: its path from the configuration's folder. One that is
// elsewhere gets a name in rules/, where the files of the configuration mostly are: a pull must not put it beside the
// configuration, where nothing reads it, or in its place.
func fileName(dir, file string) string {
	from, errFrom := filepath.Abs(dir)
	to, errTo := filepath.Abs(file)
	if errFrom == nil && errTo == nil {
		if rel, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return path.Join("rules", path.Base(filepath.ToSlash(file)))
}

// filesDigest hashes what is in rule files, wherever they are, and in the plugins that they name.
func filesDigest(p *pushed) string {
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(p.layout)) {
		fmt.Fprintf(h, "%q %q\n", file, p.layout[file].Head)
		for _, name := range p.layout[file].Rules {
			fmt.Fprintf(h, "%q\n", p.rules[name].Text)
			if plugin := p.rules[name].Plugin; plugin != "" {
				fmt.Fprintf(h, "plugin %s\n", plugin)
			}
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// ruleChange is what a publication will change.
type ruleChange struct {
	changed []bus.StoredRule
	removed []string
	layout  map[string]bus.Layout
}

// merge finds what p changes of base, and puts it on newest. Rules that both p and somebody else have changed since base,
// and not to the same, are a conflict.
func (p *pushed) merge(base, newest *bus.RuleState) (ruleChange, error) {
	var c ruleChange
	var conflicts []string
	same := func(a, b bus.StoredRule) bool { return textKey(a) == textKey(b) && a.File == b.File }
	for _, name := range slices.Sorted(maps.Keys(union(p.rules, base.Rules))) {
		mine, have := p.rules[name]
		was, existed := base.Rules[name]
		now, exists := newest.Rules[name]
		switch {
		case have && existed && same(mine, was), !have && !p.scope(was.File):
			continue // not touched
		case have == exists && (!have || same(mine, now)):
			continue // somebody did the same
		case have && existed && exists && !same(was, now):
			merged, ok, err := mergePlugin(mine, was, now)
			switch {
			case err != nil:
				return c, err
			case !ok:
				conflicts = append(conflicts, name)
			case !same(merged, now):
				c.changed = append(c.changed, merged)
			}
		case existed != exists || existed && !same(was, now):
			conflicts = append(conflicts, name)
		case have:
			c.changed = append(c.changed, mine)
		default:
			c.removed = append(c.removed, name)
		}
	}
	if len(conflicts) > 0 {
		return c, conflict(base, newest, conflicts)
	}
	c.layout = map[string]bus.Layout{}
	alike := func(a, b bus.Layout) bool { return a.Head == b.Head && slices.Equal(a.Rules, b.Rules) }
	for file, layout := range p.layout {
		if !alike(layout, base.Layout[file]) && !alike(layout, newest.Layout[file]) && (len(layout.Rules) > 0 || len(newest.Layout[file].Rules) > 0) {
			c.layout[file] = layout
		}
	}
	for file := range base.Layout {
		if _, read := p.layout[file]; !read && p.scope(file) && len(newest.Layout[file].Rules) > 0 {
			c.layout[file] = bus.Layout{}
		}
	}
	return c, nil
}

// mergePlugin puts a change of a rule on what others have made of it, when one side has changed the text and the other the version
// of its plugin alone. When both have changed that alone, the later one holds: it is the file that was put there last.
func mergePlugin(mine, was, now bus.StoredRule) (merged bus.StoredRule, ok bool, err error) {
	alike := func(a, b bus.StoredRule) bool { return a.Text == b.Text && a.File == b.File }
	text, plugin := mine, now
	if !alike(now, was) {
		text = now
	}
	if mine.Plugin != was.Plugin {
		plugin = mine
	}
	if !alike(mine, was) && !alike(now, was) || mine.Plugin == "" || now.Plugin == "" {
		return merged, false, nil
	}
	r, err := rules.ParseText(text.Name, text.Text)
	if err != nil {
		return merged, false, err
	}
	other, err := rules.ParseText(plugin.Name, plugin.Text)
	if err != nil {
		return merged, false, err
	}
	if r.Filter == nil || other.Filter == nil || r.Filter.Plugin != other.Filter.Plugin || r.Filter.Digest != "" || other.Filter.Digest != "" {
		return merged, false, nil
	}
	if r, err = r.Pin(plugin.Plugin); err != nil {
		return merged, false, err
	}
	return toStore(r, text.File, text.Text), true, nil
}

func union(a, b map[string]bus.StoredRule) map[string]bus.StoredRule {
	all := make(map[string]bus.StoredRule, len(a)+len(b))
	maps.Copy(all, b)
	maps.Copy(all, a)
	return all
}

// conflict says who has changed what in the meantime.
func conflict(base, newest *bus.RuleState, names []string) error {
	who := []string{}
	for _, name := range names {
		now, exists := newest.Rules[name]
		if !exists {
			who = append(who, fmt.Sprintf("%s was removed since your base %d", name, base.Revision.No))
			continue
		}
		who = append(who, fmt.Sprintf("revision %d by %s at %s changed %s since your base %d", now.Revision.No, now.Who, stamp(now.Time), name, base.Revision.No))
	}
	if more := len(who) - 5; more > 0 {
		who = append(who[:5], fmt.Sprintf("and %d more", more))
	}
	return cdc.Errorf("CDCD-2310", "%s", strings.Join(who, "; ")).
		WithFix("see `cdcd rules diff %d %d`; then `cdcd rules pull` to take it over, or `cdcd rules push --base %d` to replace it", base.Revision.No, newest.Revision.No, newest.Revision.No)
}

// empty reports whether nothing is changed.
func (c *ruleChange) empty() bool {
	return len(c.changed) == 0 && len(c.removed) == 0 && len(c.layout) == 0
}

// apply returns the state that the change makes of another.
func (c *ruleChange) apply(to *bus.RuleState) *bus.RuleState {
	st := *to
	st.Rules, st.Layout = maps.Clone(to.Rules), maps.Clone(to.Layout)
	if st.Rules == nil {
		st.Rules = map[string]bus.StoredRule{}
	}
	if st.Layout == nil {
		st.Layout = map[string]bus.Layout{}
	}
	for _, name := range c.removed {
		delete(st.Rules, name)
	}
	for _, r := range c.changed {
		st.Rules[r.Name] = r
	}
	for file, layout := range c.layout {
		if st.Layout[file] = layout; len(layout.Rules) == 0 {
			delete(st.Layout, file)
		}
	}
	return &st
}

// publisher publishes changes of rules, after having checked them.
type publisher struct {
	book    *ruleBook
	plugins *plugins
	feeds   []string
	fits    func(set *rules.Set, changed map[string]bool) error                                    // whether the feeds can take what the rules deliver; nil: they take anything
	tables  func(context.Context) ([]*cdc.Table, error)                                            // none: they are not known
	looked  func(ctx context.Context, set *rules.Set, captured []*cdc.Table) ([]*cdc.Table, error) // nil: only what is captured is known
	dryRun  bool
	strict  bool        // refuse what cannot be checked against the tables
	stream  *bus.Stream // whose frames are to name what was published; nil: nobody here captures
	waits   bool        // for the first of them
}

// outcome is what came of a push.
type outcome struct {
	Revision uint64         `json:"revision"` // the newest one then
	ID       string         `json:"id"`
	Base     uint64         `json:"base"`
	From     uint64         `json:"in_force_from,omitempty"` // the first frame that is judged by it; 0: none yet
	DryRun   bool           `json:"dry_run,omitempty"`
	Changed  []api.RuleDiff `json:"changed"` // none: nothing was published
	Findings rules.Findings `json:"findings,omitempty"`
	Checked  bool           `json:"checked"` // against the tables
}

// publish has change made of the newest state, and published; again when somebody was faster. findings are about what is
// changed; with one that is no warning, nothing is published.
func (p *publisher) publish(ctx context.Context, pub bus.Publication, change func(newest *bus.RuleState) (ruleChange, error)) (outcome, error) {
	for {
		newest, err := p.book.store.Newest(ctx)
		if err != nil {
			return outcome{}, err
		}
		c, err := change(newest)
		out := outcome{Revision: newest.Revision.No, ID: newest.Revision.ID, Base: pub.Base, DryRun: p.dryRun, Changed: []api.RuleDiff{}}
		if err != nil || c.empty() && pub.StandsFor == nil {
			return out, err
		}
		next := c.apply(newest)
		set, err := p.book.try(next)
		if err != nil {
			return out, err
		}
		if out.Changed, err = diffStates(newest, next); err != nil {
			return out, err
		}
		if out.Findings, out.Checked, err = p.check(ctx, next, set, c.changed); err != nil || out.Findings.Err() != nil || p.dryRun {
			return out, err
		}
		pub.Digest, pub.Changed, pub.Removed, pub.Layout = set.Digest(), c.changed, c.removed, c.layout
		before := p.end(ctx)
		made, err := p.book.store.Publish(ctx, newest.Revision, pub)
		if errors.Is(err, bus.ErrRulesMoved) {
			continue
		}
		out.Revision, out.ID = made.No, made.ID
		if err == nil {
			out.From = p.inForce(ctx, made, before)
		}
		return out, err
	}
}

// unknown is the sequence behind which no frame is looked for.
const unknown = math.MaxUint64

// end returns where the stream ends, if that is to be known.
func (p *publisher) end(ctx context.Context) uint64 {
	if p.stream == nil || !p.waits {
		return unknown
	}
	_, seq, err := p.stream.Stamped(ctx)
	if err != nil { // that is for the capture to say; rules are published all the same
		return unknown
	}
	return seq
}

// forcePatience is how long the first frame of a revision may take. Where something is captured it takes some milliseconds.
const forcePatience = 3 * time.Second

// inForce has frames name a revision that was published when the stream ended before, and returns the first that does; 0
// when none comes.
func (p *publisher) inForce(ctx context.Context, made cdc.Revision, before uint64) uint64 {
	if p.stream == nil {
		return 0
	}
	p.stream.Stamp(made) // what is committed once the publisher has its answer is judged by it
	if before == unknown {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, forcePatience)
	defer cancel()
	from, err := p.stream.InForce(ctx, made, before)
	if err != nil {
		return 0
	}
	return from
}

// check finds what is wrong with the rules that are changed, in the set as it will be.
func (p *publisher) check(ctx context.Context, st *bus.RuleState, set *rules.Set, changed []bus.StoredRule) (rules.Findings, bool, error) {
	mine := map[string]bool{}
	for _, r := range changed {
		mine[r.Name] = true
	}
	for _, r := range set.Rules() {
		for _, feed := range r.To {
			if mine[r.Name] && r.Mode != rules.Draft && !slices.Contains(p.feeds, feed) {
				return nil, false, unknownFeed(feed, p.feeds)
			}
		}
	}
	if p.fits != nil {
		if err := p.fits(set, mine); err != nil {
			return nil, false, err
		}
	}
	tables, err := p.tables(ctx)
	wrong, failed := p.examine(ctx, set, mine, tables)
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case failed != nil:
		return nil, false, failed
	case len(wrong) > 0:
		return inFiles(st, wrong), false, nil
	case len(tables) > 0:
	case p.strict && err != nil:
		return nil, false, cdc.Errorf("CDCD-2113", "the tables of these rules are not known, so the rules cannot be checked: %w", err).
			WithFix("push again once the source can be reached")
	default:
		return nil, false, nil
	}
	var looked []*cdc.Table
	var unknown error
	if p.looked != nil {
		looked, unknown = p.looked(ctx, set, tables)
	}
	if p.strict && unknown != nil {
		return nil, false, cdc.Errorf("CDCD-2113", "the tables that these rules look something up in are not known, so the rules cannot be checked: %w", unknown).
			WithFix("push again once the server of the look-ups can be reached")
	}
	found, _ := checkKnown(set, tables, looked, unknown)
	found = slices.DeleteFunc(found, func(f *rules.Finding) bool { return !mine[f.File] })
	for _, f := range found {
		if st.Rules[f.File].Mode == rules.Off.String() { // a rule that does not fit must be able to be put out of the way
			f.Warn()
		}
	}
	return inFiles(st, found), unknown == nil, nil
}

// examine starts the plugins of the rules that are changed, for trial, and returns what is wrong with them. The error is of the
// world. They have a memory of their own: what runs now may have all there is, and is what is to be mended. But they have to fit
// into as much, all of them in all of their feeds, with those of the rules that stay.
func (p *publisher) examine(ctx context.Context, set *rules.Set, mine map[string]bool, tables []*cdc.Table) (rules.Findings, error) {
	trial := newPlugins(p.plugins.cfg, p.plugins.log)
	trial.aside = p.plugins.aside
	defer trial.Close()
	most, need := int64(p.plugins.cfg.Plugins.Memory), pluginNeed{feeds: len(p.feeds)}
	var found rules.Findings
	filters := set.Filters()
	changed := func(r *rules.Rule) bool { return mine[r.Name] }
	if !slices.ContainsFunc(filters, changed) {
		return nil, nil
	}
	slices.SortStableFunc(filters, func(a, b *rules.Rule) int { return compareBools(changed(a), changed(b)) }) // the others have their memory
	for _, r := range filters {
		if !changed(r) {
			if _, one, err := trial.try(ctx, r, nil); err == nil { // else it needs none; what is wrong is not what is published
				need.add(r, one)
			}
			continue
		}
		wrong, one, err := trial.try(ctx, r, tables)
		if found = append(found, wrong...); err != nil {
			return nil, err
		}
		before := need.begin
		need.add(r, one)
		if most > 0 && before <= most && need.begin > most {
			what := fmt.Sprintf("there is no memory for plugin %s in all feeds: with those of the other rules it needs %d MiB, of %d MiB that all may have",
				r.Filter.Plugin, (need.begin+1<<20-1)>>20, most>>20)
			found = append(found, r.FilterFault("plugin", codeMemory, what).Hint("raise plugins.memory in the configuration, or use fewer plugins in fewer feeds"))
		}
	}
	return found, nil
}

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
