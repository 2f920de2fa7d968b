package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

// pluginAsk is what people ask of the plugins of a running cdcd: what POST /plugins takes.
type pluginAsk struct {
	Verb         string `json:"verb"` // list, shadow, status, stop, promote, release
	Plugin       string `json:"plugin,omitempty"`
	Module       []byte `json:"module,omitempty"`    // shadow: what is to be tried
	Signature    []byte `json:"signature,omitempty"` // shadow: of that
	Digest       string `json:"digest,omitempty"`    // shadow: or a version that is kept
	Who          string `json:"who,omitempty"`       // promote, release
	Why          string `json:"why,omitempty"`       // promote
	Force        bool   `json:"force,omitempty"`     // promote: whatever the trial says
	MaxDifferent uint64 `json:"max_different,omitempty"`
}

// askPlugins answers POST /plugins.
func (p *pipeline) askPlugins(w http.ResponseWriter, r *http.Request) {
	var ask pluginAsk
	if !readWish(w, r, 2*maxPlugin, &ask) {
		return
	}
	if ask.Verb != "list" && ask.Verb != "status" && !may(w, r, api.Operator) {
		return
	}
	ask.Who = by(r, ask.Who)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Duration(p.cfg.Plugins.CompileTime) + 2*storePatience))
	var answer any
	var err error
	switch ask.Verb {
	case "list":
		answer, err = p.listPlugins(r.Context())
	case "shadow":
		answer, err = p.tryPlugin(r.Context(), ask)
	case "status":
		var c *candidate
		if c, err = p.shadows.of(ask.Plugin); err == nil {
			answer = c.said()
		}
	case "stop":
		answer, err = p.shadows.finish(ask.Plugin)
	case "release":
		answer, err = p.releasePlugin(r.Context(), ask)
	case "promote":
		answer, err = p.promote(r.Context(), ask)
	default:
		err = usagef("'%s' is nothing that is asked of plugins", ask.Verb)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		answer = refusalOf(err)
	}
	_ = json.NewEncoder(w).Encode(answer) // the client has gone away
}

// tryPlugin begins to try a version.
func (p *pipeline) tryPlugin(ctx context.Context, ask pluginAsk) (shadowReport, error) {
	set, err := p.desk.book.newest(ctx)
	if err != nil {
		return shadowReport{}, err
	}
	if set == nil || !slices.ContainsFunc(set.Filters(), func(r *rules.Rule) bool { return r.Filter.Plugin == ask.Plugin }) {
		return shadowReport{}, cdc.Errorf(codeNoCandidate, "no rule in force names plugin '%s', so there is nothing to compare with", ask.Plugin).
			WithFix("`cdcd plugin list` shows what is in use; to put a new plugin in force, name it in a rule")
	}
	file := &pluginFile{file: "the file to try", module: ask.Module, signature: ask.Signature, digest: wasm.Digest(ask.Module)}
	if ask.Digest != "" {
		if !rules.IsPluginDigest(ask.Digest) { // it becomes the name of a file
			return shadowReport{}, cdc.Errorf(codeNoPlugin, "'%s' is not the digest of a plugin", ask.Digest).WithFix("name the file of a plugin, or a digest: sha256:…")
		}
		file, err = p.plugins.store.version(ask.Plugin, ask.Digest, false)
	} else {
		err = p.plugins.store.vouched(file)
	}
	if err != nil {
		return shadowReport{}, err
	}
	c, err := p.shadows.begin(ctx, ask.Plugin, file)
	if err != nil {
		return shadowReport{}, err
	}
	p.log.Info("plugin tried", "event", "plugin.shadow", "plugin", ask.Plugin, "digest", c.plugin.Digest())
	return c.said(), nil
}

func statsOf(s wasm.Stats) *api.PluginStats {
	return &api.PluginStats{Events: s.Events, Kept: s.Kept, Dropped: s.Dropped, Edited: s.Edited, Errors: s.Errors, Traps: s.Traps, Fuel: s.Fuel,
		FuelP50: int64(s.FuelP50), FuelP99: int64(s.FuelP99), NsP50: int64(s.TimeP50), NsP99: int64(s.TimeP99), Seconds: s.Time.Seconds(),
		Memory: s.Memory, Instances: s.Instances, Load: s.Load.Seconds(), LinesLost: s.LinesLost, Metrics: s.Metrics}
}

