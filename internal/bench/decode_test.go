package bench

import (
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

const decoded = 100_000 // updates that are decoded from memory

// rowEvents reads row events of the updates and leaves their images as they are, in NdbData. announced is the TABLE_MAP
// before them.
func rowEvents(b *testing.B, db *testenv.Server, from place) (events []*replication.RowsEvent, announced []byte) {
	c := syncerConfig(b, db)
	c.RowsEventDecodeFunc = func(e *replication.RowsEvent, data []byte) error {
		at, err := e.DecodeHeader(data)
		e.NdbData = data[at:]
		return err
	}
	table := (*replication.TableMapEvent)(nil)
	read(b, c, from, func(ev *replication.BinlogEvent) (more bool) {
		if ev.Header.EventType == replication.TABLE_MAP_EVENT {
			announced = ev.RawData[replication.EventHeaderSize+8 : len(ev.RawData)-replication.BinlogChecksumLength]
		}
		if e, ok := ev.Event.(*replication.RowsEvent); ok {
			if table == nil {
				table = e.Table
			}
			e.Table = table // as a capture keeps it: equal TABLE_MAPs are one
			events = append(events, e)
		}
		return len(events) < decoded/rowsPerEvent(events)
	})
	return events, announced
}

// rowsPerEvent guesses from the first event, since all have about the same size.
func rowsPerEvent(events []*replication.RowsEvent) int {
	if len(events) == 0 {
		return 1
	}
	return max(1, len(events[0].NdbData)/300)
}

// decoders measures what both decoders need for the same images in memory: go-mysql's to values, ours to sealed frames.
func decoders(b *testing.B, db *testenv.Server, from place) (theirs, ours measured, rows int) {
	events, announced := rowEvents(b, db, from)
	tableMap, err := rowimage.ParseTableMap(announced, db.Flavor)
	if err != nil {
		b.Fatal(err)
	}
	layout, err := rowimage.Read(tableMap)
	if err != nil {
		b.Fatal(err)
	}
	for range 3 {
		n := 0
		theirs = faster(theirs, here(func() {
			for _, e := range events {
				if err := e.DecodeData(0, e.NdbData); err != nil {
					b.Fatal(err)
				}
				n += len(e.Rows) / 2
				e.Rows, e.SkippedColumns = nil, nil
			}
		}))
		rows = 0
		ours = faster(ours, here(func() {
			var frame cdc.Builder
			frame.Reset(cdc.Header{Source: "bench", FirstPartNo: 1})
			for _, e := range events {
				images := rowimage.Event{Layout: layout, Before: e.ColumnBitmap1, After: e.ColumnBitmap2}
				tx := frame.AddTx(cdc.Tx{})
				for data := e.NdbData; len(data) > 0; rows++ {
					info := cdc.EventInfo{Tx: tx, Table: frame.AddTable(layout.Table()), Op: cdc.OpUpdate}
					if info.Before, info.After, data, err = images.Append(&frame, data); err != nil {
						b.Fatal(err)
					}
					frame.AddEvent(info)
				}
				if frame.Size() > 512<<10 {
					frame.Seal(cdc.Checkpoint{})
					frame.Reset(cdc.Header{Source: "bench", FirstPartNo: 1})
				}
			}
			frame.Seal(cdc.Checkpoint{})
		}))
		if n != rows {
			b.Fatalf("go-mysql decodes %d updates, the transcoder %d", n, rows)
		}
	}
	return theirs, ours, rows
}
