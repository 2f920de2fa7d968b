package chain

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
)

// suffixes of keys, by compression
var suffixes = map[string]string{"none": "", "gzip": ".gz", "zstd": ".zst"}

// extension is how the keys of objects end.
func (c *Config) extension() string { return c.Extension + suffixes[c.Compress] }

// pin is the object chain.json: what may not change while the chain lives, because two writers that disagree in it
// would write to different keys and so not notice each other. Its bytes are a function of the configuration.
type pin struct {
	Version   int    `json:"version"`
	Chain     string `json:"chain"`
	Source    string `json:"source"`
	Feed      string `json:"feed"`
	Partition uint16 `json:"partition"`
	Envelope  string `json:"envelope"`
	Compress  string `json:"compress"`

	Partitions  int      `json:"partitions,omitempty"`   // of the feed, if there are several
	PartitionBy []string `json:"partition_by,omitempty"` // the columns that are hashed, sorted; of other tables the primary key
}

func (p *pin) equal(o pin) bool {
	a, _ := json.Marshal(p)
	b, _ := json.Marshal(&o)
	return bytes.Equal(a, b)
}

// split says how the feed is split over chains.
func (p *pin) split() string {
	if p.Partitions <= 1 {
		return "one partition"
	}
	if len(p.PartitionBy) == 0 {
		return fmt.Sprintf("%d partitions by primary key", p.Partitions)
	}
	return fmt.Sprintf("%d partitions by primary key, or by %s", p.Partitions, strings.Join(p.PartitionBy, ", "))
}

func (c *Config) folder() string { return fmt.Sprintf("p=%02d/", c.Partition) }

// name is what the chain is called in objects, in the audit log and in errors.
func (c *Config) name() string { return fmt.Sprintf("%s/%s/%02d", c.Source, c.Feed, c.Partition) }

// key is the place of the object that follows head and begins with event first. All that it is made of is settled by
// the stream and by the objects before, so that all writers come to the same key. The date never goes back, though
// commit times do (they are when a statement began, or what a session has set): keys sort in chain order, and who
// lists from the last key that he knows misses nothing.
func (c *Config) key(first uint64, commit time.Time, head *cdc.Object) string {
	if c.Sync && head.Ordinal > 0 {
		commit = head.LastCommit
	}
	date := commit.UTC().Format(time.DateOnly)
	if _, ok := c.parseKey(head.Key); ok {
		date = max(date, head.Key[len(c.folder())+len("dt="):][:len(date)])
	}
	return fmt.Sprintf("%sdt=%s/%020d%s", c.folder(), date, first, c.extension())
}

// parseKey returns the number of the first event that the key of one of the chain's objects tells.
func (c *Config) parseKey(key string) (first uint64, ok bool) {
	name, ok1 := strings.CutPrefix(key, c.folder()+"dt=")
	name, ok2 := strings.CutSuffix(name, c.extension())
	date, number, ok3 := strings.Cut(name, "/")
	if !ok1 || !ok2 || !ok3 || len(number) != 20 {
		return 0, false
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return 0, false
	}
	first, err := strconv.ParseUint(number, 10, 64)
	return first, err == nil
}

// beginName is the object that settles where a chain begins. Its bytes are those of the first writer.
const beginName = "begin.json"

type begin struct {
	Version     int       `json:"version"`
	First       uint64    `json:"first_part_no"`
	FirstCommit time.Time `json:"first_commit"` // of that event: it dates the first key
	Seq         uint64    `json:"seq"`          // where in the stream to look for it; 0 when not known
	Epoch       string    `json:"epoch"`        // hex
}

func (d *draft) beginBytes() []byte {
	b, _ := json.Marshal(begin{1, d.first, d.fromCommit.UTC(), d.fromSeq, strconv.FormatUint(d.epoch, 16)})
	return append(b, '\n')
}

func parseBegin(text []byte) (b begin, epoch uint64, err error) {
	if err = json.Unmarshal(text, &b); err == nil {
		epoch, err = strconv.ParseUint(b.Epoch, 16, 64)
	}
	if err == nil && b.Version != 1 {
		err = fmt.Errorf("it has format %d, this program reads 1", b.Version)
	}
	return b, epoch, err
}

