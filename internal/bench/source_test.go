package bench

import (
	"fmt"
	"testing"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

const (
	tableRows     = 100_000
	statementRows = 20_000
	updates       = 600_000
	bigRows       = 1_000_000
)

const digits = "(SELECT 0 n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"

// createTable makes bench.orders: 12 columns, about 150 bytes an image.
func createTable(b *testing.B, db *testenv.Server) {
	db.Exec(b, "CREATE DATABASE bench", `CREATE TABLE bench.orders (
  id BIGINT UNSIGNED PRIMARY KEY, customer_id INT NOT NULL, status ENUM('new','paid','sent','closed') NOT NULL,
  total DECIMAL(12,2) NOT NULL, currency CHAR(3) NOT NULL, email VARCHAR(120) NOT NULL, address VARCHAR(120) NOT NULL,
  note TEXT NULL, weight DOUBLE NOT NULL, items SMALLINT NOT NULL, created DATETIME(3) NOT NULL, changed TIMESTAMP(6) NOT NULL
) CHARSET utf8mb4`, fmt.Sprintf(`INSERT INTO bench.orders
SELECT n, n*7 %% 50021, 1 + n%%4, n%%9000 + 0.99, 'EUR', CONCAT('customer.', n*7 %% 50021, '@mail.example.com'),
  CONCAT(n%%300, ' Long Street, 1', n%%9000, ' Some Town, Country'), IF(n%%3, 'please ring twice', NULL), n/7, n%%40,
  '2026-11-21 03:04:05.123', '2026-11-21 03:04:05.123456'
FROM (SELECT 1 + a.n + 10*b.n + 100*c.n + 1000*d.n + 10000*e.n AS n FROM %s a, %[1]s b, %[1]s c, %[1]s d, %[1]s e) numbers`, digits))
	if got := db.Query(b, "SELECT COUNT(*) FROM bench.orders")[0][0]; got != fmt.Sprint(tableRows) {
		b.Fatalf("bench.orders has %s rows, want %d", got, tableRows)
	}
}

// update makes `updates` updates in big statements, each a transaction.
func update(b *testing.B, db *testenv.Server) { updateSome(b, db, updates) }

func updateSome(b *testing.B, db *testenv.Server, rows int) {
	var statements []string
	for n := 0; n < rows; n += statementRows {
		from := n%tableRows + 1
		statements = append(statements, fmt.Sprintf("UPDATE bench.orders SET status = 1 + (status %% 4), total = total + 1.01, items = (items + 1) %% 1000, "+
			"changed = NOW(6) WHERE id BETWEEN %d AND %d", from, from+statementRows-1))
	}
	db.Exec(b, statements...)
}

// insertBig makes bench.big, like bench.orders, and fills it in one transaction.
func insertBig(b *testing.B, db *testenv.Server) {
	db.Exec(b, "CREATE TABLE bench.big LIKE bench.orders", fmt.Sprintf(`INSERT INTO bench.big
SELECT id + %d*n, customer_id, status, total, currency, email, address, note, weight, items, created, changed
FROM %s numbers JOIN bench.orders`, tableRows, digits))
}

// place is a position in the binlog.
type place struct {
	file string
	pos  uint32
}

func end(b *testing.B, db *testenv.Server) place {
	statement := "SHOW MASTER STATUS"
	if db.Flavor == "mysql" {
		statement = "SHOW BINARY LOG STATUS"
	}
	row := db.Query(b, statement)[0]
	p := place{file: row[0]}
	if _, err := fmt.Sscan(row[1], &p.pos); err != nil {
		b.Fatalf("%s: position %q: %v", statement, row[1], err)
	}
	return p
}
