package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

func newWorkload(db *testenv.Server, c Config) *Workload {
	c.Addr, c.User = db.Addr, "root"
	return New(c)
}

func do(t *testing.T, w *Workload) {
	t.Helper()
	if err := w.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerIsWhatTheServerLogged(t *testing.T) {
	testenv.Each(t, func(t *testing.T, db *testenv.Server) {
		w := newWorkload(db, Config{Seed: 1, Transactions: 800, ChangeKeys: true})
		do(t, w)
		if n, changes := w.Committed(); n != 800 || changes < 1600 {
			t.Errorf("committed: %d transactions with %d changes, want 800 with twice as many or more", n, changes)
		}
		if err := w.Check(t.Context(), Want{}, Lines(bytes.NewReader(delivered(t, db)))); err != nil {
			t.Error(err)
		}
	})
}

func TestLedgerSurvivesServersThatAreKilledAndConnectionsThatBreak(t *testing.T) {
	testenv.Each(t, func(t *testing.T, db *testenv.Server) {
		line := testenv.NewProxy(t, db.Addr)
		w := newWorkload(db, Config{Seed: 2, Workers: 8, Pause: time.Millisecond})
		w.config.Addr = line.Addr
		if err := w.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }() // received from below
		progress := func() {
			t.Helper()
			from, _ := w.Committed()
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if n, _ := w.Committed(); n >= from+100 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("the workload does not go on")
				}
			}
		}
		progress()
		db.Kill()
		db.Start(t)
		progress()
		for range 10 {
			line.Cut()
			time.Sleep(20 * time.Millisecond)
		}
		progress()
		db.Stop(t)
		db.Start(t)
		progress()
		db.Pause(t)
		cancel() // the end must wait for what hangs
		time.Sleep(50 * time.Millisecond)
		db.Resume(t)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if err := w.Check(t.Context(), Want{}, Lines(bytes.NewReader(delivered(t, db)))); err != nil {
			t.Error(err)
		}
	})
}

func TestRunGoesOnWhereItEnded(t *testing.T) {
	db := testenv.MariaDB(t)
	w := newWorkload(db, Config{Seed: 3, Transactions: 100})
	do(t, w)
	if err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := w.Committed(); n != 200 {
		t.Errorf("transactions: got %d, want 200", n)
	}
	if err := w.Check(t.Context(), Want{}, Lines(bytes.NewReader(delivered(t, db)))); err != nil {
		t.Error(err)
	}
}