func limitsOf(l wasm.Limits) *api.PluginLimits {
	return &api.PluginLimits{Memory: int64(l.Memory) << 16, Fuel: l.Fuel, BatchFuel: l.BatchFuel, StartFuel: l.Start, Wall: l.Wall.Seconds(),
		Failures: l.Failures, Window: l.Window}
}

// listPlugins says what the running cdcd knows of plugins.
func (p *pipeline) listPlugins(ctx context.Context) ([]api.Plugin, error) {
	set, err := p.desk.book.newest(ctx)
	if err != nil {
		return nil, err
	}
	l := pluginLister{by: map[string]*api.Plugin{}}
	for _, loaded := range p.plugins.ready() {
		m := loaded.plugin.Manifest()
		info := l.at(m.Name, loaded.plugin.Digest())
		info.Version, info.State, info.Stats, info.Limits = m.Version, "ready", statsOf(loaded.plugin.Stats()), limitsOf(loaded.plugin.Limits())
	}
	for _, f := range p.filters.list() {
		info := l.at(f.rule.Filter.Plugin, f.loaded.plugin.Digest())
		info.State = "running"
		if !slices.Contains(info.Feeds, f.feed) {
			info.Feeds = append(info.Feeds, f.feed)
		}
	}
	l.add(p.plugins.store, set)
	l.quarantined(p.plugins.store, append(p.quarantined(), p.quarantines.inForce(set)...))
	p.shadows.mu.Lock()
	for _, info := range l.by {
		info.Shadow = info.State != "unused" && p.shadows.by[info.Plugin] != nil
	}
	p.shadows.mu.Unlock()
	return l.list(), nil
}

// quarantined returns the lines in which plugins are not asked any more.
func (p *pipeline) quarantined() []quarantine {
	var all []quarantine
	for _, f := range p.filters.list() {
		if q := f.inQuarantine(); q != nil {
			q.Fallback = f.rule.Filter.Fallback.String() // which may be another one since
			all = append(all, *q)
		}
	}
	slices.SortFunc(all, func(a, b quarantine) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Feed, b.Feed))
	})
	return all
}

// releasePlugin has a plugin asked again that is in quarantine. The audit log says so first.
func (p *pipeline) releasePlugin(ctx context.Context, ask pluginAsk) ([]quarantine, error) {
	for _, q := range p.quarantines.list() {
		if q.Plugin != ask.Plugin {
			continue
		}
		if err := p.audit.Note(ctx, q.released(ask.Who, ask.Why)); err != nil {
			return nil, err
		}
	}
	lifted, err := p.quarantines.release(ask.Plugin)
	for _, q := range lifted {
		p.log.Info("a plugin is asked again", "event", "plugin.released", "plugin", q.Plugin, "rule", q.Rule, "feed", q.Feed)
	}
	return append([]quarantine{}, lifted...), err
}

// pluginLister puts together what is known of plugins.
type pluginLister struct{ by map[string]*api.Plugin } // by digest

func (l *pluginLister) at(name, digest string) *api.Plugin {
	info := l.by[name+"@"+digest]
	if info == nil {
		info = &api.Plugin{Plugin: name, Digest: digest, State: "unused", Rules: []string{}, Feeds: []string{}}
		l.by[name+"@"+digest] = info
	}
	return info
}

// add adds what the rules name and what is in the folder. set may be nil.
func (l *pluginLister) add(store *pluginStore, set *rules.Set) {
	if set != nil {
		for _, r := range set.Filters() {
			info := l.at(r.Filter.Plugin, r.Filter.Digest)
			info.Rules = append(info.Rules, r.Name)
			if info.State == "unused" {
				info.State = "ready"
			}
			if info.Version == "" {
				inspectInto(info, store, r.Filter.Plugin, r.Filter.Digest)
			}
		}
	}
	for _, name := range store.names() {
		file, err := store.inFolder(name)
		if err != nil {
			file = &pluginFile{}
		} else {
			err = store.vouched(file)
		}
		if info := l.at(name, file.digest); info.Version == "" && info.Wrong == "" {
			fillIn(info, file, err)
		}
	}
}

