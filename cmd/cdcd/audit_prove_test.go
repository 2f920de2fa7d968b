package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/audit/index"
)

func TestWithTheIndexProveReadsOnlyWhatItNames(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "cdcd-prove-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := audit.Config{Dir: filepath.Join(dir, "audit"), KeyFile: filepath.Join(dir, "key"), Origin: "cdcd/shop"}
	log, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			if err := log.Note(t.Context(), audit.Note{Kind: audit.TypeReplayed, ID: fmt.Sprint(i), By: "test"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var prev string
	deliver := func(ordinal uint64) string {
		o := cdc.Object{Chain: "shop/acme/00", Ordinal: ordinal, Store: "file:///x", Key: fmt.Sprintf("p=00/dt=2026-11-22/%020d.jsonl", ordinal), SHA256: fmt.Sprintf("%064x", ordinal),
			Prev: prev, Records: 1, FirstPartNo: ordinal, LastPartNo: ordinal}
		if err := log.Object(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		prev = o.SHA256
		return o.Key
	}
	key := deliver(1)
	read := func() *audit.Reader {
		t.Helper()
		r, err := audit.Read(c.Dir, log.PublicKey(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	x, err := openIndex(c.KeyFile, false)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	records := func(context.Context, cdc.Object) (iter.Seq[index.Record], error) {
		return slices.Values([]index.Record{{Table: "shop.orders", Key: []string{"7"}, Time: at}}), nil
	}
	if err := x.Update(t.Context(), read(), records, nil); err != nil {
		t.Fatal(err)
	}
	newer := deliver(2) // the index does not know it
	record := []byte(`{"id":"0-1-1/0","op":"insert","commit_time":"2026-11-22T00:00:00Z","table":"shop.orders","key":{"id":7},"feed":"acme","source":{"name":"shop","part_no":1}}`)

	if err := os.Rename(filepath.Join(c.Dir, "tile/entries/000"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	for _, find := range []struct {
		name   string
		key    string
		record []byte
		leaf   int64
	}{
		{"an object", key, nil, 300}, {"an object in a store", "file:///x/" + key, nil, 300}, {"a record", "", record, 300}, {"an object that is newer than the index", newer, nil, 0},
	} {
		leaf, _, err := findObject(t.Context(), read(), x, find.key, find.record)
		if leaf != find.leaf || (err == nil) != (leaf > 0) {
			t.Errorf("%s: leaf %d, %v; want %d", find.name, leaf, err, find.leaf)
		}
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(c.Dir, "tile/entries/000")); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*index.Index{x, nil} {
		if leaf, _, err := findObject(t.Context(), read(), x, newer, nil); leaf != 301 || err != nil {
			t.Errorf("newer than the index: leaf %d, %v", leaf, err)
		}
	}
}