// sameBegin reports whether both lead to the same keys of the same numbering.
func sameBegin(x, y []byte) bool {
	a, epochA, errA := parseBegin(x)
	b, epochB, errB := parseBegin(y)
	return errA == nil && errB == nil && a.First == b.First && a.FirstCommit.Equal(b.FirstCommit) && epochA>>32 == epochB>>32
}

// The object's metadata; user metadata of S3 is limited to 2 KB and to ASCII.
const (
	metaChain       = "cdcd-chain"
	metaOrdinal     = "cdcd-ordinal"
	metaFirst       = "cdcd-first-part-no"
	metaLast        = "cdcd-last-part-no"
	metaSeq         = "cdcd-last-seq"
	metaEpoch       = "cdcd-epoch"
	metaRecords     = cdc.MetaRecords
	metaSHA256      = "cdcd-sha256"
	metaRoot        = "cdcd-records-root"
	metaRuleSet     = "cdcd-rule-set"
	metaWriter      = "cdcd-writer"
	metaPrev        = "cdcd-prev-sha256"
	metaFirstCommit = "cdcd-first-commit"
	metaLastCommit  = "cdcd-last-commit"
	metaWithin      = "cdcd-ends-within" // of a chain that keeps transactions: the object ends within one all the same
)

// metadata leaves out what is empty: not every store gives empty values back.
func metadata(o *cdc.Object, epoch uint64) map[string]string {
	meta := map[string]string{
		metaChain:       o.Chain,
		metaOrdinal:     strconv.FormatUint(o.Ordinal, 10),
		metaFirst:       strconv.FormatUint(o.FirstPartNo, 10),
		metaLast:        strconv.FormatUint(o.LastPartNo, 10),
		metaSeq:         strconv.FormatUint(o.LastSeq, 10),
		metaEpoch:       strconv.FormatUint(epoch, 16),
		metaRecords:     strconv.Itoa(o.Records),
		metaSHA256:      o.SHA256,
		metaRoot:        o.RecordsRoot,
		metaRuleSet:     o.RuleSet,
		metaWriter:      o.Writer,
		metaPrev:        o.Prev,
		metaFirstCommit: o.FirstCommit.UTC().Format(time.RFC3339Nano),
		metaLastCommit:  o.LastCommit.UTC().Format(time.RFC3339Nano),
	}
	maps.DeleteFunc(meta, func(_, value string) bool { return value == "" })
	return meta
}

// ParseObject reads what an object's metadata say about it. store and key tell where it is.
func ParseObject(store, key string, size int64, meta map[string]string) (o cdc.Object, epoch uint64, err error) {
	o = cdc.Object{Chain: meta[metaChain], Store: store, Key: key, Bytes: size, SHA256: meta[metaSHA256],
		RecordsRoot: meta[metaRoot], RuleSet: meta[metaRuleSet], Writer: meta[metaWriter], Prev: meta[metaPrev]}
	number := func(name string, base int) uint64 {
		n, e := strconv.ParseUint(meta[name], base, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("object %s/%s: metadata %s is %q", store, key, name, meta[name])
		}
		return n
	}
	instant := func(name string) time.Time {
		t, e := time.Parse(time.RFC3339Nano, meta[name])
		if e != nil && err == nil {
			err = fmt.Errorf("object %s/%s: metadata %s is %q", store, key, name, meta[name])
		}
		return t
	}
	o.Ordinal, o.FirstPartNo, o.LastPartNo = number(metaOrdinal, 10), number(metaFirst, 10), number(metaLast, 10)
	o.LastSeq, o.Records, epoch = number(metaSeq, 10), int(number(metaRecords, 10)), number(metaEpoch, 16)
	o.FirstCommit, o.LastCommit = instant(metaFirstCommit), instant(metaLastCommit)
	return o, epoch, err
}

