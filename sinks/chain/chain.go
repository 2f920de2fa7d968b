package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Store keeps objects that are written once. sinks/s3 and sinks/file have one.
type Store interface {
	// Put creates the object if there is none under key, and reports whether this call did; created=false without an
	// error means that an object is there, which may be the work of an earlier call whose reply was lost. After an
	// error it is not known whether the object was created: putting it again is safe. The body is not changed and
	// not kept. Metadata keys are lower case, their total is below 2 KB.
	Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error)
	// Head returns the object's metadata and size, ok=false when there is none.
	Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error)
	// Get returns the object's bytes, ok=false when there is none.
	Get(ctx context.Context, key string) (body []byte, ok bool, err error)
	// List calls yield with each key that begins with prefix and sorts after `after`, in lexical order, until yield
	// returns false. An object whose Put has returned is listed.
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
	// String says where the store is, without secrets.
	String() string
}

// ErrFenced says that another writer has continued the chain. What was taken and not committed is void: open the
// chain again and read the stream from [Chain.Resume].
var ErrFenced = errors.New("another writer has continued the chain")

// Config says what chain to write and how. Source, Feed and Store are required.
type Config struct {
	Source    string
	Feed      string
	Partition uint16
	Store     Store

	// Of a feed that is split over several chains, see [OpenSplit]: how many there are (default 1), and by table
	// (schema.table) the column that is hashed in place of the primary key. Both are fixed for the life of the chains.
	Partitions  int
	PartitionBy map[string]string

	Envelope string // default "cdcd"
	Compress string // "zstd" (default), "gzip" or "none"; fixed for the life of the chain
	Writer   string // names this process in the metadata

	// An object is committed when its oldest record has waited for Every (default 2 s) or when it has Rows records
	// (default 50,000) or Bytes of lines before compression (default 16 MiB), whichever comes first. Memory is
	// bounded by twice Bytes and one batch.
	Every time.Duration
	Rows  int
	Bytes int

	// Objects are JSON Lines unless these say otherwise, see sinks/form. Extension is how keys end, but for what tells the
	// compression (default ".jsonl"). Kind returns what the records of one object have in common, a comparable value: where it
	// changes, an object ends. Seal makes the object's bytes, before compression, of its records, each ended by a newline; Next
	// cuts the first record off them (default: at the newline).
	Extension string
	Kind      func(e cdc.Event) any
	Seal      func(kind any, lines []byte) ([]byte, error)
	Next      func(lines []byte) (record, rest []byte)

	// KeepTransactions makes objects end where transactions of the source do. A transaction that is larger than four objects
	// may be is cut all the same, which the metadata of the object say; so is one that is judged by two rule sets. Memory is
	// bounded by eight times Bytes then. Not with Sync.
	KeepTransactions bool

	// Manifest puts an object beside each object that describes it, see [ManifestKey]. Version is named in it. Table returns what a
	// table is to those who get the feed (default: what it is): by has, for each way in which records of it were shown, what the rules of
	// those records let see, nil for a rule that hides nothing.
	Manifest bool
	Version  string
	Table    func(t *cdc.Table, by [][]*cdc.Show) *cdc.Table

	// Sync makes Write return only when what it was given is committed. It is for dead letters: such a chain may be
	// moved on by Advance without seeing the events between, so the date in its keys is that of the last record before.
	Sync bool

	// Append renders a decision as one line without its newline. Default: cdc.AppendRecord for Feed.
	Append func(dst []byte, d *cdc.Decision) []byte

	// Committed is called with each object after it is in the store and before the next one is put, and again for
	// those that it may have missed in a crash: it must be idempotent. An error stops the chain.
	Committed func(ctx context.Context, o cdc.Object) error

	// Audited returns the ordinal up to which Committed has done its work for good, for the chain of that name in Store.
	// Open calls Committed for all later objects, and fails with CDCD-4103 when there are fewer. Without it, Open calls
	// Committed for none.
	Audited func(chain string) uint64

	// Progress is what [Chain.Progress] returned some time earlier, or the zero value. It is a hint, never needed.
	Progress Progress

	Logger *slog.Logger
	Now    func() time.Time // default time.Now
	Pause  func(ctx context.Context, attempt int) error
}

// Progress is how far a chain has read the stream beyond its last object: events that matched nothing. It is of use
// only to the same chain in the same store, and ignored by all others.
type Progress struct {
	Store       string    `json:"store"`
	HeadKey     string    `json:"head_key"`     // the last object then
	HeadLast    uint64    `json:"head_last"`    // its LastPartNo
	First       uint64    `json:"first"`        // the first event of the next object; 0 when not known
	FirstCommit time.Time `json:"first_commit"` // its commit time, zero when not seen
	Next        uint64    `json:"next"`         // the first event that is not answered for
	Seq         uint64    `json:"seq"`          // the frame that holds Next-1
	Epoch       uint64    `json:"epoch"`        // of that frame
}

