package mysql_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

const million = 1 << 20

// TestATransactionOfAMillionRowsTakesLittleMemory captures in a process of its own, whose resident memory it bounds.
func TestATransactionOfAMillionRowsTakesLittleMemory(t *testing.T) {
	t.Parallel()
	if addr := os.Getenv("CDCD_TEST_CAPTURE_FROM"); addr != "" {
		captureMillion(t, addr)
		return
	}
	run := func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(100), b DECIMAL(12,2), c DATETIME(3), d INT, e CHAR(20))",
			"FLUSH BINARY LOGS")
		statements := []string{"BEGIN", "INSERT INTO shop.a (a, b, c, d, e) VALUES (REPEAT('x', 60), 12.5, '2026-11-21 02:00:00.123', 7, 'abc')"}
		for n := 1; n < million; n *= 2 {
			statements = append(statements, "INSERT INTO shop.a (a, b, c, d, e) SELECT a, b, c, d, e FROM shop.a")
		}
		cfg := config(s)
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		r.stop(t)
		s.Exec(t, append(statements, "COMMIT")...)
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()[:strings.IndexByte(t.Name(), '/')]+"$", "-test.v")
		cmd.Env = append(os.Environ(), "CDCD_TEST_CAPTURE_FROM="+s.Addr, fmt.Sprintf("CDCD_TEST_CAPTURE_AT=%s %s %d %s", from.Flavor, from.File, from.Pos, from.GTIDSet),
			"CDCD_TEST_SERVER="+from.Server)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, after, ok := strings.Cut(string(out), "peak ")
		var kib int
		if _, err := fmt.Sscanf(after, "%d", &kib); !ok || err != nil {
			t.Fatalf("the child says %s", out)
		}
		t.Logf("%s: the capture of %d rows took %d MiB", s.Flavor, million, kib>>10)
		if kib > 120<<10 {
			t.Errorf("it took %d MiB, more than 120", kib>>10)
		}
	}
	testenv.Each(t, run)
	t.Run("mysql, compressed", func(t *testing.T) { run(t, testenv.MySQL(t, "--binlog-transaction-compression=ON")) })
}

func captureMillion(t *testing.T, addr string) {
	from := cdc.Checkpoint{Server: os.Getenv("CDCD_TEST_SERVER"), NextNo: 1, PartNos: []uint64{1}}
	if _, err := fmt.Sscanf(os.Getenv("CDCD_TEST_CAPTURE_AT"), "%s %s %d %s", &from.Flavor, &from.File, &from.Pos, &from.GTIDSet); err != nil {
		t.Fatal(err)
	}
	source, err := mysql.New(mysql.Config{Name: "shop", Addr: addr, User: testenv.User, Password: testenv.Password, Tables: []string{"shop.*"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rows := 0
	err = source.Run(ctx, from, func(_ context.Context, b *cdc.Batch) error {
		if rows += b.Len(); rows >= million {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows != million {
		t.Fatalf("%d rows, %v", rows, err)
	}
	status, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			var kib int
			if _, err := fmt.Sscan(text, &kib); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("peak %d KiB\n", kib)
		}
	}
}