// quarantined adds in which lines plugins are not asked. Some may come twice.
func (l *pluginLister) quarantined(store *pluginStore, all []quarantine) {
	for _, q := range all {
		info := l.at(q.Plugin, q.Digest)
		if info.Version == "" {
			inspectInto(info, store, q.Plugin, q.Digest)
		}
		if !slices.ContainsFunc(info.Quarantined, func(o api.Quarantine) bool { return q.about((*quarantine)(&o)) }) {
			info.State, info.Quarantined = "quarantined", append(info.Quarantined, api.Quarantine(q))
		}
	}
}

// inspectInto fills in what a version says that is kept.
func inspectInto(i *api.Plugin, store *pluginStore, name, digest string) {
	file, err := store.version(name, digest, false)
	fillIn(i, file, err)
}

// fillIn fills in what the module says, or what is wrong with it.
func fillIn(i *api.Plugin, file *pluginFile, err error) {
	var said *wasm.Info
	if err == nil {
		said, err = wasm.Inspect(file.module)
	}
	if said != nil && said.Manifest != nil {
		i.Version = said.Manifest.Version
		if err == nil && said.Manifest.Name != i.Plugin {
			err = misnamed(i.Plugin, said.Manifest.Name)
		}
	}
	if err != nil {
		i.State, i.Wrong = "wrong", err.Error()
	}
}

func (l *pluginLister) list() []api.Plugin {
	all := []api.Plugin{}
	for _, key := range slices.Sorted(maps.Keys(l.by)) {
		info := *l.by[key]
		slices.Sort(info.Rules)
		slices.Sort(info.Feeds)
		all = append(all, info)
	}
	return all
}

func newPluginListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the plugins in use, and what they have done",
		Long: `List shows every version of a plugin that rules name, that the running cdcd has ready, or that is in the folder of plugins: what
it has judged since it was loaded, what it takes for a change, and whether it is in quarantine because it failed too often.

When no cdcd runs, it shows what is in the folder, which rule files name it, and what is in quarantine.`,
		Example: `  cdcd plugin list
  cdcd plugin list -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			list := []api.Plugin{}
			err = tellRunning(cmd.Context(), cfg, "/plugins", pluginAsk{Verb: "list"}, &list)
			if cdc.CodeOf(err) == codeNotRunning {
				list, err = a.pluginsOfFiles(cfg)
			}
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), list, func(w io.Writer) { a.printPlugins(w, list) })
		},
	}
}

// pluginsOfFiles says what is in the folder of plugins, and which rule files name it.
func (a *app) pluginsOfFiles(cfg *config) ([]api.Plugin, error) {
	plugins := a.pluginsAside(cfg)
	defer plugins.Close()
	texts, err := readRuleFiles(cfg)
	if err != nil {
		return nil, err
	}
	l := pluginLister{by: map[string]*api.Plugin{}}
	pin := plugins.pinner()
	set, err := pinnedTexts(texts, func(r *rules.Rule) (*rules.Rule, error) {
		pinned, err := pin(r)
		if err != nil {
			return r, nil // it is shown as wrong
		}
		return pinned, nil
	})
	if err != nil {
		return nil, err
	}
	l.add(plugins.store, set)
	l.quarantined(plugins.store, openQuarantines(cfg, a.log).list())
	return l.list(), nil
}

func (a *app) printPlugins(w io.Writer, list []api.Plugin) {
	var rows [][]string
	for _, p := range list {
		row := []string{p.Plugin, p.Version, shortVersion(p.Digest), p.State, short(p.Rules), short(p.Feeds)}
		if s := p.Stats; s != nil {
			row = append(row, fmt.Sprint(s.Events), fmt.Sprint(s.Kept), fmt.Sprint(s.Dropped), fmt.Sprint(s.Edited), trapsText(s),
				fmt.Sprintf("%d / %d", s.FuelP50, s.FuelP99), fmt.Sprintf("%d / %d", s.NsP50, s.NsP99), size(s.Memory))
		} else {
			row = append(row, "", "", "", "", "", "", "", "")
		}
		rows = append(rows, row)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "no plugins")
		return
	}
	a.ui.table(w, []string{"PLUGIN", "VERSION", "DIGEST", "STATE", "RULES", "FEEDS", "EVENTS", "KEPT", "DROPPED", "EDITED", "ERRORS", "FUEL p50/p99", "NS p50/p99", "MEMORY"}, rows)
	for _, p := range list {
		if p.Wrong != "" {
			fmt.Fprintf(w, "%s %s: %s\n", a.ui.out(red, "✗"), p.Plugin, p.Wrong)
		}
		for _, q := range p.Quarantined {
			fmt.Fprintf(w, "%s %s in rule %s of feed %s is in quarantine, fallback %s: %s\n", a.ui.out(red, "✗"), q.Plugin, q.Rule, q.Feed, q.Fallback, q.Why)
		}
		if p.Shadow {
			fmt.Fprintf(w, "  another version of %s is tried: cdcd plugin shadow %s --status\n", p.Plugin, p.Plugin)
		}
	}
}

// short names a few of many.
func short(names []string) string {
	if more := len(names) - 3; more > 0 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

func trapsText(s *api.PluginStats) string {
	text := fmt.Sprint(s.Errors)
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(s.Traps)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", s.Traps[kind], kind))
	}
	if len(kinds) > 0 {
		text += " (" + strings.Join(kinds, ", ") + ")"
	}
	return text
}

func newPluginShadowCmd(a *app) *cobra.Command {
	var status, stop bool
	cmd := &cobra.Command{
		Use:   "shadow NAME [FILE|DIGEST]",
		Short: "Try another version of a plugin on what happens now, beside the one in force",
		Long: `Shadow has the running cdcd judge the changes that the plugin in force judges by another version of it, too: a file, or a version
that is kept, by its digest. What that says reaches nobody; it is counted, compared, and what differs is kept as examples.
When it is what is meant, cdcd plugin promote puts the version in force.`,
		Example: `  cdcd plugin shadow fraud-score build/fraud-score.wasm
  cdcd plugin shadow fraud-score --status
  cdcd plugin shadow fraud-score --stop`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			ask := pluginAsk{Plugin: args[0]}
			switch {
			case status && stop, (status || stop) && len(args) > 1:
				return usagef("--status, --stop and a version to try are three things: choose one").WithFix("cdcd plugin shadow %s --status", args[0])
			case status:
				ask.Verb = "status"
			case stop:
				ask.Verb = "stop"
			case len(args) < 2:
				return usagef("name the version to try").WithFix("cdcd plugin shadow %s FILE", args[0])
			default:
				ask.Verb = "shadow"
				if err := ask.version(args[1]); err != nil {
					return err
				}
			}
			var r shadowReport
			if err := tellRunning(cmd.Context(), cfg, "/plugins", ask, &r); err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), r, func(w io.Writer) { a.printShadow(w, r, ask.Verb) })
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "show what the trial has found")
	cmd.Flags().BoolVar(&stop, "stop", false, "end the trial, and show what it has found")
	return cmd
}

// version takes the version to try: a digest, or a file.
func (ask *pluginAsk) version(arg string) error {
	if rules.IsPluginDigest(arg) {
		ask.Digest = arg
		return nil
	}
	file, err := readSigned(arg)
	if err != nil {
		return cdc.Errorf(codeNoPlugin, "the version to try cannot be read: %w", err).WithFix("name the file of a plugin, or a digest: sha256:…")
	}
	if _, err := wasm.Inspect(file.module); err != nil { // before it is sent anywhere
		return err
	}
	ask.Module, ask.Signature = file.module, file.signature
	return nil
}

func (a *app) printShadow(w io.Writer, r shadowReport, verb string) {
	fmt.Fprintf(w, "%s %s (%s) is tried since %s\n", r.Plugin, r.Version, shortVersion(r.Digest), stamp(r.Since))
	if verb == "shadow" {
		fmt.Fprintf(w, "see what it says: cdcd plugin shadow %s --status\n", r.Plugin)
		return
	}
	fmt.Fprintf(w, "judged     %d\nsame       %d\ndifferent  %d\nfailed     %d\nmended     %d\nskipped    %d\n", r.Judged, r.Same, r.Different, r.Failed, r.Mended, r.Skipped)
	if r.FuelRatio > 0 {
		fmt.Fprintf(w, "fuel       %.2f × that of the version in force\n", r.FuelRatio)
	}
	if r.Error != "" {
		fmt.Fprintf(w, "%s %s\n", a.ui.out(red, "✗"), r.Error)
	}
	for i, e := range r.Examples {
		if i == 0 {
			fmt.Fprintln(w, "\nwhat is not the same, the newest last:")
		}
		fmt.Fprintf(w, "#%d %s, rule %s, feed %s\n  in force   %s\n  candidate  %s\n", e.No, e.Table, e.Rule, e.Feed, e.Active, e.Candidate)
	}
}

func newPluginPromoteCmd(a *app) *cobra.Command {
	ask := pluginAsk{Verb: "promote"}
	cmd := &cobra.Command{
		Use:   "promote NAME",
		Short: "Put the version of a plugin in force that is tried",
		Long: `Promote publishes a revision of the rules in which all rules that name the plugin have the version that is tried, and puts its file
