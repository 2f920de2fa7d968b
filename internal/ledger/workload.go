package ledger

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
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"golang.org/x/sync/errgroup"
)

// Config says where and how the workload runs.
type Config struct {
	Addr     string // host:port, or the path of a unix socket
	User     string // must be allowed to make the schema and write to it
	Password string
	Schema   string // database of the tables; default "ledger"

	Seed         uint64        // equal seeds let each worker choose the same; how they interleave is up to the server
	Workers      int           // concurrent connections; default 4
	Transactions int           // Run returns after so many more commits; 0 means when its ctx ends
	Pause        time.Duration // mean pause of a worker between transactions; default none

	// ChangeKeys adds updates that change primary keys. Not for checks of streams that are partitioned by key: such
	// a row moves from one partition to another.
	ChangeKeys bool
}

// Workload is a workload and its ledger. Run and Check are for one goroutine at a time; Committed for any.
type Workload struct {
	config Config
	txNo   atomic.Uint64
	last   atomic.Uint64 // last change number given out
	clock  atomic.Uint64 // ticks at each begin and each confirmed commit
	left   atomic.Int64  // transactions that Run still has to do, when they are counted

	workers []*worker

	mu         sync.Mutex // guards what follows
	committed  []*transaction
	changes    int
	accountIDs []string // of committed accounts
}

// transaction is a committed transaction.
type transaction struct {
	no      uint64
	changes []*change // in the order of their statements

	// Ticks of the clock before BEGIN and after COMMIT was confirmed. What ended before another began comes first.
	began, ended uint64
}

// change is a row change. Image and key texts are canonical JSON.
type change struct {
	tx            *transaction
	statement     int // number of its statement within the transaction
	op            string
	table         *table
	no            uint64 // change number in the after image; of the before image for deletes
	before, after string // "null" where there is none
	key, oldKey   string // oldKey is the same as key unless the update changed it
	rank, oldRank uint64 // place among the changes of key, and of oldKey
}

// New returns a workload that has done nothing yet.
func New(c Config) *Workload {
	if c.Schema == "" {
		c.Schema = "ledger"
	}
	if c.Workers == 0 {
		c.Workers = 4
	}
	w := &Workload{config: c}
	for i := range c.Workers {
		w.workers = append(w.workers, &worker{
			Workload: w, id: i, random: rand.New(rand.NewPCG(c.Seed, uint64(i))), versions: map[string]uint64{},
		})
	}
	return w
}

// Committed returns the numbers of transactions and of row changes that were committed so far.
func (w *Workload) Committed() (transactions, changes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.committed), w.changes
}

// Create makes the schema and its tables, empty. It fails when the schema is there already.
func (w *Workload) Create(ctx context.Context) error {
	conn, err := client.ConnectWithContext(ctx, w.config.Addr, w.config.User, w.config.Password, "", 10*time.Second)
	if err != nil {
		return fmt.Errorf("ledger: connect: %w", err)
	}
	defer conn.Close()
	statements := []string{"CREATE DATABASE " + w.config.Schema, "USE " + w.config.Schema}
	for _, t := range tables {
		statements = append(statements, t.create())
	}
	for _, s := range statements {
		if _, err := conn.Execute(s); err != nil {
			return fmt.Errorf("ledger: %s: %w", s, err)
		}
	}
	return nil
}

// Run runs the workload until ctx ends or the configured number of transactions is committed, and returns nil then. It
// survives lost connections by connecting again until ctx ends. When it returns, the fate of all its transactions is
// known; an error means that it isn't, or that the server did something that the workload doesn't expect.
// It may be called again, and then goes on.
func (w *Workload) Run(ctx context.Context) error {
	w.left.Store(int64(w.config.Transactions))
	g, ctx := errgroup.WithContext(ctx)
	// The end of ctx ends the work, but what has been begun is finished, if the server lets us.
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(30*time.Second, cancel) })
	for _, worker := range w.workers {
		g.Go(func() error { return worker.run(ctx, finish) }) // Wait waits
	}
	return g.Wait()
}

// worker is one connection and what it knows of the rows that it alone inserts, moves and deletes. Accounts are
// everybody's; orders and transfers have one worker each, who alone knows what a deleted key's version was.
type worker struct {
	*Workload
	id       int
	random   *rand.Rand
	conn     *client.Conn
	sequence uint64 // of ids made

	orderIDs    []string          // of orders, with or without lines
	transferIDs []string          // of transfers, deleted or not
	versions    map[string]uint64 // last committed version by table and key, for keys that are used again
}