// Stats is a chain as operators see it.
type Stats struct {
	Objects, Records, Bytes uint64    // committed by this process
	Waiting                 int       // records that are not committed
	WaitingSince            time.Time // when the oldest of them came; zero when there is none
	Head                    cdc.Object
	Err                     error // why the store is not taking objects at present; nil when it is
}

// Chain is one chain of objects. One goroutine calls Run; all other methods may be called by any, Write in stream order.
type Chain struct {
	cfg  Config
	name string

	sealed chan *draft   // from Write to Run; unbuffered, so that at most two drafts and an open one exist
	kick   chan struct{} // tells Run that a first record waits
	done   chan struct{} // closed when Run has ended

	writing chan struct{} // full while Write or Flush is at work; a channel, so that waiting for it can be cancelled
	pending *draft        // cut, and not yet handed to Run because a call was interrupted; guarded by writing

	mu         sync.Mutex // guards what follows
	head       cdc.Object
	epoch      uint64    // of the head
	next       uint64    // first event not taken yet; 0 when any will do
	seq        uint64    // frame of next-1
	seqEpoch   uint64    // epoch of that frame; 0 when not known
	from       uint64    // first event of the open draft, whether there is one yet or not; 0 when the chain is new
	fromCommit time.Time // commit of event from
	fromSeq    uint64    // frame of event from; 0 when not known
	dated      bool      // fromCommit is known
	open       *draft    // nil when it would have no records
	whole      bool      // what was taken ends where a transaction does, as far as is known
	cuts       []*draft  // that were cut and are not committed, oldest first
	stats      Stats
	err        error         // why Run ended
	contexts   contexts      // that are in the store
	spare      []byte        // the lines of a committed draft, for the next one
	committed  chan struct{} // closed and replaced at each commit
}

