package mysql

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// world is a server and its capture without any I/O: transactions are first in the log, then visible, then captured, in
// that order or, between the last two, in any.
type world struct {
	random   *rand.Rand
	log      []map[int64]int64 // what transactions do: the key's new value, 0 deletes
	visible  int               // how many of them readers see
	captured int               // how many capture has taken
	mirror   map[int64]int64   // what a consumer of the stream has
	windows  []*modelChunk
	table    *cdc.Table
}

type modelChunk struct {
	w     *window
	taken int // when the window was opened
	high  int
	rows  map[int64]int64
	read  bool
}

func (w *world) state(n int) map[int64]int64 {
	rows := map[int64]int64{}
	for _, tx := range w.log[:n] {
		for k, v := range tx {
			rows[k] = v
			if v == 0 {
				delete(rows, k)
			}
		}
	}
	return rows
}

// event returns a change as a window sees it.
func (w *world) event(k, v int64) cdc.Event {
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "s"})
	row := func() uint32 {
		b.BeginRow(2)
		b.SetInt(0, k)
		b.SetInt(1, v)
		return b.EndRow()
	}
	info := cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(w.table), Op: cdc.OpInsert}
	if v == 0 {
		info.Op, info.Before = cdc.OpDelete, row()
	} else {
		info.After = row()
	}
	b.AddEvent(info)
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	return batch.Event(0)
}

// step lets one thing happen. It says what is wrong with the rows that were emitted.
func (w *world) step() error {
	switch w.random.IntN(6) {
	case 0, 1:
		tx := map[int64]int64{}
		for range 1 + w.random.IntN(3) {
			tx[1+w.random.Int64N(12)] = w.random.Int64N(4) * w.random.Int64N(1000)
		}
		w.log = append(w.log, tx)
	case 2:
		w.visible = min(w.visible+1, len(w.log))
	case 3:
		if w.captured < len(w.log) {
			for k, v := range w.log[w.captured] {
				for _, ch := range w.windows {
					ch.w.note(w.event(k, v))
				}
				if w.mirror[k] = v; v == 0 {
					delete(w.mirror, k)
				}
			}
			w.captured++
		}
	case 4:
		if len(w.windows) < 2 {
			w.windows = append(w.windows, &modelChunk{w: &window{schema: "s", name: "t", key: []string{"k"}, limit: 1 << 20}, taken: w.captured})
		}
		for _, ch := range w.windows {
			if !ch.read && w.visible >= ch.taken {
				ch.rows, ch.read = w.state(w.visible), true
				ch.high = w.visible + w.random.IntN(len(w.log)-w.visible+1) // anywhere between what is visible and the log's end
			}
		}
	case 5:
		if len(w.windows) == 0 || !w.windows[0].read || w.captured < w.windows[0].high {
			return nil
		}
		ch, now := w.windows[0], w.state(w.captured)
		for k, v := range ch.rows {
			if ch.w.fateOf(appendMergeKey(nil, cdc.Int64Value(k))) != emitted {
				continue
			}
			if now[k] != v {
				return fmt.Errorf("row %d is emitted as %d, it is %d there", k, v, now[k])
			}
			w.mirror[k] = v
		}
		if !maps.Equal(w.mirror, now) {
			return fmt.Errorf("the consumer has %v, the table is %v", w.mirror, now)
		}
		w.windows = w.windows[1:]
	}
	return nil
}

func TestAnEmittedRowIsTheRowAtItsPlaceInTheStream(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range uint64(300) {
		w := &world{random: rand.New(rand.NewPCG(seed, round)), mirror: map[int64]int64{}, table: &cdc.Table{Schema: "s", Name: "t",
			Columns: []cdc.Column{{Name: "k", Type: "bigint", Kind: cdc.KindInt64, Key: 1}, {Name: "v", Type: "bigint", Kind: cdc.KindInt64}}}}
		for range 300 {
			if err := w.step(); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
}

func TestPlacesInTheLogAreOrdered(t *testing.T) {
	for _, c := range []struct {
		a, b mark
		want bool
	}{
		{mark{"binlog.000001", 4}, mark{"binlog.000001", 5}, true},
		{mark{"binlog.000001", 5}, mark{"binlog.000001", 5}, false},
		{mark{"binlog.000009", 900}, mark{"binlog.000010", 4}, true},
		{mark{"binlog.999999", 900}, mark{"binlog.1000000", 4}, true},
		{mark{"binlog.1000000", 4}, mark{"binlog.999999", 900}, false},
		{mark{}, mark{"binlog.000001", 4}, true},
	} {
		if got := c.a.before(c.b); got != c.want {
			t.Errorf("%v before %v: %v", c.a, c.b, got)
		}
	}
}

// Keys go into the stream and come back into SQL: what comes back is not trusted.
func TestKeysThatCannotHaveBeenWrittenAreRefused(t *testing.T) {
	for _, text := range []string{"", "x", "n", "n1;", "n1 OR 1", "n1--2", "q", "q'", "q2024-01-01' OR '1", "s0g", "s00'", "b00 ", "n1/**/", "q\\"} {
		if literal, err := keyLiteral(text); err == nil {
			t.Errorf("%q became %s", text, literal)
		}
	}
	for text, want := range map[string]string{"n-1.5e-07": "-1.5e-07", "s": "_utf8mb4 X''", "b00ff": "_binary X'00ff'", "q-838:59:59.000000": "'-838:59:59.000000'"} {
		if got, err := keyLiteral(text); err != nil || got != want {
			t.Errorf("%q became %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestTheConditionOfACompositeKey(t *testing.T) {
	table := &cdc.Table{Columns: []cdc.Column{{Name: "a"}, {Name: "b`"}, {Name: "c", Kind: cdc.KindEnum}}}
	got, err := beyond(table, []int{0, 2, 1}, []string{"n1", "n2", "s61"}, ">")
	want := "`a` >= 1 AND (`a` > 1 OR (`c` + 0) >= 2 AND ((`c` + 0) > 2 OR `b``` > _utf8mb4 X'61'))"
	if err != nil || got != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
	if got, _ := beyond(table, []int{0, 1}, []string{"n1", "n2"}, "<="); !strings.HasPrefix(got, "`a` <= 1 AND (`a` < 1 OR `b``` <= 2)") {
		t.Error(got)
	}
}