// TestCheckFindsWhatIsWrong changes what was delivered in every way that Check promises to find.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	db := testenv.MariaDB(t)
	w := newWorkload(db, Config{Seed: 4, Transactions: 400})
	do(t, w)
	content, err := w.tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.SplitAfter(delivered(t, db), []byte("\n"))
	whole = whole[:len(whole)-1]

	find := func(what string, ok func(i int, l, next line) bool) int {
		for i := range whole[:len(whole)-1] {
			if ok(i, decode(t, whole[i]), decode(t, whole[i+1])) {
				return i
			}
		}
		t.Fatalf("the workload made no %s", what)
		return 0
	}
	update := find("update", func(_ int, l, _ line) bool { return l.Op == "update" && strings.Contains(string(l.After), `"balance"`) })
	deletion := find("delete", func(_ int, l, _ line) bool { return l.Op == "delete" })
	insert := find("insert that is not deleted later", func(_ int, l, _ line) bool {
		return l.Op == "insert" && l.Table == "ledger.transactions"
	})
	sameTx := find("transaction with two statements", func(_ int, l, next line) bool {
		return l.Source.GTID == next.Source.GTID && l.Table != next.Table
	})
	txEnd := find("transaction of several changes before another", func(i int, l, next line) bool {
		return i > 0 && decode(t, whole[i-1]).Source.GTID == l.Source.GTID && l.Source.GTID != next.Source.GTID
	})
	again := 0 // a later update of the row that the line before updated
	sameRow := find("row that is updated twice", func(i int, l, _ line) bool {
		again = 1 + i + slices.IndexFunc(whole[i+1:], func(raw []byte) bool {
			m := decode(t, raw)
			return m.Op == "update" && m.Table == l.Table && string(m.Key) == string(l.Key)
		})
		return l.Op == "update" && again > i
	})
	// Transactions that are 50 apart did not run at the same time.
	firstOf := func(n int) int {
		seen := 0
		return find("fiftieth transaction", func(_ int, l, _ line) bool {
			if l.Table == "ledger.transactions" {
				seen++
			}
			return seen == n
		})
	}

	edit := func(at int, change func(m map[string]any)) func([][]byte) [][]byte {
		return func(lines [][]byte) [][]byte {
			m := map[string]any{}
			d := json.NewDecoder(bytes.NewReader(lines[at]))
			d.UseNumber()
			if err := d.Decode(&m); err != nil {
				t.Fatal(err)
			}
			change(m)
			lines[at] = append([]byte(marshal(m)), '\n')
			return lines
		}
	}
	after := func(m map[string]any) map[string]any { return m["after"].(map[string]any) }
	source := func(m map[string]any) map[string]any { return m["source"].(map[string]any) }
	// renumbered makes the numbers dense again, so that they don't give the change away.
	renumbered := func(change func([][]byte) [][]byte) func([][]byte) [][]byte {
		return func(lines [][]byte) [][]byte {
			lines = change(lines)
			for i := range lines {
				lines = edit(i, func(m map[string]any) { source(m)["no"], source(m)["part_no"] = i+1, i+1 })(lines)
			}
			return lines
		}
	}
	swap := func(i, j int) func([][]byte) [][]byte {
		return func(lines [][]byte) [][]byte {
			lines[i], lines[j] = lines[j], lines[i]
			return lines
		}
	}

	tests := []struct {
		name   string
		change func(lines [][]byte) [][]byte
		want   string
	}{
		{"nothing", func(l [][]byte) [][]byte { return l }, ""},
		{"numbers kept", renumbered(func(l [][]byte) [][]byte { return l }), ""},
		{"nothing delivered", func([][]byte) [][]byte { return nil }, "committed, but never delivered"},
		{"last line lost", func(l [][]byte) [][]byte { return l[:len(l)-1] }, "committed, but never delivered"},
		{"first line lost", func(l [][]byte) [][]byte { return l[1:] }, "committed, but never delivered"},
		{"update lost", renumbered(func(l [][]byte) [][]byte { return slices.Delete(l, update, update+1) }), "committed, but never delivered"},
		{"delete lost", renumbered(func(l [][]byte) [][]byte { return slices.Delete(l, deletion, deletion+1) }), "committed, but never delivered"},
		{"line doubled", func(l [][]byte) [][]byte { return slices.Insert(l, update, l[update]) }, "delivered twice"},
		{"line doubled under another id", renumbered(func(l [][]byte) [][]byte {
			l = slices.Insert(l, update, l[update])
			return edit(update, func(m map[string]any) { m["id"] = "another" })(l)
		}), "delivered twice"},
		{"all doubled", func(l [][]byte) [][]byte { return append(l, l...) }, "delivered twice"},
		{"first line again at the end", func(l [][]byte) [][]byte { return append(l, l[0]) }, "delivered twice"},
		{"rows of a transaction swapped", renumbered(swap(sameTx, sameTx+1)), "delivered after a later statement of its transaction"},
		{"changes of a row swapped", renumbered(swap(sameRow, again)), "delivered after a later change of"},
		{"transaction split", renumbered(swap(txEnd, txEnd+1)), "another transaction came between"},
		{"transactions far apart swapped", renumbered(swap(firstOf(50), firstOf(150))), "a transaction that began after its commit was delivered before it"},
		{"value altered", edit(update, func(m map[string]any) { after(m)["balance"] = "0.0000" }), "after:"},
		{"last digits altered", edit(insert, func(m map[string]any) { after(m)["no"] = json.Number("1.0") }), "after:"},
		{"column lost", edit(update, func(m map[string]any) { delete(after(m), "note") }), "after:"},
		{"column invented", edit(update, func(m map[string]any) { after(m)["more"] = nil }), "after:"},
		{"null for text", edit(update, func(m map[string]any) { after(m)["owner"] = nil }), "after:"},
		{"number for text", edit(update, func(m map[string]any) { after(m)["balance"] = json.Number(after(m)["balance"].(string)) }), "after:"},
		{"before image altered", edit(update, func(m map[string]any) { m["before"].(map[string]any)["status"] = "lost" }), "before:"},
		{"before image lost", edit(update, func(m map[string]any) { m["before"] = nil }), "before:"},
		{"before image missing", edit(update, func(m map[string]any) { delete(m, "before") }), "before:"},
		{"key altered", edit(update, func(m map[string]any) { m["key"] = map[string]any{"id": 1} }), "key:"},
		{"op altered", edit(update, func(m map[string]any) { m["op"] = "insert" }), "op:"},
		{"delete as update", edit(deletion, func(m map[string]any) { m["op"], m["after"] = "update", m["before"] }), "committed, but never delivered"},
		{"table altered", edit(update, func(m map[string]any) { m["table"] = "ledger.order_lines" }), "table:"},
		{"schema altered", edit(update, func(m map[string]any) { m["table"] = "other.accounts" }), "table:"},
		{"change that was never committed", edit(update, func(m map[string]any) { after(m)["change_no"] = 1 << 40 }), "no such change was ever committed"},
		{"id used twice", edit(update, func(m map[string]any) { m["id"] = decode(t, whole[0]).ID }), "is that of line 1"},
		{"id missing", edit(update, func(m map[string]any) { delete(m, "id") }), "no id"},
		{"commit time missing", edit(update, func(m map[string]any) { delete(m, "commit_time") }), "no commit_time"},
		{"gtid of the transaction before", edit(txEnd+1, func(m map[string]any) { source(m)["gtid"] = decode(t, whole[txEnd]).Source.GTID }), "is that of the transaction before"},
		{"gtid changes within a transaction", edit(sameTx+1, func(m map[string]any) { source(m)["gtid"] = "0-9-9" }), "another position or time"},
		{"part_no gap", edit(len(whole)-1, func(m map[string]any) { source(m)["part_no"] = 1 << 40 }), "not dense"},
		{"part_no goes back", edit(update, func(m map[string]any) { source(m)["part_no"] = 0 }), "source.part_no 0 after"},
		{"no goes back", edit(update, func(m map[string]any) { source(m)["no"] = 0 }), "source.no 0 after"},
		{"position goes back", edit(update, func(m map[string]any) { source(m)["pos"] = 1 }), "position"},
		{"row of the transaction skipped", edit(sameTx+1, func(m map[string]any) { source(m)["row"] = 1000 }), "not dense"},
		{"row of the transaction does not start at 0", edit(insert, func(m map[string]any) { source(m)["row"] = 7 }), "in a new transaction"},
		{"not JSON", func(l [][]byte) [][]byte { l[update] = []byte("{\n"); return l }, "line "},
		{"last line cut off", func(l [][]byte) [][]byte { l[len(l)-1] = l[len(l)-1][:20]; return l }, "does not end in a newline"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			lines := bytes.Join(test.change(slices.Clone(whole)), nil)
			err := check("ledger", w.committed, content, Want{}, Lines(bytes.NewReader(lines)))
			if test.want == "" && err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error that says %q", err, test.want)
			}
		})
	}

	t.Run("table altered behind the ledger's back", func(t *testing.T) {
		for key := range content {
			altered := map[string]string{}
			for k, image := range content {
				altered[k] = image
			}
			altered[key] = `{"version":0}`
			err := check("ledger", w.committed, altered, Want{}, Lines(bytes.NewReader(bytes.Join(whole, nil))))
			for _, want := range []string{"the ledger does not explain", "end in another row"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error that says %q", err, want)
				}
			}
			delete(altered, key)
			err = check("ledger", w.committed, altered, Want{}, Lines(bytes.NewReader(bytes.Join(whole, nil))))
			for _, want := range []string{"the ledger has a row that is not", "leave a row that the table does not have"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error that says %q", err, want)
				}
			}
			return
		}
	})
}

