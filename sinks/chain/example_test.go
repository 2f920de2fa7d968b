package chain_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/file"
)

// A chain delivers into a directory; opened again it knows what it has delivered.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	dir, _ := os.MkdirTemp("", "acme")
	defer os.RemoveAll(dir)
	store, err := file.Open(file.Config{URL: "file://" + dir})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	cfg := chain.Config{Source: "shop", Feed: "acme", Store: store, Compress: "none"}
	c, err := chain.Open(ctx, cfg)
	if err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }() // waited for below

	// An engine does this for every batch of the stream, from c.Resume() on.
	batch := paidOrder()
	matched := []cdc.Decision{{Event: batch.Event(0), RuleSet: "sha256:…", Matches: []cdc.RuleMatch{{Name: "paid", To: []string{"acme"}}}}}
	if err := c.Write(ctx, batch, matched); err != nil {
		panic(err)
	}
	if err := c.Flush(ctx); err != nil {
		panic(err)
	}
	cancel()
	<-ended

	again, err := chain.Open(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	head := again.Stats().Head
	fmt.Println("object", head.Ordinal, "is", head.Key, "and has", head.Records, "record")
	fmt.Println("read the stream from frame", again.Resume())
	text, _, _ := store.Get(context.Background(), head.Key)
	fmt.Println(strings.Contains(string(text), `"after":{"id":42}`))
	// Output:
	// object 1 is p=00/dt=2026-11-21/00000000000000000007.jsonl and has 1 record
	// read the stream from frame 3
	// true
}

// paidOrder stands for what comes from the bus: frame 3, with event 7.
func paidOrder() *cdc.Batch {
	var rows cdc.Builder
	rows.Reset(cdc.Header{Source: "shop", FirstPartNo: 7})
	tx := rows.AddTx(cdc.Tx{GTID: "0-1-17", CommitTime: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)})
	orders := rows.AddTable(&cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}}})
	rows.BeginRow(1)
	rows.SetInt(0, 42)
	rows.AddEvent(cdc.EventInfo{No: 7, Tx: tx, Table: orders, Op: cdc.OpInsert, After: rows.EndRow()})
	batch, err := cdc.Open(rows.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	batch.Seq = 3
	return batch
}
