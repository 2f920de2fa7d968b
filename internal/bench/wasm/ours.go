package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/wasm"
)

// ours has batches judged by us, all in: the columns are picked, the guest is called, its verdicts are taken down.
func ours(ctx context.Context, work string, module []byte, columns int) (judging judging, end func(), err error) {
	names := make([]string, columns)
	for c := range names {
		names[c] = fmt.Sprint("c", c)
	}
	manifest, err := json.Marshal(map[string]any{
		"abi": "cdc1", "name": "score", "version": "1.0.0", "columns": names, "config": map[string]any{"type": "object"},
	})
	if err != nil {
		return nil, nil, err
	}
	if module, err = wasm.AppendManifest(module, manifest); err != nil {
		return nil, nil, err
	}
	filter, end, err := begin(ctx, work, false, module, config(columns))
	if err != nil {
		return nil, nil, err
	}
	list, verdicts := events(), make([]cdc.Verdict, all)
	if err := filter.Judge(ctx, list, verdicts); err != nil {
		return nil, nil, err
	}
	for i, keep := range kept(columns) {
		if verdicts[i].Err != nil || verdicts[i].Keep != keep {
			return nil, nil, fmt.Errorf("change %d: kept %t, error %v, but not %t", i, verdicts[i].Keep, verdicts[i].Err, keep)
		}
	}
	return func(batch int) (func() error, error) {
		at := 0
		return func() error {
			at = (at + batch) % all
			return filter.Judge(ctx, list[at:at+batch], verdicts[:batch])
		}, nil
	}, end, nil
}

func begin(ctx context.Context, work string, unmetered bool, module, config []byte) (*wasm.Filter, func(), error) {
	host, err := wasm.NewHost(wasm.Config{Dir: filepath.Join(work, "compiled"), Compile: wasm.Compile, Unmetered: unmetered})
	if err != nil {
		return nil, nil, err
	}
	plugin, err := host.Load(ctx, module, wasm.Limits{})
	if err != nil {
		return nil, nil, err
	}
	filter, err := plugin.Filter(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return filter, func() { filter.Close(); plugin.Close(); host.Close() }, nil
}

// metered prints what metering adds to the example of each SDK, and returns the largest ratio.
func metered(ctx context.Context, work string) (most float64, err error) {
	fmt.Print("\n| the example of the SDK, 256 a call | not metered | metered | |\n|---|---|---|---|\n")
	for _, language := range guest.Languages() {
		module, err := guest.Make(language, guest.SDK(language), "examples/paid-orders")
		if err != nil {
			return 0, err
		}
		verdicts := make([]cdc.Verdict, all)
		list := orders()
		var judges []func() error
		for _, unmetered := range []bool{true, false} {
			filter, end, err := begin(ctx, work, unmetered, module, nil)
			if err != nil {
				return 0, err
			}
			defer end()
			judges = append(judges, func() error { return filter.Judge(ctx, list, verdicts) })
		}
		took, err := turns(5**least, all, judges...)
		if err != nil {
			return 0, err
		}
		most = max(most, took[1]/took[0])
		fmt.Printf("| %s | %s | %s | %s |\n", language, nanos(took[0]), nanos(took[1]), percent(took[1]/took[0]))
	}
	return most, nil
}

// orders are changes for paid-orders: every second one becomes paid, and a tenth of those is large enough.
func orders() []cdc.Event {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	tx := w.AddTx(cdc.Tx{CommitTime: time.UnixMicro(1795226400123456)})
	table := w.AddTable(&cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Kind: cdc.KindInt64, Key: 1},
		{Name: "note", Kind: cdc.KindString, Nullable: true},
		{Name: "status", Kind: cdc.KindEnum, Members: []string{"new", "paid", "shipped"}},
		{Name: "total", Kind: cdc.KindDecimal, Precision: 12, Scale: 2},
	}})
	image := func(i int, status string) uint32 {
		w.BeginRow(4)
		w.SetInt(0, int64(i))
		w.SetNull(1)
		w.SetText(2, cdc.KindEnum, status)
		w.SetText(3, cdc.KindDecimal, fmt.Sprintf("%d.50", i*7919%1100))
		return w.EndRow()
	}
	for i := range all {
		before, after := image(i, "new"), image(i, []string{"paid", "shipped"}[i%2])
		w.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpUpdate, Before: before, After: after})
	}
	batch, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	list := make([]cdc.Event, all)
	for i := range list {
		list[i] = batch.Event(i)
	}
	return list
}

// starts prints how long it takes until a plugin can judge, by the clock.
func starts(ctx context.Context, modules *modules) error {
	fmt.Print("\n| until it can judge | module | compiled for the first time | found compiled | begun |\n|---|---|---|---|---|\n")
	for _, language := range guest.Languages() {
		module, ok := modules.score[language]
		if !ok {
			continue
		}
		dir, err := os.MkdirTemp("", "bench-wasm-compiled-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		var cold time.Duration
		warm, begun := time.Hour, time.Hour
		for i := range 6 {
			host, err := wasm.NewHost(wasm.Config{Dir: dir, Compile: wasm.Compile})
			if err != nil {
				return err
			}
			at := time.Now()
			plugin, err := host.Load(ctx, module, wasm.Limits{})
			if err != nil {
				return err
			}
			if took := time.Since(at); i == 0 {
				cold = took
			} else {
				warm = min(warm, took)
			}
			at = time.Now()
			filter, err := plugin.Filter(ctx, config(1))
			if err != nil {
				return err
			}
			begun = min(begun, time.Since(at))
			filter.Close()
			plugin.Close()
			host.Close()
		}
		fmt.Printf("| %s | %d KB | %s | %s | %s |\n", language, len(module)/1000, nanos(float64(cold)), nanos(float64(warm)), nanos(float64(begun)))
	}
	return nil
}
