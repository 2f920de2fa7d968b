package shop_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/shop"
)

func start(t *testing.T) *client.Conn {
	t.Helper()
	server, err := dbserver.Start(t.Context(), dbserver.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Kill() })
	conn, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func query(t *testing.T, conn *client.Conn, q string) string {
	t.Helper()
	r, err := conn.Execute(q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	s, err := r.GetString(0, 0)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return s
}

// What the shop says it did is what the tables say, as far as they still can.
func TestTheTallyAgreesWithTheTables(t *testing.T) {
	conn := start(t)
	s, err := shop.Open(t.Context(), conn, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Triggers note what only the changes themselves show. They write to a table that exists for this test only.
	for _, q := range []string{
		"CREATE TABLE seen (what VARCHAR(20) PRIMARY KEY, n INT NOT NULL)",
		"INSERT INTO seen VALUES ('low', 0), ('unjudged', 0), ('changes', 0)",
		`CREATE TRIGGER stock AFTER UPDATE ON products FOR EACH ROW
		   IF NEW.stock <> OLD.stock THEN
		     IF NEW.sold_30d = 0 THEN UPDATE seen SET n = n+1 WHERE what = 'unjudged';
		     ELSEIF NEW.stock*30 DIV NEW.sold_30d < 3 THEN UPDATE seen SET n = n+1 WHERE what = 'low';
		     END IF;
		   END IF`,
	} {
		if _, err := conn.Execute(q); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := s.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	tally := s.Tally()
	t.Logf("%+v in %v", tally, time.Since(began))
	for _, tt := range []struct {
		what, query string
		want        int
	}{
		{"paid big orders", "SELECT COUNT(*) FROM orders WHERE paid_at IS NOT NULL AND total >= 1000", tally.PaidBigOrders},
		{"VIPs", "SELECT COUNT(*) FROM customers WHERE tier = 'vip'", tally.NewVIPs}, // nobody falls
		{"running low", "SELECT n FROM seen WHERE what = 'low'", tally.RunningLow},
		{"unjudged", "SELECT n FROM seen WHERE what = 'unjudged'", tally.Unjudged},
		{"orders whose total is not that of their lines", `SELECT COUNT(*) FROM orders o WHERE total <>
			(SELECT SUM(quantity*unit_price) FROM order_lines l WHERE l.order_id = o.id)`, 0},
		{"products with less than nothing", "SELECT COUNT(*) FROM products WHERE stock < 0", 0},
		{"lines without an order", "SELECT COUNT(*) FROM order_lines l LEFT JOIN orders o ON o.id = l.order_id WHERE o.id IS NULL", 0},
	} {
		if got := query(t, conn, tt.query); got != fmt.Sprint(tt.want) {
			t.Errorf("%s: got %s, want %d", tt.what, got, tt.want)
		}
	}
	if tally.Changes < 250_000 || tally.PaidBigOrders < 100 || tally.NewVIPs < 100 || tally.RunningLow < 100 || tally.Unjudged < 1 {
		t.Errorf("too little happens to show anything: %+v", tally)
	}

	// A shop is taken up where another left it.
	before := query(t, conn, "SELECT MAX(id) FROM orders")
	again, err := shop.Open(t.Context(), conn, 2)
	if err != nil {
		t.Fatal(err)
	}
	if again.Empty() {
		t.Error("a full shop was taken for an empty one")
	}
	if err := again.Fill(t.Context()); err != nil || again.Tally().Transactions > 0 {
		t.Errorf("a full shop was filled: %v, %+v", err, again.Tally())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := again.Trade(ctx, 200); err != nil {
		t.Fatal(err)
	}
	if after := query(t, conn, "SELECT MAX(id) FROM orders"); after <= before || again.Tally().Transactions < 20 {
		t.Errorf("the last order is %s, it was %s; %+v", after, before, again.Tally())
	}
}

func TestAnInterruptedFillGoesOn(t *testing.T) {
	conn := start(t)
	for range 5 { // in the middle of customers, then of orders
		s, err := shop.Open(t.Context(), conn, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		err = s.Fill(ctx)
		cancel()
		if err == nil || ctx.Err() == nil {
			t.Fatalf("it was not interrupted: %v", err)
		}
		if _, err := conn.Execute("ROLLBACK"); err != nil { // as when the connection is lost
			t.Fatal(err)
		}
	}
	s, err := shop.Open(t.Context(), conn, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, conn, "SELECT COUNT(*) > 20000 FROM customers"); got != "1" {
		t.Error("there are customers missing")
	}
	if got := query(t, conn, "SELECT MAX(id) > 1030000 FROM orders"); got != "1" {
		t.Error("there are orders missing")
	}
}

// The same seed makes the same rows.
func TestTheSameSeedMakesTheSameChanges(t *testing.T) {
	var sums [2]string
	for i := range sums {
		conn := start(t)
		s, err := shop.Open(t.Context(), conn, 7)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		sums[i] = fmt.Sprintf("%+v", s.Tally())
		for _, table := range []string{"customers", "products", "orders", "order_lines"} {
			r, err := conn.Execute("CHECKSUM TABLE " + table)
			if err != nil {
				t.Fatal(err)
			}
			sum, _ := r.GetString(0, 1)
			sums[i] += " " + sum
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("got %s and %s", sums[0], sums[1])
	}
}
