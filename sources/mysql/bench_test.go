package mysql_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

const benchmarkUpdates = 1 << 16

// benchmarkLog makes a binlog of updates of a table of twelve columns, sixteen to a transaction, and returns its files.
func benchmarkLog(b *testing.B) []string {
	b.Helper()
	s := testenv.MariaDB(b, "--binlog-annotate-row-events=OFF")
	s.Exec(b, "CREATE DATABASE shop", "USE shop", `CREATE TABLE shop.orders (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, customer INT, status VARCHAR(20),
		total DECIMAL(12,2), tax DECIMAL(10,2), created DATETIME, changed TIMESTAMP(6), note VARCHAR(100), country CHAR(2), weight DOUBLE,
		flags INT UNSIGNED, kind ENUM('a', 'b'))`,
		`INSERT INTO shop.orders (customer, status, total, tax, created, changed, note, country, weight, flags, kind)
		 SELECT seq, 'new', seq * 1.01, seq * 0.19, '2026-11-21 03:00:00', NOW(6), 'please ring twice', 'AT', seq / 3, seq, 'a' FROM seq_1_to_65536`,
		"FLUSH BINARY LOGS",
		`CREATE PROCEDURE shop.work() BEGIN DECLARE i INT DEFAULT 0;
		 WHILE i < 65536 DO UPDATE shop.orders SET status = 'paid', total = total + 1, changed = NOW(6) WHERE id > i AND id <= i + 16; SET i = i + 16; END WHILE; END`,
		"CALL shop.work()", "FLUSH BINARY LOGS")
	files := s.BinlogFiles(b)
	return files[1:2]
}

// stopwatch counts the processor's time besides the clock's, which says little on a machine that does other things too.
type stopwatch struct{ began time.Duration }

func (s *stopwatch) start(b *testing.B) {
	b.ReportAllocs()
	b.ResetTimer()
	s.began = processorTime(b)
}

func (s *stopwatch) report(b *testing.B, updates int) {
	if updates != b.N*benchmarkUpdates {
		b.Fatalf("%d updates in %d runs", updates, b.N)
	}
	b.ReportMetric(float64(processorTime(b)-s.began)/float64(updates), "cpu-ns/update")
	b.ReportMetric(float64(updates)/b.Elapsed().Seconds(), "updates/s")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parser returns go-mysql's, with the options that the capture needs.
func parser() *replication.BinlogParser {
	p := replication.NewBinlogParser()
	p.SetFlavor("mariadb")
	p.SetTimestampStringLocation(time.UTC)
	p.SetRenderJSONAsMySQLText(true)
	return p
}

// BenchmarkGoMySQLDecode is go-mysql alone, from the file to values.
func BenchmarkGoMySQLDecode(b *testing.B) {
	files := benchmarkLog(b)
	var watch stopwatch
	watch.start(b)
	n := 0
	for b.Loop() {
		if err := parser().ParseFile(files[0], 4, func(ev *replication.BinlogEvent) error {
			if e, ok := ev.Event.(*replication.RowsEvent); ok {
				n += len(e.Rows) / 2
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	watch.report(b, n)
}

// BenchmarkDecode is only what the capture has instead: row images to sealed frames.
func BenchmarkDecode(b *testing.B) {
	files := benchmarkLog(b)
	var events []*replication.RowsEvent
	var layouts []*rowimage.Layout
	known := map[string]*rowimage.Layout{}
	p := parser()
	p.SetRowsEventDecodeFunc(func(e *replication.RowsEvent, data []byte) error {
		at, err := e.DecodeHeader(data)
		e.NdbData = data[at:]
		return err
	})
	if err := p.ParseFile(files[0], 4, func(ev *replication.BinlogEvent) error {
		if e, ok := ev.Event.(*replication.TableMapEvent); ok && known[string(e.Table)] == nil {
			m, err := rowimage.ParseTableMap(ev.RawData[replication.EventHeaderSize+8:len(ev.RawData)-replication.BinlogChecksumLength], mysql.FlavorMariaDB)
			if err != nil {
				return err
			}
			known[string(e.Table)], err = rowimage.Read(m)
			return err
		}
		e, ok := ev.Event.(*replication.RowsEvent)
		if !ok {
			return nil
		}
		events, layouts = append(events, e), append(layouts, known[string(e.Table.Table)])
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var watch stopwatch
	watch.start(b)
	n := 0
	var frame cdc.Builder
	for b.Loop() {
		frame.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
		for i, e := range events {
			if frame.Size() > 256<<10 {
				n += frame.Len()
				frame.Seal(cdc.Checkpoint{})
				frame.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
			}
			tx := frame.AddTx(cdc.Tx{})
			images := rowimage.Event{Layout: layouts[i], Before: e.ColumnBitmap1, After: e.ColumnBitmap2}
			for data := e.NdbData; len(data) > 0; {
				info := cdc.EventInfo{Tx: tx, Table: frame.AddTable(layouts[i].Table()), Op: cdc.OpUpdate}
				var err error
				if info.Before, info.After, data, err = images.Append(&frame, data); err != nil {
					b.Fatal(err)
				}
				frame.AddEvent(info)
			}
		}
		n += frame.Len()
		frame.Seal(cdc.Checkpoint{})
	}
	watch.report(b, n)
}

// BenchmarkCapture is the whole way from the file to frames.
func BenchmarkCapture(b *testing.B) {
	files := benchmarkLog(b)
	var watch stopwatch
	watch.start(b)
	n := 0
	for b.Loop() {
		source, err := mysql.Files(mysql.Config{Name: "shop", Tables: []string{"shop.*"}}, files...)
		if err != nil {
			b.Fatal(err)
		}
		if err := source.Run(context.Background(), cdc.Checkpoint{}, func(_ context.Context, batch *cdc.Batch) error {
			n += batch.Len()
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	watch.report(b, n)
}