// The ways in which a transaction fails and the workload goes on.
var (
	errRolledBack = errors.New("rolled back")               // by us, or by the server as a deadlock's victim
	errLost       = errors.New("connection lost")           // before COMMIT was sent: nothing is committed
	errInDoubt    = errors.New("connection lost in COMMIT") // committed or not
)

func (w *worker) run(ctx, finish context.Context) error {
	defer func() {
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	for ctx.Err() == nil && w.take() {
		if err := w.connect(ctx); err != nil {
			return nil // ctx has ended
		}
		err := w.one(finish)
		if errors.Is(err, errRolledBack) || errors.Is(err, errLost) {
			w.left.Add(1)
		} else if err != nil {
			return fmt.Errorf("ledger: worker %d: %w", w.id, err)
		}
		if w.config.Pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(w.random.Int64N(2 * int64(w.config.Pause)))):
			}
		}
	}
	return nil
}

// take takes one of the transactions that are left to do, and reports whether there was one.
func (w *worker) take() bool {
	if w.config.Transactions == 0 {
		return true
	}
	for {
		n := w.left.Load()
		if n <= 0 {
			return false
		}
		if w.left.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// connect connects, if there is no connection, and tries again until ctx ends.
func (w *worker) connect(ctx context.Context) error {
	for w.conn == nil {
		conn, err := client.ConnectWithContext(ctx, w.config.Addr, w.config.User, w.config.Password, w.config.Schema, 5*time.Second)
		if err == nil {
			if _, err = conn.Execute("SET time_zone = '+00:00', innodb_lock_wait_timeout = 5"); err == nil {
				w.conn = conn
				return nil
			}
			conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect: %w (last: %w)", ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// one does one transaction and writes it into the ledger if it was committed.
func (w *worker) one(finish context.Context) error {
	// A server that hangs must not hang us after the grace that Run gives.
	conn := w.conn
	defer context.AfterFunc(finish, func() { conn.Close() })()

	tx := &tx{worker: w, transaction: &transaction{no: w.txNo.Add(1), began: w.clock.Add(1)}, newVersions: map[string]uint64{}}
	err := tx.run()
	if errors.Is(err, errLost) || errors.Is(err, errInDoubt) {
		w.conn.Close()
		w.conn = nil
	}
	if errors.Is(err, errInDoubt) {
		committed, lookErr := w.wasCommitted(finish, tx.no)
		if lookErr != nil {
			return fmt.Errorf("find out whether transaction %d was committed: %w", tx.no, lookErr)
		}
		if !committed {
			return errLost
		}
		err = nil
	}
	if err != nil {
		return err
	}
	tx.ended = w.clock.Add(1)
	w.write(tx)
	return nil
}

// wasCommitted waits for the server to be back and for the transaction to have ended there.
func (w *worker) wasCommitted(ctx context.Context, no uint64) (bool, error) {
	for {
		if err := w.connect(ctx); err != nil {
			return false, err
		}
		// A locking read waits for the transaction, if the server is still busy with it.
		result, err := w.conn.Execute(fmt.Sprintf("SELECT no FROM transactions WHERE no = %d FOR UPDATE", no))
		if err == nil {
			return result.RowNumber() == 1, nil
		}
		if code := errorCode(err); code == deadlock || code == lockWaitTimeout {
			continue
		}
		w.conn.Close()
		w.conn = nil
		if ctx.Err() != nil {
			return false, err
		}
	}
}

// write enters a committed transaction into the ledger.
func (w *worker) write(tx *tx) {
	for key, version := range tx.newVersions {
		w.versions[key] = version
	}
	w.orderIDs = append(w.orderIDs, tx.newOrders...)
	w.transferIDs = append(w.transferIDs, tx.newTransfers...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed = append(w.committed, tx.transaction)
	w.changes += len(tx.changes)
	w.accountIDs = append(w.accountIDs, tx.newAccounts...)
}

// someAccounts returns the ids of n different committed accounts, fewer if there are fewer.
func (w *worker) someAccounts(n int) []string {
	w.mu.Lock()
	all := w.accountIDs
	w.mu.Unlock()
	n = min(n, len(all))
	var some []string
	for len(some) < n {
		if id := all[w.random.IntN(len(all))]; !slices.Contains(some, id) {
			some = append(some, id)
		}
	}
	return some
}

// newID returns an id that no other call of any worker returns. Those of odd workers don't fit an int64, if wide.
func (w *worker) newID(wide bool) string {
	w.sequence++
	id := uint64(w.id+1)<<40 | w.sequence
	if wide && w.id%2 == 1 {
		id |= 1 << 63
	}
	return strconv.FormatUint(id, 10)
}

// tx is a transaction under way.
type tx struct {
	*worker
	*transaction
	statements int

	// To be handed to the worker when the transaction is committed.
	newVersions                          map[string]uint64
	newAccounts, newOrders, newTransfers []string
}

// run begins, does some steps, and commits or rolls back.
func (tx *tx) run() error {
	if err := tx.execute("BEGIN"); err != nil {
		return err
	}
	err := tx.steps()
	if err == nil && tx.chance(10) {
		err = errRolledBack
	}
	if errors.Is(err, errRolledBack) {
		if rollback := tx.execute("ROLLBACK"); rollback != nil {
			return rollback
		}
		return err
	}
	if err != nil {
		return err
	}
	if _, err := tx.conn.Execute("COMMIT"); err != nil {
		return fmt.Errorf("%w: %w", errInDoubt, err)
	}
	return nil
}

func (tx *tx) steps() error {
	if err := tx.insert(transactions, tx.row(transactions, tx.transaction.noText(), strconv.Itoa(tx.id))); err != nil {
		return err
	}
	for range tx.random.IntN(4) {
		if !tx.chance(15) {
			if err := tx.step(); err != nil {
				return err
			}
			continue
		}
		undo := tx.mark()
		if err := tx.execute("SAVEPOINT here"); err != nil {
			return err
		}
		if err := tx.step(); err != nil {
			return err
		}
		end := "RELEASE SAVEPOINT here"
		if tx.chance(60) {
			end = "ROLLBACK TO SAVEPOINT here"
			undo()
		}
		if err := tx.execute(end); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) noText() string { return strconv.FormatUint(t.no, 10) }

// mark returns a function that forgets everything noted after the mark.
func (tx *tx) mark() (undo func()) {
	changes, versions := tx.changes, maps.Clone(tx.newVersions)
	accounts, orders, transfers := tx.newAccounts, tx.newOrders, tx.newTransfers
	return func() {
		tx.changes, tx.newVersions = changes, versions
		tx.newAccounts, tx.newOrders, tx.newTransfers = accounts, orders, transfers
	}
}

func (tx *tx) chance(percent int) bool { return tx.random.IntN(100) < percent }

// step does one thing that an application would do.
func (tx *tx) step() error {
	steps := []func() error{
		tx.openAccounts, tx.transferMoney, tx.transferMoney, tx.transferMoney, tx.touchAccount, tx.touchAccount,
		tx.placeOrder, tx.placeOrder, tx.amendLine, tx.amendLine, tx.amendOrder, tx.cancelOrder, tx.placeAgain,
		tx.placeAgain, tx.forgetTransfer, tx.changeNothing,
	}
	if tx.config.ChangeKeys {
		steps = append(steps, tx.moveLine, tx.moveLine)
	}
	return steps[tx.random.IntN(len(steps))]()
}

func (tx *tx) openAccounts() error {
	tx.mu.Lock()
	enough := len(tx.accountIDs) >= 30
	tx.mu.Unlock()
	if enough {
		return nil
	}
	var rows []row
	for range 1 + tx.random.IntN(3) {
		id := tx.newID(true)
		rows = append(rows, tx.row(accounts, id, tx.words(3), tx.decimal(1e9), "open", tx.time(), tx.words(4)))
		tx.newAccounts = append(tx.newAccounts, id)
	}
	return tx.insert(accounts, rows...)
}

func (tx *tx) transferMoney() error {
	ids := tx.someAccounts(2)
	if len(ids) < 2 {
		return nil
	}
	amount := tx.decimal(1e6)
	for i, id := range ids {
		rows, err := tx.lock(accounts, "id = "+id) // in any order: deadlocks are welcome
		if err != nil || len(rows) == 0 {
			return err
		}
		sign := int64(1 - 2*i)
		err = tx.update(accounts, rows[0], func(r row) {
			balance := &r[accounts.column("balance")].text
			*balance = formatDecimal(parseDecimal(*balance) - sign*parseDecimal(amount))
		})
		if err != nil {
			return err
		}
	}
	id := tx.newID(false)
	if tx.id%2 == 1 {
		id = "-" + id
	}
	tx.newTransfers = append(tx.newTransfers, id)
	return tx.insert(transfers, tx.row(transfers, id, ids[0], ids[1], amount, tx.bytes(), tx.time()))
}

func (tx *tx) touchAccount() error {
	ids := tx.someAccounts(1)
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.lock(accounts, "id = "+ids[0])
	if err != nil || len(rows) == 0 {
		return err
	}
	return tx.update(accounts, rows[0], func(r row) {
		r[accounts.column("status")].text = []string{"open", "frozen", "it's closed"}[tx.random.IntN(3)]
		r[accounts.column("note")] = value{text: tx.words(8), null: tx.chance(30)}
	})
}

// changeNothing sets a column to what it holds already, for which servers log nothing.
func (tx *tx) changeNothing() error {
	ids := tx.someAccounts(1)
	if len(ids) == 0 {
		return nil
	}
	return tx.execute("UPDATE accounts SET balance = balance WHERE id = " + ids[0])
}

func (tx *tx) line(order string, lineNo int) row {
	r := tx.row(orderLines, strconv.Itoa(lineNo), order, tx.words(1), strconv.Itoa(tx.random.IntN(2000)-1000),
		strconv.Itoa(tx.random.IntN(1000))+".25", []string{"", "gift", "gift,cold", "gift,fragile,cold"}[tx.random.IntN(4)])
	for _, nullable := range []string{"weight", "flags"} {
		r[orderLines.column(nullable)].null = tx.chance(20)
	}
	return r
}

// linesPerOrder is how many line numbers an order has: few, so that deleted ones are soon used again.
const linesPerOrder = 6

func (tx *tx) placeOrder() error {
	order := tx.newID(true)
	tx.newOrders = append(tx.newOrders, order)
	var rows []row
	for i := range 1 + tx.random.IntN(linesPerOrder) {
		rows = append(rows, tx.line(order, i))
	}
	return tx.insert(orderLines, rows...)
}

// lines locks the lines of one of the worker's orders.
func (tx *tx) lines() (order string, rows []row, err error) {
	if len(tx.orderIDs) == 0 {
		return "", nil, nil
	}
	recent := tx.orderIDs[max(0, len(tx.orderIDs)-20):] // so that keys are soon used again
	order = recent[tx.random.IntN(len(recent))]
	rows, err = tx.lock(orderLines, "order_id = "+order)
	return order, rows, err
}

func (tx *tx) amendLine() error {
	_, rows, err := tx.lines()
	if err != nil || len(rows) == 0 {
		return err
	}
	return tx.update(orderLines, rows[tx.random.IntN(len(rows))], func(r row) {
		r[orderLines.column("sku")].text = tx.words(2)
		r[orderLines.column("quantity")].text = strconv.Itoa(tx.random.IntN(1e6))
	})
}

// amendOrder changes all lines of an order in one statement.
func (tx *tx) amendOrder() error {
	order, rows, err := tx.lines()
	if err != nil || len(rows) == 0 {
		return err
	}
	base := tx.last.Add(linesPerOrder) - linesPerOrder + 1
	statement := fmt.Sprintf("UPDATE order_lines SET quantity = quantity + 1, version = version + 1, "+
		"change_no = %d + line_no WHERE order_id = %s", base, order)
	if err := tx.expect(statement, len(rows)); err != nil {
		return err
	}
	for _, before := range rows {
		after := slices.Clone(before)
		lineNo := parseUint(before[orderLines.column("line_no")].text)
		quantity, _ := strconv.Atoi(before[orderLines.column("quantity")].text)
		after[orderLines.column("quantity")].text = strconv.Itoa(quantity + 1)
		tx.stamp(orderLines, after, base+lineNo)
		tx.note("update", orderLines, before, after)
	}
	return nil
}

func (tx *tx) cancelOrder() error {
	order, rows, err := tx.lines()
	if err != nil || len(rows) == 0 {
		return err
	}
	return tx.delete(orderLines, "order_id = "+order, rows)
}

// placeAgain inserts a line under a key that may have been used before.
func (tx *tx) placeAgain() error {
	order, rows, err := tx.lines()
	if err != nil || order == "" {
		return err
	}
	if lineNo, ok := freeLine(rows); ok {
		return tx.insert(orderLines, tx.line(order, lineNo))
	}
	return tx.delete(orderLines, orderLines.where(rows[0]), rows[:1])
}

// moveLine changes a line's primary key.
func (tx *tx) moveLine() error {
	_, rows, err := tx.lines()
	if err != nil || len(rows) == 0 {
		return err
	}
	lineNo, ok := freeLine(rows)
	if !ok {
		return nil
	}
	return tx.update(orderLines, rows[tx.random.IntN(len(rows))], func(r row) {
		r[orderLines.column("line_no")].text = strconv.Itoa(lineNo)
	})
}

// freeLine returns a line number that the rows of an order don't use.
func freeLine(rows []row) (int, bool) {
	for n := range linesPerOrder {
		used := func(r row) bool { return r[orderLines.column("line_no")].text == strconv.Itoa(n) }
		if !slices.ContainsFunc(rows, used) {
			return n, true
		}
	}
	return 0, false
}

func (tx *tx) forgetTransfer() error {
	if len(tx.transferIDs) == 0 {
		return nil
	}
	id := tx.transferIDs[tx.random.IntN(len(tx.transferIDs))]
	rows, err := tx.lock(transfers, "id = "+id)
	if err != nil || len(rows) == 0 {
		return err
	}
	return tx.delete(transfers, "id = "+id, rows)
}

// Statements.

// row returns a row of the values, to which insert adds version and change number.
func (tx *tx) row(t *table, values ...string) row {
	r := make(row, len(t.columns))
	for i, v := range values {
		r[i].text = v
	}
	return r
}

// lock reads rows as this transaction sees them, and keeps others from changing them.
func (tx *tx) lock(t *table, where string) ([]row, error) {
	result, err := tx.conn.Execute("SELECT " + t.names() + " FROM " + t.name + " WHERE " + where + " FOR UPDATE")
	if err != nil {
		return nil, failure(err)
	}
	return t.rows(result)
}

// insert inserts rows with one statement.
func (tx *tx) insert(t *table, rows ...row) error {
	var tuples []string
	for _, r := range rows {
		tx.stamp(t, r, tx.last.Add(1))
		literals := make([]string, len(r))
		for c, v := range r {
			literals[c] = t.literal(c, v)
		}
		tuples = append(tuples, "("+strings.Join(literals, ", ")+")")
	}
	if err := tx.expect("INSERT INTO "+t.name+" ("+t.names()+") VALUES "+strings.Join(tuples, ", "), len(rows)); err != nil {
		return err
	}
	for _, r := range rows {
		tx.note("insert", t, nil, r)
	}
	return nil
}

// update changes one row, which must have been locked.
func (tx *tx) update(t *table, before row, change func(row)) error {
	after := slices.Clone(before)
	change(after)
	tx.stamp(t, after, tx.last.Add(1))
	var sets []string
	for c := range after {
		if after[c] != before[c] {
			sets = append(sets, t.columns[c].name+" = "+t.literal(c, after[c]))
		}
	}
	err := tx.expect("UPDATE "+t.name+" SET "+strings.Join(sets, ", ")+" WHERE "+t.where(before), 1)
	if err != nil {
		return err
	}
	tx.note("update", t, before, after)
	return nil
}

// delete deletes the rows, which must have been locked and be all that fulfil the condition.
func (tx *tx) delete(t *table, where string, rows []row) error {
	if err := tx.expect("DELETE FROM "+t.name+" WHERE "+where, len(rows)); err != nil {
		return err
	}
	for _, r := range rows {
		tx.note("delete", t, r, nil)
	}
	return nil
}

// stamp gives a row that is about to be written its change number, and its key's next version.
func (tx *tx) stamp(t *table, r row, no uint64) {
	key := t.name + t.keyJSON(r)
	last, ok := tx.newVersions[key]
	if !ok {
		last = tx.versions[key]
	}
	if t == accounts && r[t.version].text != "" {
		last = parseUint(r[t.version].text) // others change accounts, too, but nobody deletes them
	}
	r[t.version].text = strconv.FormatUint(last+1, 10)
	r[t.changeNo].text = strconv.FormatUint(no, 10)
}

// note enters a change that was made. Either image may be nil.
func (tx *tx) note(op string, t *table, before, after row) {
	c := &change{tx: tx.transaction, statement: tx.statements, op: op, table: t, before: "null", after: "null"}
	if before != nil {
		version := parseUint(before[t.version].text)
		c.before, c.no = t.image(before), parseUint(before[t.changeNo].text)
		c.oldKey, c.oldRank = t.name+t.keyJSON(before), 2*version+1
		c.key, c.rank = c.oldKey, c.oldRank
		tx.newVersions[c.oldKey] = version
	}
	if after != nil {
		version := parseUint(after[t.version].text)
		c.after, c.no = t.image(after), parseUint(after[t.changeNo].text)
		c.key, c.rank = t.name+t.keyJSON(after), 2*version
		tx.newVersions[c.key] = version
	}
	if c.oldKey == "" {
		c.oldKey, c.oldRank = c.key, c.rank
	}
	tx.changes = append(tx.changes, c)
}

// expect executes a statement that must affect n rows.
func (tx *tx) expect(statement string, n int) error {
	tx.statements++
	result, err := tx.conn.Execute(statement)
	if err != nil {
		return failure(err)
	}
	if result.AffectedRows != uint64(n) {
		return fmt.Errorf("%s: affected %d rows, not %d", statement, result.AffectedRows, n)
	}
	return nil
}

func (tx *tx) execute(statement string) error {
	_, err := tx.conn.Execute(statement)
	return failure(err)
}

// Error codes of the servers.
const (
	lockWaitTimeout = 1205
	deadlock        = 1213
)

func errorCode(err error) uint16 {
	var e *mysql.MyError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// failure sorts an error of a statement before COMMIT into those that the workload expects, and the others.
func failure(err error) error {
	if err == nil {
		return nil
	}
	switch errorCode(err) {
	case deadlock, lockWaitTimeout:
		return fmt.Errorf("%w: %w", errRolledBack, err)
	case 0, // not from the server: the connection broke
		mysql.ER_SERVER_SHUTDOWN, mysql.ER_QUERY_INTERRUPTED, mysql.ER_NORMAL_SHUTDOWN,
		1927, // MariaDB: ER_CONNECTION_KILLED
		1184, // ER_NEW_ABORTING_CONNECTION
		3169: // MySQL: ER_SESSION_WAS_KILLED
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// Random values.

var vocabulary = []string{"ada", "Ωmega", "naïve", "日本", "🦊", "o'clock", `back\slash`, `"quoted"`, "<b>&amp;</b>", "tab\t",
	"line\nbreak", "\u2028", "\x01", "ß", "e\u0301", " ", "null", "0"}

func (tx *tx) words(most int) string {
	var words []string
	for range 1 + tx.random.IntN(most) {
		words = append(words, vocabulary[tx.random.IntN(len(vocabulary))])
	}
	return strings.Join(words, "-")
}

func (tx *tx) bytes() string {
	b := make([]byte, tx.random.IntN(40))
	for i := range b {
		b[i] = byte(tx.random.Uint32())
	}
	return string(b)
}

// time returns a date and time with three digits after the point, of which the last is not 0.
func (tx *tx) time() string {
	at := time.Unix(1_500_000_000+tx.random.Int64N(300_000_000), 0).UTC()
	return fmt.Sprintf("%s.%02d%d", at.Format(time.DateTime), tx.random.IntN(100), 1+tx.random.IntN(9))
}

func (tx *tx) decimal(most int64) string { return formatDecimal(tx.random.Int64N(most) + 1) }

// Decimals have four digits after the point; they are counted in ten-thousandths.
func parseDecimal(s string) int64 {
	n, err := strconv.ParseInt(strings.Replace(s, ".", "", 1), 10, 64)
	if err != nil {
		panic("ledger: decimal " + s)
	}
	return n
}

func formatDecimal(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%04d", sign, n/1e4, n%1e4)
}

func parseUint(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic("ledger: number " + s)
	}
	return n
}
