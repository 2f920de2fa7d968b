package mysql_test

import (
	"context"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
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

func report(b *testing.B, updates int) {
	b.ReportMetric(float64(updates)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkGoMySQLDecode is go-mysql alone, with the options that the capture needs.
func BenchmarkGoMySQLDecode(b *testing.B) {
	files := benchmarkLog(b)
	b.ResetTimer()
	n := 0
	for b.Loop() {
		p := replication.NewBinlogParser()
		p.SetFlavor("mariadb")
		p.SetTimestampStringLocation(time.UTC)
		p.SetRenderJSONAsMySQLText(true)
		if err := p.ParseFile(files[0], 4, func(ev *replication.BinlogEvent) error {
			if e, ok := ev.Event.(*replication.RowsEvent); ok {
				n += len(e.Rows) / 2
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	if n != b.N*benchmarkUpdates {
		b.Fatalf("%d updates in %d runs", n, b.N)
	}
	report(b, n)
}

// BenchmarkCapture is the whole way from the file to frames.
func BenchmarkCapture(b *testing.B) {
	files := benchmarkLog(b)
	b.ResetTimer()
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
	if n != b.N*benchmarkUpdates {
		b.Fatalf("%d updates in %d runs", n, b.N)
	}
	report(b, n)
}
