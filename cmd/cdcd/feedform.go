package main

import (
	"fmt"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/form"
)

// openForm makes the form of a feed's records and objects.
func (f *feed) openForm() error {
	o := f.cfg.formOptions()
	if f.view != nil {
		o.Columns = f.view.Columns
	}
	var err error
	if f.form, err = form.New(o); err != nil {
		return fmt.Errorf("feed %s: %w", f.name, err)
	}
	return nil
}

// render returns what makes records of a feed's decisions: narrowed and masked as the feed may see them, in its envelope. Several
// goroutines may call what it returns: the partitions of a feed share it.
func (p *pipeline) render(f *feed) func(dst []byte, d *cdc.Decision) []byte {
	deliveries := sync.Pool{New: func() any { return new(cdc.Delivery) }}
	return func(dst []byte, d *cdc.Decision) []byte {
		delivery := deliveries.Get().(*cdc.Delivery)
		defer deliveries.Put(delivery)
		cdc.Deliver(delivery, f.name, d)
		f.view.Apply(delivery)
		return f.form.Append(dst, delivery)
	}
}

// shape makes a chain write objects of the feed's form.
func (p *pipeline) shape(f *feed, cfg *chain.Config) {
	cfg.Append, cfg.Envelope, cfg.Compress, cfg.Extension = p.render(f), f.form.Name(), f.form.Compress(), f.form.Extension()
	cfg.KeepTransactions, cfg.Manifest, cfg.Version = f.cfg.Rotate.KeepTransactions, f.cfg.Form.Manifest, readVersion().Version
	if f.view != nil {
		cfg.Table = f.view.Table
	}
	if f.form.Single() {
		cfg.Kind = func(e cdc.Event) any { return f.form.Kind(e) }
	}
	cfg.Seal = func(kind any, lines []byte) ([]byte, error) {
		k, _ := kind.(*form.Kind)
		return f.form.Seal(k, lines)
	}
	cfg.Next = f.form.Next
}

// lines makes the configuration of a feed's chain one of plain JSON Lines, as dead letters are.
func lines(cfg chain.Config) chain.Config {
	cfg.Extension, cfg.Kind, cfg.Seal, cfg.Next, cfg.KeepTransactions, cfg.Manifest = "", nil, nil, nil, false, false
	return cfg
}
