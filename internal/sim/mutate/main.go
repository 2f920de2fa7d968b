package main

import (
	"fmt"
	"os"

	"github.com/cdcd-project/cdcd/internal/mutate"
)

func main() {
	if err := mutate.Run(mutants, os.Args[1:], "-run", "TestSchedules", "./internal/sim"); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

const (
	links = "sinks/chain/chain.go"
	tells = "sinks/trigger/trigger.go"
	joins = "internal/sim/node.go" // package main joins them in the same way
)

// mutants are what could be wrong in delivery.
var mutants = []mutate.Mutant{
	// The fence.
	{File: links, From: "	if there.SHA256 != o.SHA256 || there.LastPartNo != o.LastPartNo || there.Ordinal != o.Ordinal || there.Prev != o.Prev {",
		To: "	if false {"},
	{File: links, From: "return o, true, fmt.Errorf(\"chain %s: object %s is there already", To: "return there, false, fmt.Errorf(\"chain %s: object %s is there already"},
	{File: links, From: "	if err != nil || created {\n		return o, false, err\n	}", To: "	if err != nil || created {\n		return o, false, nil\n	}"},

	// What a chain answers for.
	{File: links, From: "		c.next, c.seq, c.seqEpoch = c.head.LastPartNo+1, c.head.LastSeq, c.epoch\n		c.from",
		To: "		c.next, c.seq, c.seqEpoch = c.head.LastPartNo, c.head.LastSeq, c.epoch\n		c.from"},
	{File: links, From: "	if no < c.next {\n		return false\n	}", To: ""},
	{File: links, From: "	if next < end { // it is there, and so are frames that it may be in", To: "	if false {"},
	{File: links, From: "		if no <= next {\n			break", To: "		if no > 0 {\n			break"},
	{File: links, From: "p.HeadLast != c.head.LastPartNo || p.Next <= c.next", To: "p.Next <= c.next",
		Same: "what a hint about an older object says of the next key is not believed either, see below"},
	{File: links, From: "	if c.open == nil && len(c.cuts) == 0 {\n		p.First", To: "	if c.open == nil {\n		p.First"},
	{File: links, From: "d.within = c.next-1, c.seq, c.seqEpoch, c.cfg.KeepTransactions && !c.whole", To: "d.within = c.next-1, c.seq, c.seqEpoch, false"},
	{File: links, From: "	c.whole = lastOfTx(b, d.Event.Index())", To: "	c.whole = true"},
	{File: "sinks/chain/split.go", From: "return int((sum ^ sum>>32) % uint64(len(s.chains)))", To: "return int((sum ^ d.Event.PartNo()) % uint64(len(s.chains)))"},

	{File: "sinks/chain/split.go", From: "	if ctx.Err() != nil || !errors.Is(err, context.Canceled) {", To: "	if !errors.Is(err, errors.ErrUnsupported) {"},

	// The log.
	{File: links, From: "reconcile := c.cfg.Committed != nil && c.cfg.Audited != nil", To: "reconcile := false"},
	{File: links, From: "keys[uint64(len(keys))-behind:]", To: "keys[uint64(len(keys))-1:]"},
	{File: links, From: "	if c.cfg.Committed != nil {\n		// The object", To: "	if c.cfg.Committed != nil && attempts == 1 {\n		// The object"},
	{File: links, From: "	if err := c.mendManifest(ctx); err != nil {\n		return err\n	}\n", To: ""},
	{File: links, From: "	if err := c.putManifest(ctx, o, meta, d); err != nil {\n		return err\n	}\n", To: "	_ = d\n"},

	// Triggers.
	{File: tells, From: "	if told >= t.cfg.Audited() {", To: "	if false {"},
	{File: tells, From: "	o, prev, ok, err := t.cfg.Find(ctx, told+1)", To: "	o, prev, ok, err := t.cfg.Find(ctx, t.cfg.Audited())"},
	{File: tells, From: "			if err := t.note(ctx, Done{o, id, attempts}); err != nil {\n				return err\n			}\n", To: ""},
	{File: tells, From: "		if err == nil {\n			err = t.cfg.Send(ctx, id, body)\n		}\n		if err == nil {", To: "		if err == nil {\n			_ = t.cfg.Send(ctx, id, body)\n		}\n		if err == nil {"},
	{File: tells, From: "	id := ID(o)\n	for attempts", To: "	id := ID(o) + t.cfg.Now().String()\n	for attempts"},
	{File: tells, From: "	t.enable = true\n	t.mu.Unlock()\n	t.Kick()", To: "	t.enable = true\n	t.mu.Unlock()"},

	// How they are joined.
	{File: joins, From: "	if err != nil {\n		return err\n	}\n	l.tellers[o.Chain].Kick()", To: "	if err != nil {\n		return nil\n	}\n	l.tellers[o.Chain].Kick()"},
	{File: joins, From: "	l.tellers[o.Chain].Kick()\n", To: ""},
	{File: joins, From: "	for _, t := range l.tellers {\n		t.Kick() //", To: "	for range l.tellers { //"},
	{File: joins, From: "return l.node.log.heads[name].Ordinal", To: "return uint64(len(l.node.w.bucket.chains[name]))"},
}
