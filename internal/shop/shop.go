package shop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// Tally counts what was committed. The last four are what the rules of the demo have to make of it.
type Tally struct {
	Transactions int `json:"transactions"`
	Changes      int `json:"changes"` // row changes, as the server counted them

	PaidBigOrders int `json:"paid_big_orders"` // orders of 1,000 or more that became paid
	NewVIPs       int `json:"new_vips"`        // customers who became vip, or joined as such
	RunningLow    int `json:"running_low"`     // changes of a stock that left less than three days' sales
	Unjudged      int `json:"unjudged"`        // changes of a stock of which nothing was ever sold
}

func (t *Tally) add(o Tally) {
	t.Transactions += o.Transactions
	t.Changes += o.Changes
	t.PaidBigOrders += o.PaidBigOrders
	t.NewVIPs += o.NewVIPs
	t.RunningLow += o.RunningLow
	t.Unjudged += o.Unjudged
}

// Shop makes the changes, over one connection. It is for one goroutine at a time; only Tally is for any.
type Shop struct {
	conn   *client.Conn
	random *rand.Rand
	clock  func() time.Time // what the rows' own times say

	customers []customer // by id, from 1
	products  []product  // by id, from 1
	lastOrder uint64
	placed    []order // not paid yet; older ones first, as in the following
	paid      []order
	shipped   []order
	cancelled []order

	pending Tally // of the transaction that is being made

	mu    sync.Mutex
	tally Tally // guarded by mu
}

type customer struct {
	tier   string
	points int
}

type product struct {
	price       int // in cents
	stock, sold int
}

type order struct {
	id       uint64
	customer int
	cents    int
}