// draft is an object while it grows: records, one a line.
type draft struct {
	lines       []byte
	records     int
	first, last uint64 // the events it answers for
	lastSeq     uint64
	epoch       uint64
	ruleSet     string
	kind        any       // what its records have in common
	within      bool      // it ends within a transaction, though the chain keeps them
	about       *about    // for its manifest
	fromCommit  time.Time // of event first, matched or not: it dates the key
	fromSeq     uint64    // the frame that holds event first
	firstCommit time.Time // of the first record
	lastCommit  time.Time // of the last record
	began       time.Time // when the first record was added, by the clock of Config
}

// seal compresses the draft into the bytes to store and describes them.
func (c *Chain) seal(d *draft, head cdc.Object) (cdc.Object, []byte, error) {
	body, err := d.lines, error(nil)
	if c.cfg.Seal != nil {
		body, err = c.cfg.Seal(d.kind, d.lines)
	}
	if err == nil {
		body, err = Compress(c.cfg.Compress, body)
	}
	if err != nil {
		return cdc.Object{}, nil, fmt.Errorf("make an object of %s: %w", c.name, err)
	}
	sum := sha256.Sum256(body)
	root := recordsRoot(d.lines, c.cfg.Next)
	o := cdc.Object{
		Chain: c.name, Ordinal: head.Ordinal + 1, Store: c.cfg.Store.String(), Key: c.cfg.key(d.first, d.fromCommit, &head),
		Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Records: d.records,
		RecordsRoot: hex.EncodeToString(root[:]), FirstPartNo: d.first, LastPartNo: d.last, LastSeq: d.lastSeq,
		RuleSet: d.ruleSet, Writer: c.cfg.Writer, Prev: head.SHA256, FirstCommit: d.firstCommit, LastCommit: d.lastCommit,
	}
	return o, body, nil
}

// zstdEncoder looks back 1 MiB, some thousand records: more makes the objects hardly smaller and the encoder much larger.
var zstdEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
	zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))

// Compress returns lines as an object has them that is compressed in this way: zstd, gzip or none. It may return lines itself.
func Compress(how string, lines []byte) ([]byte, error) {
	switch how {
	case "zstd":
		return zstdEncoder.EncodeAll(lines, make([]byte, 0, len(lines)/8+512)), nil
	case "gzip":
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if _, err := w.Write(lines); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil { // writes the rest
			return nil, err
		}
		return b.Bytes(), nil
	}
	return lines, nil
}

// RecordsRoot returns the RFC 6962 tree hash over an object's lines, newlines not included: it lets a single record
// be proven to be part of a delivered object. The empty object has the hash of the empty string.
func RecordsRoot(lines []byte) tlog.Hash { return recordsRoot(lines, nextLine) }

func nextLine(lines []byte) (record, rest []byte) {
	if end := bytes.IndexByte(lines, '\n'); end >= 0 {
		return lines[:end], lines[end+1:]
	}
	return lines, nil
}

func recordsRoot(lines []byte, next func([]byte) (record, rest []byte)) tlog.Hash {
	var stack []tlog.Hash // roots of complete subtrees, the largest first
	n := 0
	for len(lines) > 0 {
		var record []byte
		record, lines = next(lines)
		hash := tlog.RecordHash(record)
		for size := n; size&1 == 1; size >>= 1 { // as many carries as trailing ones
			hash = tlog.NodeHash(stack[len(stack)-1], hash)
			stack = stack[:len(stack)-1]
		}
		stack = append(stack, hash)
		n++
	}
	if n == 0 {
		return sha256.Sum256(nil)
	}
	root := stack[len(stack)-1]
	for i := len(stack) - 2; i >= 0; i-- {
		root = tlog.NodeHash(stack[i], root)
	}
	return root
}

func (c *Config) pin() pin {
	n, by := c.partitioning()
	return pin{1, c.name(), c.Source, c.Feed, c.Partition, c.Envelope, c.Compress, n, by}
}

func (c *Config) pinBytes() []byte {
	b, _ := json.Marshal(c.pin())
	return append(b, '\n')
}
