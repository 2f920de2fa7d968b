package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/trigger"
)

const (
	source, feed, place = "shop", "acme", "mem://acme"
	lineage             = 0xabcd << 32
)

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "no", Kind: cdc.KindInt64, Type: "bigint"},
}}

// history is what the source has committed: events with the numbers 1 to total.
type history struct {
	total  uint64
	keys   int64
	begins []uint64    // by event, the first of its transaction; one more than there are events
	commit []time.Time // by event
	match  []bool
	epoch  []uint64 // of the frames that the event may be in
	rules  []int
}

func newHistory(rng *rand.Rand) *history {
	h := &history{total: uint64(2 + rng.IntN(20)), keys: int64(1 + rng.IntN(5))}
	n := int(h.total) + 2
	h.begins, h.commit, h.match = make([]uint64, n), make([]time.Time, n), make([]bool, n)
	h.epoch, h.rules = make([]uint64, n), make([]int, n)
	at, dense, first, epoch, rules := time.Date(2026, 11, 20, 23, 50, 0, 0, time.UTC), 20+rng.IntN(80), uint64(1), uint64(lineage+1), 0
	for no := uint64(1); no <= h.total+1; no++ {
		if rng.IntN(3) > 0 || no > h.total { // the stream ends where a transaction does
			first = no
			at = at.Add(time.Duration(rng.IntN(300)) * time.Second)
			if rng.IntN(15) == 0 {
				epoch++
			}
		}
		if rng.IntN(15) == 0 {
			rules++
		}
		h.begins[no], h.commit[no], h.epoch[no], h.rules[no] = first, at, epoch, rules
		if first == no && rng.IntN(8) == 0 { // a commit's time is when it began
			h.commit[no] = at.Add(-time.Duration(rng.IntN(4000)) * time.Second)
		} else if first < no {
			h.commit[no] = h.commit[first]
		}
		h.match[no] = no <= h.total && rng.IntN(100) < dense
	}
	return h
}