// Open finds the chain in its store, or begins it. It fails with CDCD-4101 when the store does not honour
// put-if-absent, with CDCD-4102 when the chain there is of another source, feed, envelope or compression, and with
// CDCD-4103 when objects are missing. Any other error may go away: open it again later.
func Open(ctx context.Context, cfg Config) (*Chain, error) {
	if cfg.Envelope == "" {
		cfg.Envelope = "cdcd"
	}
	if cfg.Compress == "" {
		cfg.Compress = "zstd"
	}
	if cfg.Every == 0 {
		cfg.Every = 2 * time.Second
	}
	if cfg.Rows == 0 {
		cfg.Rows = 50_000
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = 16 << 20
	}
	if cfg.Append == nil {
		feed := cfg.Feed
		cfg.Append = func(dst []byte, d *cdc.Decision) []byte { return cdc.AppendRecord(dst, feed, d) }
	}
	if cfg.Extension == "" {
		cfg.Extension = ".jsonl"
	}
	if cfg.Next == nil {
		cfg.Next = nextLine
	}
	if cfg.Sync {
		cfg.KeepTransactions = false
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Pause == nil {
		cfg.Pause = backOff
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chain{cfg: cfg, name: cfg.name(), sealed: make(chan *draft), kick: make(chan struct{}, 1), done: make(chan struct{}),
		writing: make(chan struct{}, 1), committed: make(chan struct{}), whole: true}
	if _, ok := suffixes[cfg.Compress]; !ok {
		return nil, fmt.Errorf("chain %s: unknown compression %q", c.name, cfg.Compress)
	}
	if err := c.pin(ctx); err != nil {
		return nil, err
	}
	if err := c.recover(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// pin puts chain.json, twice: the second put must find the first. That proves put-if-absent and the agreement of all
// writers in one go, and leaves nothing behind that would not be there anyway.
func (c *Chain) pin(ctx context.Context) error {
	key, want := c.cfg.folder()+"chain.json", c.cfg.pinBytes()
	meta := map[string]string{metaChain: c.name, metaWriter: c.cfg.Writer}
	if err := prove(ctx, c.cfg.Store, key, want, meta); err != nil {
		return fmt.Errorf("chain %s: %w", c.name, err)
	}
	got, ok, err := c.cfg.Store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("chain %s: get %s from %s: %w", c.name, key, c.cfg.Store, err)
	}
	if !ok {
		return fmt.Errorf("chain %s: %s is gone from %s", c.name, key, c.cfg.Store)
	}
	return c.agrees(key, got)
}

// agrees checks that the pin in the store is that of this configuration.
func (c *Chain) agrees(key string, text []byte) error {
	const fix = "set the feed as the chain was begun, or give it a new name and a new prefix in `to`"
	var there pin
	if err := json.Unmarshal(text, &there); err != nil {
		return cdc.Errorf(codeOther, "%s in %s does not describe a chain: %w", key, c.cfg.Store, err).WithFix(fix)
	}
	here := c.cfg.pin()
	if there.equal(here) {
		return nil
	}
	if there.Version != here.Version {
		return cdc.Errorf(codeOther, "the chain in %s/%s has format %d, this program writes %d", c.cfg.Store, c.cfg.folder(), there.Version, here.Version).
			WithFix("use the version of cdcd that began the chain, or give the feed a new name and a new prefix in `to`")
	}
	if there.Partitions != here.Partitions || !slices.Equal(there.PartitionBy, here.PartitionBy) {
		return cdc.Errorf(codeOther, "the feed in %s was begun with %s; the configuration says %s", c.cfg.Store, there.split(), here.split()).WithFix(fix)
	}
	return cdc.Errorf(codeOther, "the chain in %s/%s is %s with envelope %s and compression %s; the configuration says %s, %s, %s",
		c.cfg.Store, c.cfg.folder(), there.Chain, there.Envelope, there.Compress, here.Chain, here.Envelope, here.Compress).WithFix(fix)
}

// recover finds the head in the store and has Committed called for the objects that it may have missed.
func (c *Chain) recover(ctx context.Context) error {
	p := c.cfg.Progress
	if p.Store != c.cfg.Store.String() {
		p = Progress{}
	}
	reconcile := c.cfg.Committed != nil && c.cfg.Audited != nil
	var audited uint64
	if reconcile {
		audited = c.cfg.Audited(c.name) // before the list, lest it knows of an object that came after it
	}
	keys, err := c.find(ctx, p.HeadKey)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		c.head, c.epoch, err = c.object(ctx, keys[len(keys)-1])
		if err != nil {
			return err
		}
		c.next, c.seq, c.seqEpoch = c.head.LastPartNo+1, c.head.LastSeq, c.epoch
		c.from = c.next
	} else if err := c.begun(ctx); err != nil {
		return err
	}
	if c.head.LastPartNo < p.HeadLast {
		return c.missing("%s answered for the events up to %d, and the last one there only up to %d",
			p.HeadKey, p.HeadLast, c.head.LastPartNo)
	}
	c.skip(p)
	if err := c.mendManifest(ctx); err != nil {
		return err
	}
	if !reconcile {
		return nil
	}
	return c.reconcile(ctx, keys, audited)
}

// begun reads where a chain without objects begins, if that is settled.
func (c *Chain) begun(ctx context.Context) error {
	key := c.cfg.folder() + beginName
	text, ok, err := c.cfg.Store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("chain %s: get %s from %s: %w", c.name, key, c.cfg.Store, err)
	}
	if !ok {
		return nil
	}
	b, epoch, err := parseBegin(text)
	if err != nil {
		return cdc.Errorf(codeOther, "%s in %s does not say where a chain begins: %w", key, c.cfg.Store, err).
			WithFix("give the feed a new name and a new prefix in `to`")
	}
	c.next, c.seq, c.seqEpoch = b.First, b.Seq, epoch
	c.from, c.fromCommit, c.fromSeq, c.dated = b.First, b.FirstCommit, b.Seq, true
	return nil
}

// skip makes use of the hint how far the stream has been read already, if it is about the chain as it is.
func (c *Chain) skip(p Progress) {
	if p.HeadLast != c.head.LastPartNo || p.Next <= c.next {
		return
	}
	from, commit, dated := c.from, c.fromCommit, c.dated
	if from == 0 {
		from = p.First
	} else if p.First == 0 || p.First > from {
		return // the hint says nothing of the events from there on
	}
	if !dated && p.First == from && !p.FirstCommit.IsZero() {
		commit, dated = p.FirstCommit, true
	}
	if from < p.Next && from != 0 && !dated && !c.cfg.Sync {
		return // that event must be seen, since it dates the next key
	}
	c.from, c.fromCommit, c.dated = from, commit, dated
	c.next, c.seq, c.seqEpoch = p.Next, p.Seq, p.Epoch
}

// missing says that objects were removed.
func (c *Chain) missing(format string, args ...any) error {
	return cdc.Errorf("CDCD-4103", "objects of chain %s are missing in %s: "+format, append([]any{c.name, c.cfg.Store}, args...)...).
		WithFix("put them back (`cdcd audit verify --objects` names them), or deliver to a new prefix under a new feed name")
}

// reconcile calls Committed for every object after ordinal audited.
func (c *Chain) reconcile(ctx context.Context, keys []string, audited uint64) error {
	if c.head.Ordinal == audited {
		return nil
	}
	if c.head.Ordinal < audited {
		return c.missing("%d are known to the audit log, the last one there is number %d", audited, c.head.Ordinal)
	}
	behind := c.head.Ordinal - audited
	if uint64(len(keys)) < behind {
		all, err := c.find(ctx, "")
		if err != nil {
			return err
		}
		if uint64(len(all)) < behind {
			return c.missing("the last one is number %d, and there are %d", c.head.Ordinal, len(all))
		}
		keys = all
	}
	for i, key := range keys[uint64(len(keys))-behind:] {
		o, _, err := c.object(ctx, key)
		if err != nil {
			return err
		}
		if want := audited + 1 + uint64(i); o.Ordinal != want {
			return c.missing("%s is number %d and should be number %d", key, o.Ordinal, want)
		}
		if err := c.cfg.Committed(ctx, o); err != nil {
			return fmt.Errorf("object %d of %s: %w", o.Ordinal, c.name, err)
		}
	}
	return nil
}

// find lists the chain's objects in chain order, which is that of their keys: from hint on, if that is one of them.
func (c *Chain) find(ctx context.Context, hint string) ([]string, error) {
	var keys []string
	if _, ok := c.cfg.parseKey(hint); !ok {
		hint = ""
	} else if _, _, there, err := c.cfg.Store.Head(ctx, hint); err != nil {
		return nil, fmt.Errorf("chain %s: object %s in %s: %w", c.name, hint, c.cfg.Store, err)
	} else if there {
		keys = append(keys, hint)
	} else {
		hint = ""
	}
	err := c.cfg.Store.List(ctx, c.cfg.folder()+"dt=", hint, func(key string, _ int64) bool {
		if _, ok := c.cfg.parseKey(key); ok {
			keys = append(keys, key)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("chain %s: list %s: %w", c.name, c.cfg.Store, err)
	}
	return keys, nil
}

// object reads what an object says about itself; CDCD-4102 when it is not one of this chain.
func (c *Chain) object(ctx context.Context, key string) (cdc.Object, uint64, error) {
	meta, size, ok, err := c.cfg.Store.Head(ctx, key)
	if err == nil && !ok {
		err = errors.New("it was there and is gone")
	}
	if err != nil {
		return cdc.Object{}, 0, fmt.Errorf("chain %s: object %s in %s: %w", c.name, key, c.cfg.Store, err)
	}
	o, epoch, err := ParseObject(c.cfg.Store.String(), key, size, meta)
	first, _ := c.cfg.parseKey(key)
	if err == nil && (o.Chain != c.name || o.FirstPartNo != first || o.LastPartNo < first || o.Ordinal == 0) {
		err = fmt.Errorf("it says that it is object %d of %q with the events %d to %d", o.Ordinal, o.Chain, o.FirstPartNo, o.LastPartNo)
	}
	if err != nil {
		return cdc.Object{}, 0, cdc.Errorf(codeOther, "%s in %s stands where chain %s has its objects: %w", key, c.cfg.Store, c.name, err).
			WithFix("move it away if it is not cdcd's; otherwise give the feed a new name and a new prefix in `to`")
	}
	return o, epoch, nil
}

// Name returns source/feed/partition.
func (c *Chain) Name() string { return c.name }

// Resume returns the stream sequence to read from: 1 for a chain that is new.
func (c *Chain) Resume() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.seq, 1)
}

// Next returns the first event that the chain has not answered for, 0 when it is new, and the epoch of its numbering.
func (c *Chain) Next() (next, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next, c.seqEpoch
}

// Locate returns the sequence to read from in a stream that may have lost its end since the chain read it, and has the same
// events in other frames now: that of a frame no later than the one with the first event that the chain has not answered for.
// The stream has the sequences from first to last and ends before event `end` (0: not known); event returns the first event of
// the frame at a sequence or, where that has none, of what comes behind it.
func (c *Chain) Locate(ctx context.Context, first, last, end uint64,
	event func(ctx context.Context, seq uint64) (no uint64, err error)) (seq uint64, err error) {
	next, _ := c.Next()
	seq = min(c.Resume(), last+1)
	if next < end { // it is there, and so are frames that it may be in
		seq = min(seq, last)
	}
	for step := uint64(1); seq > first && seq <= last; step *= 2 {
		no, err := event(ctx, seq)
		if err != nil {
			return 0, err
		}
		if no <= next {
			break
		}
		seq = max(first, seq-min(step, seq))
	}
	return seq, nil
}

// Advance says that the events before next need no answer of this chain: nothing of them was or will be for it. It is
// for chains that are new, and for those with Config.Sync; other chains have to see every event and do not move.
func (c *Chain) Advance(next, seq, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next > c.next && (c.from == 0 || c.cfg.Sync) {
		c.next, c.seq, c.seqEpoch = next, seq, epoch
	}
}

// Begin settles in the store where a chain begins that is new: with event next, which the frame seq has or will have, and with
// the date of at in its first key. If another writer has settled it meanwhile, that holds. A chain that has begun stays as it is.
func (c *Chain) Begin(ctx context.Context, next, seq, epoch uint64, at time.Time) error {
	c.mu.Lock()
	begun := c.from != 0
	c.mu.Unlock()
	if begun {
		return nil
	}
	d := draft{first: next, fromCommit: at, fromSeq: seq, epoch: epoch}
	meta := map[string]string{metaChain: c.name}
	if c.cfg.Writer != "" {
		meta[metaWriter] = c.cfg.Writer
	}
	key := c.cfg.folder() + beginName
	if _, err := c.cfg.Store.Put(ctx, key, d.beginBytes(), meta); err != nil {
		return fmt.Errorf("chain %s: put %s to %s: %w", c.name, key, c.cfg.Store, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun(ctx)
}

// Progress returns how far the stream need not be read again: up to the head, and beyond it while nothing waits.
func (c *Chain) Progress() Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := Progress{Store: c.cfg.Store.String(), HeadKey: c.head.Key, HeadLast: c.head.LastPartNo}
	if c.open == nil && len(c.cuts) == 0 {
		p.First, p.FirstCommit, p.Next, p.Seq, p.Epoch = c.from, c.fromCommit, c.next, c.seq, c.seqEpoch
	} else if c.head.Ordinal > 0 {
		p.First, p.Next, p.Seq, p.Epoch = c.head.LastPartNo+1, c.head.LastPartNo+1, c.head.LastSeq, c.epoch
	}
	return p
}

// Stats returns figures for operators.
func (c *Chain) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Head = c.head
	waiting := c.cuts
	if c.open != nil {
		waiting = append(waiting[:len(waiting):len(waiting)], c.open)
	}
	for _, d := range waiting {
		s.Waiting += d.records
	}
	if len(waiting) > 0 {
		s.WaitingSince = waiting[0].began
	}
	return s
}

// Write takes the decisions ds of batch b, which are for this chain's feed and in the order of their events; it may be
// none. nil means that the chain has them, or will ask for them again by [Chain.Resume] after a crash; with
// Config.Sync it means that they are committed. What was taken before is recognised and dropped, so the same batch may
// come again. Write blocks while one object is full and the one before it is not committed. It returns [ErrFenced]
// when the chain was continued by someone else, CDCD-4104 when b does not continue the chain, and once Run has ended
// whatever ended it. It must not be called by Config.Committed.
func (c *Chain) Write(ctx context.Context, b *cdc.Batch, ds []cdc.Decision) error {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	if err := c.handOver(ctx); err != nil {
		return err
	}
	if b.Len() == 0 {
		return c.cutIf(ctx, c.ends(b))
	}
	if err := c.continues(b); err != nil {
		return err
	}
	if err := c.cutIf(ctx, c.otherEpoch(b)); err != nil {
		return err
	}
	for i := range ds {
		d := &ds[i]
		if err := c.cutIf(ctx, c.turns(b, d)); err != nil {
			return err
		}
		var kind any
		if c.cfg.Kind != nil {
			kind = c.cfg.Kind(d.Event)
		}
		if err := c.cutIf(ctx, c.apart(d, kind)); err != nil {
			return err
		}
		if err := c.cutIf(ctx, c.add(b, d, kind)); err != nil {
			return err
		}
	}
	if err := c.cutIf(ctx, c.cover(b)); err != nil {
		return err
	}
	if c.cfg.Sync {
		return c.flush(ctx)
	}
	return nil
}

// cutIf ends the open draft if it has to end.
func (c *Chain) cutIf(ctx context.Context, cut bool) error {
	if !cut {
		return nil
	}
	c.cut()
	return c.handOver(ctx)
}

// Flush commits what waits, and returns when it is committed; with KeepTransactions, what there is of a transaction that has
// not ended goes on waiting. It needs Run, and must not be called by Config.Committed.
func (c *Chain) Flush(ctx context.Context) error {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	return c.flush(ctx)
}

func (c *Chain) lock(ctx context.Context) error {
	select {
	case c.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Chain) unlock() { <-c.writing }

func (c *Chain) flush(ctx context.Context) error {
	if err := c.handOver(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	within := c.cfg.KeepTransactions && !c.whole
	c.mu.Unlock()
	if err := c.cutIf(ctx, !within); err != nil {
		return err
	}
	for {
		c.mu.Lock()
		idle, committed := len(c.cuts) == 0, c.committed
		c.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-committed:
		case <-c.done:
			return c.ended()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// continues checks that the batch goes on where the chain ends, and dates the next object.
func (c *Chain) continues(b *cdc.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := b.Header()
	if h.Partition != c.cfg.Partition && c.cfg.Partitions <= 1 {
		return fmt.Errorf("chain %s: a batch of partition %d", c.name, h.Partition)
	}
	otherNumbers := c.seqEpoch != 0 && h.Epoch>>32 != c.seqEpoch>>32
	if c.next != 0 && h.FirstPartNo > c.next || otherNumbers {
		return cdc.Errorf(codeContinues, "chain %s in %s has answered for the events up to %d of epoch %x; the stream goes on with event %d of epoch %x",
			c.name, c.cfg.Store, c.next-1, c.seqEpoch, h.FirstPartNo, h.Epoch).
			WithFix("restore the data folder or stream that this chain was made from, or give the feed a new name and a new prefix in `to`")
	}
	if c.next == 0 {
		c.next = h.FirstPartNo
	}
	if c.from == 0 {
		c.from = c.next
	}
	c.date(b)
	if h.FirstPartNo == c.next && b.Event(0).Position().Row == 0 {
		c.whole = true // whatever was known when the batch before came
	}
	return nil
}

// date notes when the first event of the next object was committed, matched or not: a property of the stream, whatever
// the rules say, so that all writers come to the same key. It is called whenever that event may have come.
func (c *Chain) date(b *cdc.Batch) {
	first := b.Header().FirstPartNo
	if !c.dated && c.from >= first && c.from < first+uint64(b.Len()) {
		c.fromCommit, c.fromSeq, c.dated = b.Event(int(c.from-first)).CommitTime(), b.Seq, true
	}
}

// apart reports that d must not come into the open draft: an object names just one rule set, and its records are of one kind.
func (c *Chain) apart(d *cdc.Decision, kind any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open != nil && d.Event.PartNo() >= c.next && (c.open.ruleSet != d.RuleSet || c.open.kind != kind)
}

// otherEpoch reports that the records of the open draft are of another epoch than b: changes may be missing in between,
// which an object could not say of itself.
func (c *Chain) otherEpoch(b *cdc.Batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open != nil && c.seqEpoch != b.Header().Epoch
}

// add adds one decision, unless it was taken before, and reports whether the draft is to be cut.
func (c *Chain) add(b *cdc.Batch, d *cdc.Decision, kind any) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	no := d.Event.PartNo()
	if no < c.next {
		return false
	}
	if c.open == nil {
		if c.date(b); !c.dated { // with Sync, see Advance
			c.fromCommit = d.Event.CommitTime()
		}
		c.open = &draft{first: c.from, fromCommit: c.fromCommit, fromSeq: c.fromSeq, firstCommit: d.Event.CommitTime(),
			ruleSet: d.RuleSet, kind: kind, began: c.cfg.Now(), lines: c.spare}
		c.spare = nil
		if c.cfg.Manifest {
			c.open.about = &about{}
		}
		select {
		case c.kick <- struct{}{}:
		default: // Run has been told
		}
	}
	o := c.open
	o.lines = append(c.cfg.Append(c.room(o), d), '\n')
	o.records++
	o.lastCommit = d.Event.CommitTime()
	if o.about != nil {
		o.about.add(c.cfg.Feed, d)
	}
	c.next, c.seq, c.seqEpoch = no+1, b.Seq, b.Header().Epoch
	if !c.cfg.KeepTransactions {
		return c.full(1)
	}
	c.whole = lastOfTx(b, d.Event.Index())
	return c.whole && c.full(1) || c.full(4)
}

// full reports that the open draft has reached a limit that many times. The caller holds mu.
func (c *Chain) full(times int) bool {
	o := c.open
	return o != nil && (o.records >= times*c.cfg.Rows || len(o.lines) >= times*c.cfg.Bytes)
}

// lastOfTx reports that the batch says of its i-th event that its transaction ends with it.
func lastOfTx(b *cdc.Batch, i int) bool {
	e := b.Event(i)
	if i+1 < b.Len() {
		return b.Event(i+1).TxIndex() != e.TxIndex()
	}
	return e.TxEnds() || b.Checkpoint().TxRows == 0
}

// turns takes note of the transactions that end before d, and reports whether the open draft is to be cut there.
func (c *Chain) turns(b *cdc.Batch, d *cdc.Decision) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cfg.KeepTransactions {
		return false
	}
	i := d.Event.Index()
	for i > 0 && b.Event(i-1).TxIndex() == d.Event.TxIndex() {
		i--
	}
	begins := b.Header().FirstPartNo + uint64(i)
	if begins < c.next || i == 0 && !c.whole && b.Event(0).Position().Row > 0 { // it goes on
		return false
	}
	if begins > c.next {
		c.date(b)
		c.next, c.seq, c.seqEpoch = begins, b.Seq, b.Header().Epoch
	}
	c.whole = true
	return c.overdue()
}

// overdue reports that the open draft may not wait any longer. The caller holds mu.
func (c *Chain) overdue() bool {
	return c.full(1) || c.open != nil && c.cfg.Now().Sub(c.open.began) >= c.cfg.Every
}

// ends reports, on a heartbeat, that the stream stands where a transaction ends and the open draft is to be cut there.
func (c *Chain) ends(b *cdc.Batch) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.whole || !c.cfg.KeepTransactions || b.Checkpoint().TxRows > 0 {
		return false
	}
	c.whole = true
	return c.overdue()
}

// room returns the draft's lines with room for more. A draft that shows that it will be large gets at once what it may
// need: growing by and by would copy it over and over, and leave several times its size to be collected.
func (c *Chain) room(d *draft) []byte {
	const line = 64 << 10 // longer ones are rare
	n := len(d.lines)
	full := min(c.cfg.Bytes, n/max(d.records, 1)*c.cfg.Rows) + line
	if n < 1<<20 || cap(d.lines)-n >= line || cap(d.lines) >= full {
		return d.lines
	}
	return append(make([]byte, 0, full), d.lines...)
}

// cover says that all events of b have been taken or are not for this chain, and reports whether the draft is to be cut there.
func (c *Chain) cover(b *cdc.Batch) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.date(b) // a draft may have been cut within b
	next := b.Header().FirstPartNo + uint64(b.Len())
	if next > c.next {
		c.next, c.seq, c.seqEpoch = next, b.Seq, b.Header().Epoch
	}
	if !c.cfg.KeepTransactions || next < c.next {
		return false
	}
	c.whole = lastOfTx(b, b.Len()-1)
	return c.whole && c.overdue()
}

// cut ends the open draft, if there is one, at what has been taken; the caller hands it over.
func (c *Chain) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.take(); d != nil {
		c.pending = d
	}
}

