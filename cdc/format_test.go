package cdc_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func exampleFrame() []byte {
	spec := frameSpec{
		Header: cdc.Header{Source: "shop", Writer: "cdcd", Epoch: 1, Partitions: 1, FirstPartNo: 1001, Created: commit},
		Txs:    []cdc.Tx{{Server: "0-1", GTID: "0-1-17", File: "binlog.000001", Pos: 1234, CommitTime: commit, Rows: 1, Ends: true}},
		Tables: []*cdc.Table{{Schema: "shop", Name: "orders", Columns: []cdc.Column{
			{Name: "id", Type: "int", Kind: cdc.KindInt64, Key: 1},
			{Name: "status", Type: "enum('new','paid')", Kind: cdc.KindEnum, Nullable: true, Members: []string{"new", "paid"}},
			{Name: "day", Type: "date", Kind: cdc.KindDate, Nullable: true},
		}}},
		Events: []eventSpec{{No: 1001, Op: cdc.OpInsert, After: []cdc.Value{cdc.Int64Value(42), text(cdc.KindEnum, "paid"),
			cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 11, Day: 21})}}},
		Checkpoint: cdc.Checkpoint{Flavor: "mariadb", Server: "0-1", GTIDSet: "0-1-17", File: "binlog.000001", Pos: 1500, NextNo: 1002,
			PartNos: []uint64{1002}, Commit: commit},
	}
	return spec.build(new(cdc.Builder))
}

// field is a line of the tables in FORMAT.md. Kinds: u8, u16, u32, u64, i64, instant, ref, or the number of reserved bytes.
type field struct {
	kind, what string
}

// lister reads a frame as somebody would who has only FORMAT.md, and lists what it reads.
type lister struct {
	out   strings.Builder
	frame []byte
	seen  []bool
}

func (l *lister) title(s string) { fmt.Fprintf(&l.out, "\n%s\n", s) }

func (l *lister) line(at, n int, what string) {
	for i := range n {
		l.seen[at+i] = true
	}
	for i := 0; i < n; i += 16 { // long texts take several lines
		m := min(16, n-i)
		fmt.Fprintf(&l.out, "%4d  %-48s %s\n", at+i, fmt.Sprintf("% x", l.frame[at+i:at+i+m]), what)
		what = ""
	}
}

// fields lists fields from at on; refs count from base. It returns the offset behind.
func (l *lister) fields(at, base int, fields ...field) int {
	f := l.frame
	for _, d := range fields {
		n := 4
		switch d.kind {
		case "u8":
			n = 1
			l.line(at, n, fmt.Sprintf("%s: %d", d.what, f[at]))
		case "u16":
			n = 2
			l.line(at, n, fmt.Sprintf("%s: %d", d.what, le.Uint16(f[at:])))
		case "u32":
			l.line(at, n, fmt.Sprintf("%s: %d", d.what, le.Uint32(f[at:])))
		case "hex":
			l.line(at, n, fmt.Sprintf("%s: %#08x", d.what, le.Uint32(f[at:])))
		case "u64":
			n = 8
			l.line(at, n, fmt.Sprintf("%s: %d", d.what, le.Uint64(f[at:])))
		case "ref":
			n = 8
			off, size := base+int(le.Uint32(f[at:])), int(le.Uint32(f[at+4:]))
			l.line(at, n, fmt.Sprintf("%s: %q", d.what, f[off:off+size]))
			for i := range size {
				l.seen[off+i] = true
			}
		default:
			fmt.Sscan(d.kind, &n)
			l.line(at, n, d.what)
		}
		at += n
	}
	return at
}