// frame has the events from first on, at most n; none makes a heartbeat.
func (h *history) frame(first uint64, n int) (*cdc.Batch, error) {
	last := first
	for last < first+uint64(n) && last <= h.total && h.epoch[last] == h.epoch[first] {
		last++
	}
	var w cdc.Builder
	w.Reset(cdc.Header{Source: source, Epoch: h.epoch[first], FirstPartNo: first, Heartbeat: last == first})
	tx, left := 0, uint32(first-h.begins[first])
	for no := first; no < last; no++ {
		begins := h.begins[no]
		if no == first || begins == no {
			tx = w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", begins), File: "binlog.000001", Pos: 100 * begins, CommitTime: h.commit[no]})
		}
		if left = uint32(no + 1 - begins); h.begins[no+1] != begins {
			left = 0
			w.UpdateTx(tx, func(tx *cdc.Tx) { tx.Ends = true })
		}
		table := w.AddTable(orders)
		w.BeginRow(2)
		w.SetInt(0, int64(no)*7%h.keys)
		w.SetInt(1, int64(no))
		w.AddEvent(cdc.EventInfo{No: no, Tx: tx, Row: uint32(no - begins), Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	return cdc.Open(w.Seal(cdc.Checkpoint{NextNo: last, TxRows: left}), nil)
}

// decide is what the rules make of a frame.
func (h *history) decide(b *cdc.Batch) []cdc.Decision {
	var ds []cdc.Decision
	for i := range b.Len() {
		if e := b.Event(i); h.match[e.PartNo()] {
			ds = append(ds, cdc.Decision{Event: e, RuleSet: fmt.Sprint("sha256:", h.rules[e.PartNo()]),
				Matches: []cdc.RuleMatch{{Name: "all", Version: "sha256:1", To: []string{feed}}}})
		}
	}
	return ds
}

// bus is the stream. It may lose its end, and has then another generation: whoever reads it is interrupted.
type bus struct {
	frames     []*cdc.Batch
	captured   uint64 // events
	generation int
	most       int // events in a frame, at present
}

func (b *bus) append(h *history, n int) error {
	f, err := h.frame(b.captured+1, n)
	if err != nil {
		return err
	}
	b.frames = append(b.frames, f)
	f.Seq = uint64(len(b.frames))
	b.captured += uint64(f.Len())
	return nil
}

func (b *bus) lose(n, most int) {
	b.frames = b.frames[:max(0, len(b.frames)-n)]
	b.generation++
	b.most = most
	b.captured = 0
	if n := len(b.frames); n > 0 {
		b.captured = b.frames[n-1].Header().FirstPartNo + uint64(b.frames[n-1].Len()) - 1
	}
}

// bucket has the objects, and what they were when they came.
type bucket struct {
	objects map[string]stored
	chains  map[string][]cdc.Object
}

type stored struct {
	body []byte
	meta map[string]string
}

// put creates an object, and demands that one of a chain continues it as it is in this moment: whoever was overtaken,
// however late his write arrives, must not.
func (b *bucket) put(key string, body []byte, meta map[string]string) (created bool, err error) {
	if _, there := b.objects[key]; there {
		return false, nil
	}
	b.objects[key] = stored{bytes.Clone(body), maps.Clone(meta)}
	if !strings.HasSuffix(key, ".jsonl") {
		return true, nil
	}
	o, _, err := chain.ParseObject(place, key, int64(len(body)), meta)
	if err != nil {
		return true, err
	}
	var head cdc.Object
	if n := len(b.chains[o.Chain]); n > 0 {
		head = b.chains[o.Chain][n-1]
	}
	b.chains[o.Chain] = append(b.chains[o.Chain], o)
	if o.Ordinal != head.Ordinal+1 || o.Prev != head.SHA256 || o.FirstPartNo != head.LastPartNo+1 && head.Ordinal > 0 || o.LastPartNo < o.FirstPartNo {
		return true, fmt.Errorf("an object came into being that does not continue its chain:\n%+v\nthe chain ends with\n%+v", o, head)
	}
	return true, nil
}

// auditLog is an audit log in memory, as strict as the real one. It survives its process.
type auditLog struct {
	leaves []leaf
	heads  map[string]cdc.Object
	noted  map[string]uint64
	ids    map[string]bool
}

type leaf struct {
	object cdc.Object
	note   string // "" for the leaf of an object
}

func newAuditLog() *auditLog {
	return &auditLog{heads: map[string]cdc.Object{}, noted: map[string]uint64{}, ids: map[string]bool{}}
}

var errRefused = errors.New("the audit log refuses it")

func (l *auditLog) add(o cdc.Object) error {
	head := l.heads[o.Chain]
	switch {
	case o.Ordinal == head.Ordinal+1 && o.Prev == head.SHA256:
		l.heads[o.Chain] = o
		l.leaves = append(l.leaves, leaf{object: o})
		return nil
	case o.Ordinal > head.Ordinal:
		return fmt.Errorf("object %d of %s behind object %d: %w", o.Ordinal, o.Chain, head.Ordinal, errRefused)
	}
	for _, is := range l.leaves {
		if is.note == "" && is.object.Chain == o.Chain && is.object.Ordinal == o.Ordinal && is.object.SHA256 == o.SHA256 {
			return nil
		}
	}
	return fmt.Errorf("another object %d of %s: %w", o.Ordinal, o.Chain, errRefused)
}

func (l *auditLog) note(o cdc.Object, id string) error {
	if o.Ordinal > l.heads[o.Chain].Ordinal {
		return fmt.Errorf("a note about object %d of %s, the log ends at %d: %w", o.Ordinal, o.Chain, l.heads[o.Chain].Ordinal, errRefused)
	}
	if !l.ids[id] {
		l.ids[id] = true
		l.leaves = append(l.leaves, leaf{o, id})
		l.noted[o.Chain] = max(l.noted[o.Chain], o.Ordinal)
	}
	return nil
}

// partner remembers the first event of each object, by chain.
type partner struct {
	heard map[string][]string // ids
}

// receive takes an event, and demands that it may be sent.
func (p *partner) receive(b *bucket, l *auditLog, id string, body []byte) error {
	var e trigger.Event
	if err := json.Unmarshal(body, &e); err != nil || e.Data == nil {
		return fmt.Errorf("an event that is none: %s", body)
	}
	d := e.Data
	there := b.chains[d.Chain]
	if d.Ordinal == 0 || d.Ordinal > uint64(len(there)) {
		return fmt.Errorf("the partner hears of object %d of %s, which is not in the bucket", d.Ordinal, d.Chain)
	}
	o := there[d.Ordinal-1]
	switch heard := p.heard[d.Chain]; {
	case d.Key != o.Key || d.SHA256 != o.SHA256 || d.FirstPartNo != o.FirstPartNo || d.LastPartNo != o.LastPartNo || d.Records != o.Records:
		return fmt.Errorf("the partner hears that object %d of %s is\n%+v\nand the bucket has\n%+v", d.Ordinal, d.Chain, d, o)
	case l.heads[d.Chain].Ordinal < d.Ordinal:
		return fmt.Errorf("the partner hears of object %d of %s from somebody whose log ends with %d", d.Ordinal, d.Chain, l.heads[d.Chain].Ordinal)
	case id != e.ID:
		return fmt.Errorf("event %s comes under the id %s", e.ID, id)
	case d.Ordinal > uint64(len(heard))+1:
		return fmt.Errorf("the partner hears of object %d of %s and of none after %d before", d.Ordinal, d.Chain, len(heard))
	case d.Ordinal <= uint64(len(heard)) && heard[d.Ordinal-1] != id:
		return fmt.Errorf("the partner hears of object %d of %s as %s, and heard of it as %s", d.Ordinal, d.Chain, id, heard[d.Ordinal-1])
	case d.Ordinal == uint64(len(heard))+1:
		p.heard[d.Chain] = append(heard, id)
	}
	return nil
}
