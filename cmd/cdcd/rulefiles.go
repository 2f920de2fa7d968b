package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// Rule files stay what people write and review. Whoever runs with some pushes them when they have changed since this data
// folder has pushed any: so several machines with the same files push once, and one that still has old files does not
// take back what others have pushed.

// filesMark is the file in the data folder with the digest of the rule files that were pushed last, and behind it the revision
// that they were found to be the same as, if others published that.
const filesMark = "rules.pushed"

// baseMark is the file beside the configuration that says which revision the rule files were last pulled at.
const baseMark = ".cdcd-rules"

// ruleText is a rule file, saved or not.
type ruleText struct {
	File string `json:"file"`
	Text string `json:"text"`
}

// maxDraft bounds what is read of rules from standard input.
const maxDraft = 16 << 20

// ruleTexts reads rule files; "-" is standard input.
func (a *app) ruleTexts(args []string) ([]ruleText, error) {
	if len(args) == 1 && args[0] == "-" {
		text, err := io.ReadAll(io.LimitReader(os.Stdin, maxDraft+1))
		if err == nil && len(text) > maxDraft {
			err = fmt.Errorf("more than %d bytes", maxDraft)
		}
		if err != nil {
			return nil, cdc.Errorf("CDCD-1020", "read rules from standard input: %w", err)
		}
		return []ruleText{{"(standard input)", string(text)}}, nil
	}
	files, err := ruleFiles(a, args)
	if err != nil {
		return nil, err
	}
	return readFiles(files)
}

// readRuleFiles reads the rule files of the configuration.
func readRuleFiles(cfg *config) ([]ruleText, error) {
	files, err := cfg.ruleFiles()
	if err != nil {
		return nil, err
	}
	return readFiles(files)
}

func readFiles(names []string) ([]ruleText, error) {
	var texts []ruleText
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, cdc.Errorf("CDCD-1020", "read rules: %w", err)
		}
		texts = append(texts, ruleText{name, string(src)})
	}
	return texts, nil
}

// parseTexts makes a set of rule files, or returns what is wrong in them.
func parseTexts(texts []ruleText) (*rules.Set, error) {
	return pinnedTexts(texts, func(r *rules.Rule) (*rules.Rule, error) { return r, nil })
}

// pinnedTexts does so, with the plugins of the rules pinned.
func pinnedTexts(texts []ruleText, pin pinner) (*rules.Set, error) {
	all, found, err := parseEach(texts)
	if err == nil {
		err = found.Err()
	}
	for i := 0; i < len(all) && err == nil; i++ {
		all[i], err = pin(all[i])
	}
	if err != nil {
		return nil, err
	}
	return rules.New(all)
}

// parseEach returns the rules that can be read, and what is wrong in the files.
func parseEach(texts []ruleText) (all []*rules.Rule, found rules.Findings, err error) {
	for _, t := range texts {
		rs, err := rules.Parse(t.File, []byte(t.Text))
		var wrong rules.Findings
		if err != nil && !errors.As(err, &wrong) {
			return nil, nil, err
		}
		all, found = append(all, rs...), append(found, wrong...)
	}
	return all, found, nil
}

// pulledAt returns the revision that the files beside the configuration were pulled at, 0 if they were not.
func pulledAt(dir string) uint64 {
	text, err := os.ReadFile(filepath.Join(dir, baseMark))
	if err != nil {
		return 0
	}
	no, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return no
}

// pushFiles pushes the rule files when they have changed.
func (p *pipeline) pushFiles(ctx context.Context, why string) error {
	texts, err := readRuleFiles(p.cfg)
	if err != nil {
		return err
	}
	newest, err := p.desk.book.store.Newest(ctx)
	if err != nil {
		return err
	}
	if len(texts) == 0 {
		if newest.Revision.No == 0 {
			_, err = parseRules(p.cfg) // says that there are none
		}
		return err
	}
	files, _, err := pushedFiles(p.cfg.dir(), texts, true, p.plugins.pinner())
	if err != nil {
		return err
	}
	if len(files.rules) == 0 && newest.Revision.No != 0 {
		return nil // as without files: taking out all rules is left to `rules push`
	}
	digest := filesDigest(files)
	mark, err := p.readMark(ctx)
	if err != nil {
		return err
	}
	pulled := max(pulledAt(p.cfg.dir()), mark.same.No)
	switch {
	case newest.Revision.No == 0:
	case mark.digest == digest:
		return nil // nothing that was not here before
	case newest.Files.Files == digest && newest.Files.Revision.No >= pulled:
		return p.writeMark(pushMark{digest: digest})
	case mark.digest == "":
		if err := p.notOlder(ctx, digest); err != nil {
			return err
		}
	}
	result, err := p.desk.answer(ctx, ruleAsk{Verb: "push", Files: texts, All: true, Dir: p.cfg.dir(), PulledAt: pulled, Who: "run@" + hostName(), Why: why, byItself: true})
	if err != nil {
		return err
	}
	out := result.(outcome)
	if err := out.Findings.Err(); err != nil {
		return err
	}
	for _, f := range out.Findings {
		p.ui.note("%s", f)
	}
	if len(out.Changed) > 0 {
		p.log.Info("rule files pushed", "event", "rules.pushed", "revision", out.Revision, "changed", len(out.Changed), "checked", out.Checked)
		return p.writeMark(pushMark{digest: digest})
	}
	// Others have published what the files say: what is changed in them from now on is changed since then.
	if newest, err = p.desk.book.store.Newest(ctx); err != nil {
		return err
	}
	mark.digest = digest
	if c, err := files.merge(newest, newest); err == nil && c.empty() {
		mark.same = newest.Revision
	}
	return p.writeMark(mark)
}

// pushMark is what the data folder knows of the rule files.
type pushMark struct {
	digest string       // of those that were taken up last; "": none
	same   cdc.Revision // that said the same as the files, without having been published from files
}

// readMark reads it. A revision that the store does not have is not one to begin with.
func (p *pipeline) readMark(ctx context.Context) (pushMark, error) {
	text, err := os.ReadFile(filepath.Join(p.cfg.Data, filesMark))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pushMark{}, err
	}
	digest, rest, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	mark := pushMark{digest: digest}
	same, err := cdc.ParseRevision(rest)
	if err != nil || same.No == 0 {
		return mark, nil
	}
	if st, err := p.desk.state(ctx, same.No); err == nil && st.Revision == same {
		mark.same = same
	}
	return mark, ctx.Err()
}

func (p *pipeline) writeMark(mark pushMark) error {
	return os.WriteFile(filepath.Join(p.cfg.Data, filesMark), []byte(mark.digest+"\n"+mark.same.String()+"\n"), 0o640)
}

// notOlder refuses files that were pushed before and that others have replaced since: a machine that is set up anew with
// an old copy must not take back what is in force.
func (p *pipeline) notOlder(ctx context.Context, digest string) error {
	old := uint64(0)
	err := p.desk.book.store.History(ctx, 1, func(pub bus.Publication) error {
		if pub.Files == digest {
			old = pub.Revision.No
		}
		return nil
	})
	if err == nil && old > 0 {
		return cdc.Errorf("CDCD-2316", "the rule files are those of revision %d, and newer ones have been pushed since", old).
			WithFix("bring the rule files up to date, or push them on purpose: cdcd rules push")
	}
	return err
}

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}