into the folder of plugins. It is in force from one frame on, for all feeds. It is refused when the trial has found something
that the two judge otherwise. Rules whose text names a version (NAME@sha256:…) stay as they are. To go back: cdcd rules rollback.`,
		Example: `  cdcd plugin promote fraud-score --why 'knows the new country codes'
  cdcd plugin promote fraud-score --max-different 12 --why 'the 12 are meant'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			ask.Plugin, ask.Who = args[0], whoAmI()
			var done promotion
			if err := tellRunning(cmd.Context(), cfg, "/plugins", ask, &done); err != nil {
				return interrupted(cmd.Context(), err)
			}
			if err := done.Outcome.Findings.Err(); err != nil {
				return err
			}
			if done.Warning != "" {
				a.ui.note("%s", done.Warning)
			}
			return a.ui.result(kind(cmd), done, func(w io.Writer) { a.printPromotion(w, done) })
		},
	}
	whyFlag(cmd, &ask.Why)
	cmd.Flags().Uint64Var(&ask.MaxDifferent, "max-different", 0, "how many changes it may judge otherwise, or fail on")
	cmd.Flags().BoolVar(&ask.Force, "force", false, "whatever the trial has found")
	return cmd
}

func (a *app) printPromotion(w io.Writer, done promotion) {
	for _, d := range done.Outcome.Changed {
		fmt.Fprintf(w, "  %s %s\n", d.Rule, summaryOf(d))
	}
	for _, name := range done.Pinned {
		fmt.Fprintf(w, "  %s stays as it is: its text names a version\n", name)
	}
	r := done.Shadow
	fmt.Fprintf(w, "  of %s, %d were judged the same, %d otherwise\n", plural(int(r.Judged), "change"), r.Same, r.Different+r.Failed+r.Mended)
	switch {
	case len(done.Outcome.Changed) == 0:
		fmt.Fprintf(w, "nothing to publish: revision %d has it already\n", done.Outcome.Revision)
	case done.Outcome.From == 0:
		fmt.Fprintf(w, "%s revision %d is published, in force from the next frame on\n", a.ui.out(green, "✓"), done.Outcome.Revision)
	default:
		fmt.Fprintf(w, "%s revision %d is published, in force from frame %d on\n", a.ui.out(green, "✓"), done.Outcome.Revision, done.Outcome.From)
	}
}