// Open makes the schema and its tables, or takes up those that are there. The same seed on a new schema makes the same
// changes. The shop uses conn until it is forgotten; the caller closes it.
func Open(ctx context.Context, conn *client.Conn, seed uint64) (*Shop, error) {
	s := &Shop{conn: conn, random: rand.New(rand.NewPCG(seed, 0)), lastOrder: firstOrder,
		customers: make([]customer, 1), products: make([]product, 1)}
	for _, statement := range []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'", "CREATE DATABASE IF NOT EXISTS " + Schema, "USE " + Schema} {
		if _, err := s.execute(ctx, statement); err != nil {
			return nil, err
		}
	}
	there, err := s.execute(ctx, "SHOW TABLES LIKE 'order_lines'")
	if err != nil {
		return nil, err
	}
	if there.RowNumber() > 0 {
		return s, s.load(ctx)
	}
	for _, statement := range tables {
		if _, err := s.execute(ctx, strings.Replace(statement, "CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Empty reports whether nothing was ever put into the shop.
func (s *Shop) Empty() bool { return len(s.products) == 1 }

// Tally returns what this Shop has committed so far.
func (s *Shop) Tally() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally
}

// load reads what is there.
func (s *Shop) load(ctx context.Context) error {
	read := func(query string, row func(r *mysql.Result, i int) error) error {
		r, err := s.execute(ctx, query)
		if err != nil {
			return err
		}
		for i := range r.RowNumber() {
			if err := row(r, i); err != nil {
				return fmt.Errorf("shop: %s: %w", query, err)
			}
		}
		return nil
	}
	number := func(r *mysql.Result, row, column int) int {
		n, _ := r.GetInt(row, column) // they are integers by the tables' definition
		return int(n)
	}
	err := read("SELECT tier, points FROM customers ORDER BY id", func(r *mysql.Result, i int) error {
		tier, err := r.GetString(i, 0)
		s.customers = append(s.customers, customer{tier, number(r, i, 1)})
		return err
	})
	err = errors.Join(err, read("SELECT CAST(price*100 AS SIGNED), stock, sold_30d FROM products ORDER BY id", func(r *mysql.Result, i int) error {
		s.products = append(s.products, product{number(r, i, 0), number(r, i, 1), number(r, i, 2)})
		return nil
	}))
	err = errors.Join(err, read("SELECT id, customer_id, CAST(total*100 AS SIGNED), status FROM orders ORDER BY id", func(r *mysql.Result, i int) error {
		o := order{uint64(number(r, i, 0)), number(r, i, 1), number(r, i, 2)}
		s.lastOrder = o.id
		status, err := r.GetString(i, 3)
		if list := map[string]*[]order{"new": &s.placed, "paid": &s.paid, "shipped": &s.shipped, "cancelled": &s.cancelled}[status]; list != nil {
			*list = append(*list, o)
		}
		return err
	}))
	return err
}

// How much Fill does.
const (
	firstOrder  = 1_000_000
	products    = 400
	customers   = 20_000
	days        = 56
	ordersOfDay = 550
	singles     = 300
)

// Fill puts products and customers into the shop and runs its first weeks: some 300,000 row changes in bulk
// transactions, and a few hundred small ones. It goes on where it was interrupted, and does nothing once it is done.
func (s *Shop) Fill(ctx context.Context) error {
	day := int(s.lastOrder-firstOrder) / ordersOfDay
	if day >= days-1 { // on some days an order or two find everything sold out
		return nil
	}
	now := time.Date(2026, 9, 7, 6, 0, 0, 0, time.UTC)
	s.clock = func() time.Time {
		now = now.Add(time.Duration(1000+s.random.IntN(20_000)) * time.Millisecond)
		return now
	}
	if s.Empty() {
		if err := s.list(ctx, products); err != nil {
			return err
		}
	}
	for len(s.customers) <= customers {
		if err := s.join(ctx, 1000); err != nil {
			return err
		}
	}
	for ; day < days; day++ {
		for _, step := range []func() error{
			func() error { return s.place(ctx, ordersOfDay) },
			func() error { return s.pay(ctx, ordersOfDay) },
			func() error { return s.cancel(ctx, len(s.placed)/20) },
			func() error { return s.ship(ctx, len(s.paid)*9/10) },
			func() error { return s.deliver(ctx, len(s.shipped)*2/3) },
			func() error { return s.restock(ctx, day%14 == 3) },
			func() error { return s.drop(ctx, len(s.cancelled)/2) },
			func() error {
				if day%7 != 0 {
					return nil
				}
				return s.reprice(ctx, 40)
			},
		} {
			if err := step(); err != nil {
				return err
			}
		}
		now = now.Truncate(24 * time.Hour).Add(30 * time.Hour)
	}
	for range singles {
		if err := s.one(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Trade makes about so many small transactions a second, as they come during a day, until ctx ends, and returns nil then.
func (s *Shop) Trade(ctx context.Context, perSecond float64) error {
	s.clock = func() time.Time { return time.Now().UTC() }
	for {
		pause := time.Duration(s.random.ExpFloat64() / perSecond * float64(time.Second))
		select {
		case <-time.After(min(pause, 5*time.Second)):
		case <-ctx.Done():
			return nil
		}
		if err := s.one(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// one does one of the things that happen in a shop.
func (s *Shop) one(ctx context.Context) error {
	switch n := s.random.IntN(100); {
	case n < 40:
		return s.place(ctx, 1)
	case n < 65:
		return s.pay(ctx, 1)
	case n < 80:
		return s.ship(ctx, 1)
	case n < 89:
		return s.deliver(ctx, 1)
	case n < 91:
		return s.cancel(ctx, 1)
	case n < 94:
		return s.join(ctx, 1)
	case n < 96:
		return s.reprice(ctx, 1)
	default:
		return s.restock(ctx, n == 99)
	}
}

// list adds n products. The last one is not on sale yet, so nothing of it was sold: dividing by that fails.
func (s *Shop) list(ctx context.Context, n int) error {
	rows := insert("products (id, sku, name, price, stock, sold_30d, weight_kg, attributes, updated_at)")
	for range n {
		id := len(s.products)
		r := s.random.Float64()
		p := product{price: 490 + 500*int(100*r*r*r*r*r*r), stock: 30 + s.random.IntN(60), sold: 150 + s.random.IntN(80)}
		name := fmt.Sprintf("%s %s", adjectives[id%10], nouns[id/10%10])
		attributes := fmt.Sprintf(`{"colour":"%s","warranty_years":%d,"tags":["home","%s"]}`, pick(s, colours), 1+id%3, nouns[id/10%10])
		if id == n {
			p, name = product{price: 4990, stock: 0, sold: 0}, "Gift box 2027"
		}
		s.products = append(s.products, p)
		rows.row(id, text(fmt.Sprintf("P-%06d", id)), text(name), money(p.price), p.stock, p.sold, fmt.Sprintf("%.3f", 0.25*float64(1+id%40)),
			text(attributes), second(s.clock()))
	}
	return s.commit(ctx, rows.String())
}

// join adds n customers.
func (s *Shop) join(ctx context.Context, n int) error {
	rows := insert("customers (id, card, name, email, city, country, tier, points, contact_by, born, joined_at, note)")
	for range n {
		id := len(s.customers)
		first, last, place := pick(s, firstNames), pick(s, lastNames), pick(s, places)
		c, born, note := customer{tier: "standard"}, "NULL", "NULL"
		if s.random.IntN(100) == 0 {
			c.tier = "vip"
			s.pending.NewVIPs++
		}
		if s.random.IntN(3) > 0 {
			born = text(time.Date(1950+s.random.IntN(55), 1, 1+s.random.IntN(360), 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		}
		if s.random.IntN(50) == 0 {
			note = text(pick(s, notes))
		}
		s.customers = append(s.customers, c)
		rows.row(id, fmt.Sprint(uint64(12_000_000_000_000_000_000)+uint64(id)*97), text(first+" "+last), text(fmt.Sprintf("customer%d@example.org", id)),
			text(place[0]), text(place[1]), text(c.tier), c.points, text(pick(s, []string{"", "email", "email,sms", "post"})), born, milli(s.clock()), note)
	}
	return s.commit(ctx, rows.String())
}

// place adds n orders with their lines and takes what was bought out of the stock, in one transaction.
func (s *Shop) place(ctx context.Context, n int) error {
	orders := insert("orders (id, customer_id, status, total, gift, placed_at, details, note)")
	lines := insert("order_lines (order_id, line_no, product_id, quantity, unit_price)")
	bought := map[int]int{}
	for range n {
		s.lastOrder++
		o := order{id: s.lastOrder, customer: 1 + s.random.IntN(len(s.customers)-1)}
		var in []int
		for range 1 + s.random.IntN(5) {
			id, quantity := 1+s.random.IntN(products-1), 1+s.random.IntN(3) // never the one that is not on sale
			if slices.Contains(in, id) || s.products[id].stock-bought[id] < quantity {
				continue
			}
			in = append(in, id)
			bought[id] += quantity
			price := s.products[id].price
			o.cents += quantity * price
			lines.row(o.id, len(in), id, quantity, money(price))
		}
		if len(in) == 0 { // sold out: nobody orders nothing
			s.lastOrder--
			continue
		}
		note := "NULL"
		if s.random.IntN(30) == 0 {
			note = text(pick(s, notes))
		}
		details := fmt.Sprintf(`{"channel":"%s","coupon":%s}`, pick(s, []string{"web", "app", "shop"}), pick(s, []string{"null", "null", `"AUTUMN"`}))
		orders.row(o.id, o.customer, "'new'", money(o.cents), s.random.IntN(2), milli(s.clock()), text(details), note)
		s.placed = append(s.placed, o)
	}
	if len(bought) == 0 {
		return nil
	}
	stock := map[int]product{}
	for id, quantity := range bought {
		p := s.products[id]
		p.stock -= quantity
		p.sold = max(1, p.sold-p.sold*min(n, ordersOfDay)/ordersOfDay/30+quantity)
		stock[id] = p
	}
	return s.commit(ctx, orders.String(), lines.String(), s.setStock(stock))
}

// setStock returns the statement that gives products their new stock, and judges each change as the rules must.
func (s *Shop) setStock(to map[int]product) string {
	var stock, sold strings.Builder
	ids := slices.Sorted(maps.Keys(to))
	for _, id := range ids {
		p := to[id]
		s.products[id] = p
		fmt.Fprintf(&stock, " WHEN %d THEN %d", id, p.stock)
		fmt.Fprintf(&sold, " WHEN %d THEN %d", id, p.sold)
		switch {
		case p.sold == 0:
			s.pending.Unjudged++
		case p.stock*30/p.sold < 3:
			s.pending.RunningLow++
		}
	}
	return fmt.Sprintf("UPDATE products SET stock = CASE id%s END, sold_30d = CASE id%s END, updated_at = %s WHERE id IN (%s)",
		&stock, &sold, second(s.clock()), numbers(ids))
}

// restock fills up what sells out within three days. Now and then a delivery of the product that is not on sale yet
// comes with it.
func (s *Shop) restock(ctx context.Context, giftBoxes bool) error {
	stock := map[int]product{}
	for id := 1; id < len(s.products); id++ {
		if p := s.products[id]; p.sold > 0 && p.stock*30/p.sold < 3 {
			p.stock += p.sold/3 + 10
			stock[id] = p
		}
	}
	if giftBoxes {
		p := s.products[products]
		p.stock += 25
		stock[products] = p
	}
	if len(stock) == 0 {
		return nil
	}
	return s.commit(ctx, s.setStock(stock))
}

// reprice changes the prices of n products by up to a tenth.
func (s *Shop) reprice(ctx context.Context, n int) error {
	var prices strings.Builder
	chosen := map[int]bool{}
	for range n {
		chosen[1+s.random.IntN(products-1)] = true
	}
	ids := slices.Sorted(maps.Keys(chosen))
	for _, id := range ids {
		p := &s.products[id]
		p.price = p.price * (90 + s.random.IntN(21)) / 100
		fmt.Fprintf(&prices, " WHEN %d THEN %s", id, money(p.price))
	}
	return s.commit(ctx, fmt.Sprintf("UPDATE products SET price = CASE id%s END, updated_at = %s WHERE id IN (%s)", &prices, second(s.clock()), numbers(ids)))
}

// pay pays up to n orders, all but a tenth of them, and credits the customers, who may rise to a higher tier by it.
func (s *Shop) pay(ctx context.Context, n int) error {
	var some, rest []order
	for _, o := range s.placed {
		if len(some) < n && (n == 1 || s.random.IntN(10) > 0) {
			some = append(some, o)
		} else {
			rest = append(rest, o)
		}
	}
	if len(some) == 0 {
		return nil
	}
	s.placed, s.paid = rest, append(s.paid, some...)
	credited := map[int]customer{}
	for _, o := range some {
		if o.cents >= 100_000 {
			s.pending.PaidBigOrders++
		}
		s.customers[o.customer].points += max(1, o.cents/1000)
		credited[o.customer] = customer{}
	}
	ids := slices.Sorted(maps.Keys(credited))
	var points, tiers strings.Builder
	for _, id := range ids {
		c := &s.customers[id]
		before := c.tier
		c.tier = c.earned()
		if c.tier == "vip" && before != "vip" {
			s.pending.NewVIPs++
		}
		fmt.Fprintf(&points, " WHEN %d THEN %d", id, c.points)
		fmt.Fprintf(&tiers, " WHEN %d THEN '%s'", id, c.tier)
	}
	return s.commit(ctx,
		fmt.Sprintf("UPDATE orders SET status = 'paid', paid_at = %s WHERE id IN (%s)", milli(s.clock()), orderIDs(some)),
		fmt.Sprintf("UPDATE customers SET points = CASE id%s END, tier = CASE id%s END WHERE id IN (%s)", &points, &tiers, numbers(ids)))
}

// earned returns the tier that the points are worth; nobody falls.
func (c *customer) earned() string {
	tiers := []string{"standard", "silver", "gold", "vip"}
	rank := 0
	for i, least := range []int{0, 40, 150, 300} {
		if c.points >= least {
			rank = i
		}
	}
	return tiers[max(rank, slices.Index(tiers, c.tier))]
}

func (s *Shop) ship(ctx context.Context, n int) error {
	return s.move(ctx, n, &s.paid, &s.shipped, "shipped")
}

func (s *Shop) deliver(ctx context.Context, n int) error {
	return s.move(ctx, n, &s.shipped, nil, "delivered")
}

func (s *Shop) cancel(ctx context.Context, n int) error {
	return s.move(ctx, n, &s.placed, &s.cancelled, "cancelled")
}

// move gives the oldest n orders of a list another status.
func (s *Shop) move(ctx context.Context, n int, from, to *[]order, status string) error {
	some := (*from)[:min(n, len(*from))]
	if len(some) == 0 {
		return nil
	}
	*from = (*from)[len(some):]
	if to != nil {
		*to = append(*to, some...)
	}
	return s.commit(ctx, fmt.Sprintf("UPDATE orders SET status = '%s' WHERE id IN (%s)", status, orderIDs(some)))
}

// drop deletes the oldest n cancelled orders with their lines.
func (s *Shop) drop(ctx context.Context, n int) error {
	some := s.cancelled[:n]
	if n == 0 {
		return nil
	}
	s.cancelled = s.cancelled[n:]
	return s.commit(ctx, "DELETE FROM order_lines WHERE order_id IN ("+orderIDs(some)+")", "DELETE FROM orders WHERE id IN ("+orderIDs(some)+")")
}

// commit runs statements as one transaction and counts it.
func (s *Shop) commit(ctx context.Context, statements ...string) error {
	pending := s.pending
	s.pending = Tally{}
	for _, statement := range slices.Concat([]string{"BEGIN"}, statements, []string{"COMMIT"}) {
		r, err := s.execute(ctx, statement)
		if err != nil {
			return err
		}
		pending.Changes += int(r.AffectedRows)
	}
	pending.Transactions = 1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.add(pending)
	return nil
}

// execute runs one statement. They are all short, so the end of ctx is looked at between them.
func (s *Shop) execute(ctx context.Context, statement string) (*mysql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	r, err := s.conn.Execute(statement)
	if err != nil {
		return nil, fmt.Errorf("shop: %.60s…: %w", statement, err)
	}
	return r, nil
}

// rows is an INSERT of many rows while it grows.
type rows struct {
	strings.Builder
	begun bool
}

func insert(into string) *rows {
	r := &rows{}
	r.WriteString("INSERT INTO " + into + " VALUES ")
	return r
}

// row adds a row of literals.
func (r *rows) row(values ...any) {
	if r.begun {
		r.WriteByte(',')
	}
	r.begun = true
	for i, v := range values {
		r.WriteByte("(,"[min(i, 1)])
		fmt.Fprint(r, v)
	}
	r.WriteByte(')')
}

func pick[T any](s *Shop, from []T) T { return from[s.random.IntN(len(from))] }

// The literals.

func text(s string) string { return "'" + mysql.Escape(s) + "'" }

func money(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

func milli(t time.Time) string { return t.Format("'2006-01-02 15:04:05.000'") }

func second(t time.Time) string { return t.Format("'2006-01-02 15:04:05'") }

func numbers(ids []int) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, id)
	}
	return b.String()
}

func orderIDs(orders []order) string {
	var b []byte
	for i, o := range orders {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, o.id, 10)
	}
	return string(b)
}