// take ends the open draft and returns it. The caller holds mu.
func (c *Chain) take() *draft {
	d := c.open
	if d == nil {
		return nil
	}
	d.last, d.lastSeq, d.epoch, d.within = c.next-1, c.seq, c.seqEpoch, c.cfg.KeepTransactions && !c.whole
	c.open, c.from, c.fromCommit, c.fromSeq, c.dated = nil, c.next, time.Time{}, 0, false
	c.cuts = append(c.cuts, d)
	return d
}

// handOver gives the pending draft to Run. Interrupted, it leaves it pending.
func (c *Chain) handOver(ctx context.Context) error {
	if c.pending == nil {
		select {
		case <-c.done:
			return c.ended()
		default:
			return nil
		}
	}
	select {
	case c.sealed <- c.pending:
		c.pending = nil
		return nil
	case <-c.done:
		return c.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Chain) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Run commits drafts when they are full or due, until ctx ends or the chain cannot go on. It is called once. While the
// store does not take objects it tries again and again, with back-off: see [Stats].
func (c *Chain) Run(ctx context.Context) error {
	defer close(c.done)
	for {
		d, err := c.due(ctx)
		if err == nil {
			err = c.commit(ctx, d)
		}
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			return err
		}
	}
}

// due waits for the next draft to commit.
func (c *Chain) due(ctx context.Context) (*draft, error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		wait := time.Hour
		if c.open != nil && (c.whole || !c.cfg.KeepTransactions) { // else Write cuts it where its transaction ends
			wait = c.open.began.Add(c.cfg.Every).Sub(c.cfg.Now())
		}
		// A draft that Write has cut comes first; while it is on its way the open one is younger.
		if wait <= 0 && len(c.cuts) == 0 {
			d := c.take()
			c.mu.Unlock()
			return d, nil
		}
		c.mu.Unlock()
		timer.Reset(max(wait, time.Millisecond))
		select {
		case d := <-c.sealed:
			return d, nil
		case <-c.kick:
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// committedTakes is how long Committed may take, whoever waits for the chain to end.
const committedTakes = 10 * time.Second

// commit puts one object and has Committed called. The order is the contract: object, then audit, then all else.
func (c *Chain) commit(ctx context.Context, d *draft) error {
	c.mu.Lock()
	head := c.head
	c.mu.Unlock()
	if head.Ordinal == 0 {
		if _, err := c.insist(ctx, c.cfg.folder()+beginName, func() (bool, error) { return c.begin(ctx, d) }); err != nil {
			return err
		}
	}
	o, body, err := c.seal(d, head)
	if err != nil {
		return err
	}
	meta := metadata(&o, d.epoch)
	if d.within {
		meta[metaWithin] = "true"
	}
	if err := c.putContext(ctx, d, head, meta); err != nil {
		return err
	}
	attempts, err := c.insist(ctx, o.Key, func() (final bool, err error) {
		o, final, err = c.put(ctx, o, body, meta)
		return final, err
	})
	if err != nil {
		return err
	}
	if err := c.putManifest(ctx, o, meta, d); err != nil {
		return err
	}
	if c.cfg.Committed != nil {
		// The object is there: who is asked to stop now must not leave it without what belongs to it.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), committedTakes)
		defer cancel()
		if err := c.cfg.Committed(late, o); err != nil {
			return fmt.Errorf("object %d of %s: %w", o.Ordinal, c.name, err)
		}
	}
	c.cfg.Logger.Debug("object committed", "event", "object.committed", "chain", c.name, "key", o.Key, "records", o.Records, "bytes", o.Bytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.epoch = o, d.epoch
	c.cuts = slices.Delete(c.cuts, 0, 1)
	c.stats.Objects++
	c.stats.Records += uint64(o.Records)
	c.stats.Bytes += uint64(o.Bytes)
	if attempts == 1 { // a put that failed may still be reading them
		c.spare = d.lines[:0]
	}
	close(c.committed)
	c.committed = make(chan struct{})
	return nil
}

// begin settles where a new chain begins. The key of the first object cannot: writers that were started at different
// times may have begun to read the stream at different places.
func (c *Chain) begin(ctx context.Context, d *draft) (final bool, err error) {
	key := c.cfg.folder() + beginName
	meta := map[string]string{metaChain: c.name}
	if c.cfg.Writer != "" {
		meta[metaWriter] = c.cfg.Writer
	}
	want := d.beginBytes()
	created, err := c.cfg.Store.Put(ctx, key, want, meta)
	if err != nil || created {
		return false, err
	}
	got, ok, err := c.cfg.Store.Get(ctx, key)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, errors.New("it was there and is gone")
	}
	if !sameBegin(got, want) {
		return true, fmt.Errorf("chain %s: %s is there already and says otherwise: %w", c.name, key, ErrFenced)
	}
	return false, nil
}

// put puts the object and returns it as it is in the store.
func (c *Chain) put(ctx context.Context, o cdc.Object, body []byte, meta map[string]string) (there cdc.Object, final bool, err error) {
	created, err := c.cfg.Store.Put(ctx, o.Key, body, meta)
	if err != nil || created {
		return o, false, err
	}
	there, _, err = c.object(ctx, o.Key)
	if err != nil {
		return o, cdc.CodeOf(err) == codeOther, err
	}
	if there.SHA256 != o.SHA256 || there.LastPartNo != o.LastPartNo || there.Ordinal != o.Ordinal || there.Prev != o.Prev {
		return o, true, fmt.Errorf("chain %s: object %s is there already, by writer %s: %w", c.name, o.Key, there.Writer, ErrFenced)
	}
	return there, false, nil // my own, whose reply was lost, or the very same by another writer
}

// insist does what has to be done until it succeeds, its error is final or ctx ends, and returns the attempts it took.
func (c *Chain) insist(ctx context.Context, key string, do func() (final bool, err error)) (attempts int, err error) {
	for {
		attempts++
		final, err := do()
		if err == nil {
			c.failing(nil)
			return attempts, nil
		}
		if ctx.Err() != nil {
			return attempts, ctx.Err()
		}
		if final {
			return attempts, err
		}
		c.failing(err)
		c.cfg.Logger.Warn("object not stored, trying again", "event", "object.retry", "chain", c.name, "key", key, "attempt", attempts, "err", err)
		if err := c.cfg.Pause(ctx, attempts-1); err != nil {
			return attempts, err
		}
	}
}

func (c *Chain) failing(err error) {
	c.mu.Lock()
	c.stats.Err = err
	c.mu.Unlock()
}

// backOff waits up to 30 s, growing with the attempts.
func backOff(ctx context.Context, attempt int) error {
	return backoff.Sleep(ctx, backoff.Pause(attempt, 100*time.Millisecond, 30*time.Second))
}