func TestCheckOfPartOfTheChanges(t *testing.T) {
	db := testenv.MariaDB(t)
	w := newWorkload(db, Config{Seed: 5, Transactions: 200})
	do(t, w)
	content, err := w.tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	large := Want{Matches: func(c Change) bool {
		return c.Table == "accounts" && c.Op == "update" && c.After["status"] == "frozen"
	}}
	var matching, others [][]byte
	for _, l := range bytes.SplitAfter(delivered(t, db), []byte("\n")) {
		if len(l) == 0 {
			continue
		}
		if d := decode(t, l); d.Table == "ledger.accounts" && d.Op == "update" && bytes.Contains(d.After, []byte(`"status":"frozen"`)) {
			matching = append(matching, l)
		} else {
			others = append(others, l)
		}
	}
	if len(matching) < 5 {
		t.Fatalf("the workload made %d matching changes, want 5 or more", len(matching))
	}
	tests := []struct {
		name  string
		lines [][]byte
		want  string
	}{
		{"all that match", matching, ""},
		{"one that matches lost", matching[1:], "committed, but never delivered"},
		{"one that does not match delivered", append(others[:1:1], matching...), "delivered, but does not match"},
		{"swapped", append([][]byte{matching[len(matching)-1]}, matching[:len(matching)-1]...), "source.no"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := check("ledger", w.committed, content, large, Lines(bytes.NewReader(bytes.Join(test.lines, nil))))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestCheckOfSeveralPartitions(t *testing.T) {
	db := testenv.MariaDB(t)
	w := newWorkload(db, Config{Seed: 6, Transactions: 200})
	do(t, w)
	partitions := make([][]byte, 3)
	counts := make([]int, 3)
	for _, l := range bytes.SplitAfter(delivered(t, db), []byte("\n")) {
		if len(l) == 0 {
			continue
		}
		d := decode(t, l)
		p := (len(d.Key) + int(d.Key[len(d.Key)-2])) % 3 // a function of the key
		counts[p]++
		l = bytes.Replace(l, fmt.Appendf(nil, `"part_no":%d`, d.Source.PartNo), fmt.Appendf(nil, `"part_no":%d`, counts[p]), 1)
		partitions[p] = append(partitions[p], l...)
	}
	of := func(p ...int) error {
		content, err := w.tables(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch len(p) {
		case 2:
			return check("ledger", w.committed, content, Want{}, Lines(bytes.NewReader(partitions[p[0]])), Lines(bytes.NewReader(partitions[p[1]])))
		default:
			return check("ledger", w.committed, content, Want{}, Lines(bytes.NewReader(partitions[p[0]])),
				Lines(bytes.NewReader(partitions[p[1]])), Lines(bytes.NewReader(partitions[p[2]])))
		}
	}
	if err := of(2, 0, 1); err != nil {
		t.Errorf("all partitions: %v", err)
	}
	if err := of(0, 1); err == nil || !strings.Contains(err.Error(), "never delivered") {
		t.Errorf("without a partition: got %v, want never delivered", err)
	}
	if err := of(0, 1, 1); err == nil || !strings.Contains(err.Error(), "delivered twice") {
		t.Errorf("with a partition twice: got %v, want delivered twice", err)
	}
}

func decode(t *testing.T, raw []byte) (l line) {
	t.Helper()
	if err := json.Unmarshal(raw, &l); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return l
}

// delivered makes lines of the server's own binlog files, with nothing of cdcd: what must be delivered when everything
// works.
func delivered(t *testing.T, db *testenv.Server) []byte {
	t.Helper()
	var (
		out       bytes.Buffer
		gtid      string
		file      string
		pos       uint64
		row, no   int
		committed string
	)
	emit := func(e *replication.RowsEvent, op string, before, after []any) {
		t := tableNamed(string(e.Table.Table))
		m := map[string]any{
			"id": fmt.Sprintf("%s/%d", gtid, row), "feed": "all", "op": op, "table": string(e.Table.Schema) + "." + t.name,
			"before": nil, "after": nil, "commit_time": committed,
		}
		no++
		m["source"] = map[string]any{"name": "test", "gtid": gtid, "file": file, "pos": pos, "row": row, "no": no, "part_no": no}
		row++
		image := func(values []any) map[string]any {
			im := map[string]any{}
			for i, v := range values {
				im[t.columns[i].name] = logged(t.columns[i], e.Table, i, v)
			}
			return im
		}
		key := after
		if before != nil {
			m["before"] = image(before)
		}
		if after != nil {
			m["after"] = image(after)
		} else {
			key = before
		}
		k := map[string]any{}
		for _, n := range t.key {
			k[n] = image(key)[n]
		}
		m["key"] = k
		out.WriteString(marshal(m) + "\n")
	}
	parser := replication.NewBinlogParser()
	parser.SetFlavor(db.Flavor)
	parser.SetTimestampStringLocation(time.UTC)
	for _, path := range db.BinlogFiles(t) {
		file = filepath.Base(path)
		err := parser.ParseFile(path, 0, func(e *replication.BinlogEvent) error {
			begin := func(g string) {
				gtid, row = g, 0
				pos = uint64(e.Header.LogPos - e.Header.EventSize)
				committed = time.Unix(int64(e.Header.Timestamp), 0).UTC().Format(time.RFC3339)
			}
			switch ev := e.Event.(type) {
			case *replication.GTIDEvent:
				next, err := ev.GTIDNext()
				if err != nil {
					return err
				}
				begin(next.String())
			case *replication.MariadbGTIDEvent:
				begin(ev.GTID.String())
			case *replication.RowsEvent:
				if string(ev.Table.Schema) != "ledger" {
					return nil
				}
				switch ev.Type() {
				case replication.EnumRowsEventTypeInsert:
					for _, r := range ev.Rows {
						emit(ev, "insert", nil, r)
					}
				case replication.EnumRowsEventTypeDelete:
					for _, r := range ev.Rows {
						emit(ev, "delete", r, nil)
					}
				case replication.EnumRowsEventTypeUpdate:
					for i := 0; i < len(ev.Rows); i += 2 {
						emit(ev, "update", ev.Rows[i], ev.Rows[i+1])
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return out.Bytes()
}

// logged returns a value that go-mysql decoded as a delivered line shows it.
func logged(c column, t *replication.TableMapEvent, i int, v any) any {
	if v == nil {
		return nil
	}
	switch c.kind {
	case binary:
		switch v := v.(type) {
		case string:
			return base64.StdEncoding.EncodeToString([]byte(v))
		case []byte:
			return base64.StdEncoding.EncodeToString(v)
		}
	case set:
		members := []string{}
		for bit, member := range t.SetStrValueMap()[i] {
			if v.(int64)>>bit&1 == 1 {
				members = append(members, member)
			}
		}
		return members
	case datetime:
		return strings.Replace(v.(string), " ", "T", 1)
	case timestamp:
		return strings.Replace(v.(string), " ", "T", 1) + "Z"
	case number:
		if t.UnsignedMap()[i] {
			switch v := v.(type) {
			case int8:
				return uint8(v)
			case int16:
				return uint16(v)
			case int32:
				return uint32(v)
			case int64:
				return uint64(v)
			}
		}
	case text:
		switch v := v.(type) {
		case []byte:
			return string(v)
		case int64:
			if t.ColumnType[i] == mysql.MYSQL_TYPE_STRING { // ENUM
				return t.EnumStrValueMap()[i][v-1]
			}
		}
	}
	return v
}