func list(frame []byte) string {
	l := &lister{frame: frame, seen: make([]bool, len(frame))}
	u32 := func(at int) int { return int(le.Uint32(frame[at:])) }
	l.out.WriteString("Header\n")
	l.fields(0, 0, field{"hex", "magic"}, field{"u16", "version"}, field{"u16", "flags"}, field{"u32", "size"}, field{"hex", "checksum"},
		field{"u64", "epoch"}, field{"u64", "part_no of the first event"}, field{"u64", "no of the next captured row"},
		field{"u64", "sealed, µs"}, field{"u16", "partition"}, field{"u16", "partitions"},
		field{"u32", "transactions"}, field{"u32", "… at"}, field{"u32", "tables"}, field{"u32", "… at"}, field{"u32", "events"}, field{"u32", "… at"},
		field{"ref", "source"}, field{"ref", "writer"}, field{"u32", "checkpoint at"}, field{"u32", "texts of the source"},
		field{"u32", "… at"}, field{"8", "reserved"})
	tables := u32(64)
	l.title("Table dictionary")
	l.fields(tables, 0, field{"u32", "table 0 at"})
	l.title("Table 0 (refs count from its start)")
	entry := u32(tables)
	at := l.fields(entry, entry, field{"u32", "size"}, field{"u16", "columns"}, field{"u16", "reserved"}, field{"ref", "database"}, field{"ref", "name"}, field{"8", "reserved"})
	columns := int(le.Uint16(frame[entry+4:]))
	var members int
	for i := range columns {
		l.title(fmt.Sprintf("Column %d", i))
		at = l.fields(at, entry, field{"ref", "name"}, field{"ref", "SQL type"}, field{"u8", "kind"}, field{"u8", "flags"}, field{"u8", "fractional digits"},
			field{"u8", "precision"}, field{"u8", "scale"}, field{"u8", "reserved"}, field{"u16", "place in the key"}, field{"u16", "collation"},
			field{"u16", "members"}, field{"u32", "… at, from the start of the table"})
		if n := u32(at - 4); n != 0 {
			members = entry + n
		}
	}
	l.title("Members of column 1")
	l.fields(members, entry, field{"ref", "member"}, field{"ref", "member"})
	l.title("Event 0")
	event := u32(72)
	l.fields(event, 0, field{"u64", "no"}, field{"u32", "transaction"}, field{"u32", "row in it"}, field{"u16", "table"}, field{"u8", "operation"}, field{"u8", "flags"},
		field{"u32", "row image before (none)"}, field{"u32", "row image after, at"}, field{"u32", "reserved"})
	l.title("Row image (refs count from its start)")
	img := u32(event + 24)
	l.fields(img, img, field{"u32", "size"}, field{"u16", "columns"}, field{"u16", "reserved"}, field{"u8", "kind of column 0"}, field{"u8", "kind of column 1"},
		field{"u8", "kind of column 2"}, field{"5", "filled up to 8"}, field{"u64", "slot of column 0"}, field{"ref", "slot of column 1"},
		field{"u64", "slot of column 2: 2026 << 46 | 11 << 42 | 21 << 37"})
	l.title("Transaction 0")
	l.fields(u32(56), 0, field{"ref", "GTID"}, field{"ref", "file"}, field{"ref", "server"}, field{"u64", "position"}, field{"u64", "commit time, µs"},
		field{"u32", "rows"}, field{"u32", "flags (ends)"}, field{"16", "reserved"})
	l.title("Checkpoint")
	l.fields(u32(92), 0, field{"ref", "flavor"}, field{"ref", "server"}, field{"ref", "GTID set"}, field{"ref", "file"}, field{"ref", "unfinished transaction"},
		field{"u64", "position"}, field{"u64", "commit time, µs"}, field{"u32", "rows of the unfinished transaction"}, field{"u32", "partitions"},
		field{"u64", "next part_no of partition 0"})
	l.title("Texts are shown where refs point to them. All other bytes are zero.")
	for i, seen := range l.seen {
		if !seen && frame[i] != 0 {
			fmt.Fprintf(&l.out, "%d is %#x and was not listed\n", i, frame[i])
		}
	}
	return l.out.String() + "\nThe whole\n" + dump(frame)
}

func dump(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); i += 16 {
		row := b[i:min(i+16, len(b))]
		shown := bytes.Clone(row)
		for j, c := range shown {
			if c < ' ' || c > '~' {
				shown[j] = '.'
			}
		}
		fmt.Fprintf(&out, "%4d  %-48s %s\n", i, fmt.Sprintf("% x", row), shown)
	}
	return out.String()
}

func TestFormatPageShowsARealFrame(t *testing.T) {
	frame := exampleFrame()
	open(t, frame, nil)
	listing := list(frame)
	if strings.Contains(listing, "was not listed") {
		t.Error(listing)
	}
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), "-update` -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end of example -->")
	if !ok || !ok2 {
		t.Fatal("FORMAT.md has no place for the example")
	}
	want := before + "-update` -->\n```\n" + listing + "```\n<!-- end of example -->" + after
	if *update {
		if err := os.WriteFile("FORMAT.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("the example in FORMAT.md is not this frame; rewrite it with -update:\n%s", listing)
	}
}
