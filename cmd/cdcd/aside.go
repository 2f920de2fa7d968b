package main

import (
	"context"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// aside is what works on the stores and the stream of a configuration while no cdcd runs: nothing is captured or delivered by it.
func (a *app) aside(ctx context.Context, cfg *config, unanswered error) (*pipeline, error) {
	if !hasStream(cfg) {
		return nil, cdc.Errorf("CDCD-2301", "there is no history: nothing has been captured into %s", cfg.Data).WithFix("run cdcd first")
	}
	p := &pipeline{app: a, cfg: cfg, writer: writerName(), dlq: make(turn, 1), rules: newRuleWatch(), triggers: &triggers{}}
	var err error
	if p.stream, err = a.unattended(ctx, cfg, unanswered); err != nil {
		return nil, err
	}
	fail := func(err error) (*pipeline, error) { p.closeAside(); return nil, err }
	p.lookups = openLookups(cfg, a.env, p.stream, nil) // so that it can be closed
	if p.persons, err = openPersons(ctx, cfg, p.stream, a.log); err != nil {
		return fail(err)
	}
	p.lookups.persons = p.persons
	store, err := p.stream.Rules(ctx)
	if err != nil {
		return fail(err)
	}
	p.desk = newRuleDesk(a, cfg, newRuleBook(store), a.pluginsAside(cfg))
	p.desk.drafts = p.stream.Drafts
	if err := p.openFeeds(ctx); err != nil {
		return fail(err)
	}
	p.audit, err = audit.Open(ctx, audit.Config{Dir: cfg.Audit.Dir, KeyFile: cfg.Audit.KeyFile, Origin: "cdcd/" + cfg.Name, Logger: a.log})
	if err != nil {
		return fail(err)
	}
	return p, nil
}

func (p *pipeline) closeAside() {
	if p.audit != nil {
		p.audit.Close()
	}
	if p.lookups != nil {
		p.lookups.Close()
	}
	p.stream.Close()
	if p.desk != nil {
		p.desk.plugins.Close()
	}
	for _, f := range p.feeds {
		closeStore(f.store)
	}
}
