package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// Set is a set of rules. It is immutable, but for what it remembers of the tables it has seen, and may be used by many
// goroutines at once.
type Set struct {
	rules  []*Rule
	digest string
	plans  *plans
	ask    Ask    // of [Set.Asking]; nil: plugins are not asked
	source LookUp // of [Set.LookingIn]; nil: nothing is looked up

	unasked bool // of [Set.NotLookingUp]
}

// New makes a set of the rules of one or more files. Two rules of one name are an error of type [Findings].
func New(rs []*Rule) (*Set, error) {
	byName := map[string]*Rule{}
	var errs Findings
	for _, r := range rs {
		if first, ok := byName[r.Name]; ok {
			errs = append(errs, r.place.At("name").Error(codeDuplicate, fmt.Sprintf("there are two rules '%s'", r.Name)).
				Hint("the first is at %s", first.place.At("name").Pos()))
			continue
		}
		byName[r.Name] = r
		if r.lang != rs[0].lang {
			errs = append(errs, r.place.At("name").Error(codeName, fmt.Sprintf("rule '%s' is of another language than the rules before it", r.Name)).
				Hint("parse all rules of a set with one Language"))
		}
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return newSet(slices.Clone(rs)), nil
}

// After returns the same set, to be used after another: it takes over what that has compiled for rules that are in both,
// so that changing a few of many takes little time.
func (s *Set) After(earlier *Set) *Set {
	next := &Set{rules: s.rules, digest: s.digest, plans: newPlans(s.rules), ask: s.ask, source: s.source}
	if languageOf(s.rules) == languageOf(earlier.rules) {
		next.plans.earlier = earlier.plans.sites()
	}
	return next
}

func newSet(rs []*Rule) *Set {
	return &Set{rules: rs, digest: digestOf(rs), plans: newPlans(rs)}
}

// digestOf hashes the versions of all rules, in the order of their names: that is not the order of files and lines.
func digestOf(rs []*Rule) string {
	lines := make([]string, len(rs))
	for i, r := range rs {
		lines[i] = r.Version + " " + r.Name + "\n"
	}
	slices.Sort(lines)
	return digest("rules\n" + strings.Join(lines, ""))
}

// Digest returns "sha256:…" over all that decides in all rules. The layout of files, comments, descriptions and tests do
// not change it.
func (s *Set) Digest() string { return s.digest }

// Rules returns the rules in the order they were given, which is the order of matches. The slice must not be changed.
func (s *Set) Rules() []*Rule { return s.rules }

// Feeds returns the feeds that rules name, in order. Rules that are off count: their feeds must be configured too.
func (s *Set) Feeds() []string {
	var feeds []string
	for _, r := range s.rules {
		feeds = append(feeds, r.To...)
	}
	return sorted(feeds)
}

// Only returns the set of the rules that deliver to one of the feeds, or would if they were active, and of those that
// watch for no feed at all.
func (s *Set) Only(feeds ...string) *Set {
	var rs []*Rule
	for _, r := range s.rules {
		if r.Mode == Shadow && len(r.To) == 0 || slices.ContainsFunc(r.To, func(feed string) bool { return slices.Contains(feeds, feed) }) {
			rs = append(rs, r)
		}
	}
	return newSet(rs).Asking(s.ask).LookingIn(s.source)
}

// NotLookingUp returns the same set, for when nobody can say what the tables are like that rules look something up in: Check then says
// nothing about those that it does not know.
func (s *Set) NotLookingUp() *Set {
	unasked := *s
	unasked.unasked = true
	return &unasked
}

// names reports whether the rule names the table.
func (r *Rule) names(t *cdc.Table) bool {
	return slices.ContainsFunc(r.tables, func(g cdc.TableGlob) bool { return g.Match(t.Schema, t.Name) })
}

// IsAbout reports whether the rule names the table.
func (r *Rule) IsAbout(t *cdc.Table) bool { return r.names(t) }

// Check compiles every rule against every table that it names. tables are all that the source captures; looked are those of
// [Set.LookupTables] that it does not. The findings are in the order of the files; the error is nil when they are only warnings, else
// it is those findings.
func (s *Set) Check(tables []*cdc.Table, looked ...*cdc.Table) (Findings, error) {
	var found Findings
	said := map[string]bool{}
	add := func(f *Finding) {
		key := fmt.Sprint(f.File, f.Line, f.Col, f.Code, f.Msg)
		if f.Code == codeCase {
			key = f.Code + f.Msg // once for a column: it is hardly a mistake of each rule
		}
		if !said[key] && len(found) < 10*maxFindings { // a glob names many tables with the same mistake
			said[key] = true
			found = append(found, f)
		}
	}
	alive := map[*Rule]bool{} // by rules that name a table: whether there is an event that they might match
	for _, t := range tables {
		site, err := newSite(t, languageOf(s.rules))
		if err != nil {
			return nil, err
		}
		site.lints = true
		for _, r := range s.rules {
			if !r.names(t) {
				continue
			}
			programs, f := compile(r, site)
			alive[r] = alive[r] || len(f) > 0 || slices.ContainsFunc(programs[:], func(p *program) bool { return p != nil && !p.never })
			for _, one := range f {
				if r.Mode == Draft {
					one.Warn()
				}
				add(one)
			}
		}
	}
	for _, r := range s.rules {
		s.checkTables(r, tables, add)
		if f := r.unseen(); f != nil {
			add(f)
		}
		for _, f := range r.showOfLookups(tables) {
			if r.Mode == Draft {
				f.Warn()
			}
			add(f)
		}
		if may, named := alive[r]; named && !may {
			add(r.place.At("when").Error(codeAlways, "the condition is never true: the rule matches nothing").Warn())
		}
	}
	s.duplicates(add)
	if err := s.checkLookups(tables, append(slices.Clip(tables), looked...), add); err != nil {
		return nil, err
	}
	found.Sort()
	return found, found.Err()
}

// checkTables says which of a rule's patterns name no table.
func (s *Set) checkTables(r *Rule, tables []*cdc.Table, add func(*Finding)) {
	for i, g := range r.tables {
		if slices.ContainsFunc(tables, func(t *cdc.Table) bool { return g.Match(t.Schema, t.Name) }) {
			continue
		}
		f := r.place.At("tables", i).Error(codeNoTable, fmt.Sprintf("no known table is called '%s'", g.String())).Warn()
		if near, ok := nearest(g.String(), tableNames(tables)); ok {
			f.Hint("did you mean '%s'?", near)
		} else {
			f.Hint("the rule matches nothing until there is one")
		}
		add(f)
	}
}
