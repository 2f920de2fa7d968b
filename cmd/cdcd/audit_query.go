package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/internal/envelope"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/proof"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/audit/index"
)

// queried is what `audit query` prints.
type queried struct {
	Size   int64         `json:"size"` // leaves of the log that were searched
	Hits   []queryHit    `json:"hits"`
	More   bool          `json:"more"` // there are more than --limit
	Gaps   []index.Gap   `json:"gaps"` // objects that could not be searched
	Proofs string        `json:"proofs,omitempty"`
	index  *index.Index  // open
	log    *audit.Reader // at Size
	read   *recordReader
	want   index.Query
	prove  string
	limit  int
}

// queryHit is one record that was delivered.
type queryHit struct {
	Time    time.Time       `json:"commit_time"`
	Leaf    int64           `json:"leaf"`
	Chain   string          `json:"chain"`
	Ordinal uint64          `json:"ordinal"`
	Object  string          `json:"object"`
	Number  int64           `json:"number"` // of the record in the object, from 1
	Record  json.RawMessage `json:"record"`
	Proof   string          `json:"proof,omitempty"` // file
}

func newAuditQueryCmd(a *app) *cobra.Command {
	var q index.Query
	var dir, logKey, from, to, prove string
	var rebuild bool
	limit := 100
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Find what a feed was delivered about a row, and prove it",
		Long: `Query finds the records about a row, or about all rows of a table, that were delivered to a feed. With --prove DIR it
writes each record and its proof into this folder, for ` + "`cdcd audit check`" + `.

It keeps an index beside the audit key (<audit.key_file>.index.db), brings it up to date by reading the objects that were
delivered since, and makes it again when it is missing or damaged. Nobody has to believe the index: what it finds is compared
with the objects and these with the log. It can be removed at any time.

Keys are searched for as they were delivered: where a feed masks the primary key, --key is the masked value. A row that was
erased is still found; its records are what they were, unreadable where its values were encrypted.`,
		Example: `  cdcd audit query --feed acme --table shop.orders --key 42
  cdcd audit query --feed acme --table shop.items --key 42 --key 7 --from 2026-11-01 --to 2026-12-01
  cdcd audit query --feed acme --table shop.orders --key 42 --prove evidence/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Feed == "" || q.Table == "" {
				return usagef("--feed and --table say what to look for").WithFix("cdcd audit query --feed acme --table shop.orders --key 42")
			}
			if q.From, err = parseWhen("--from", from); err != nil {
				return err
			}
			if q.To, err = parseWhen("--to", to); err != nil {
				return err
			}
			place := auditPlace{dir: dir, key: logKey}
			if err := place.find(a, true); err != nil {
				return err
			}
			out := &queried{want: q, limit: limit, prove: prove, Proofs: prove, Hits: []queryHit{}, Gaps: []index.Gap{}}
			if out.log, err = place.open(""); err != nil {
				return err
			}
			now, _ := out.log.Checkpoint()
			out.Size = now.Size
			out.read = &recordReader{a: a, cfg: place.cfg, stores: map[string]audit.Store{}}
			defer out.read.close()
			if err := out.known(cmd.Context(), place.cfg); err != nil {
				return err
			}
			if out.index, err = openIndex(strings.TrimSuffix(place.key, ".pub"), rebuild); err != nil {
				return err
			}
			defer out.index.Close()
			if err := out.run(cmd.Context(), everyTenSeconds(func(done, total int64) { a.ui.note("audit: %d of %d leaves are in the index", done, total) })); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), out, func(w io.Writer) { a.printQueried(w, out) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Feed, "feed", "", "the feed that was delivered to")
	f.StringVar(&q.Table, "table", "", "schema.table")
	f.StringArrayVar(&q.Key, "key", nil, "value of the primary key; once for each of its columns, in their order (default: all rows)")
	f.StringVar(&from, "from", "", "commit time to begin with: 2026-11-21, or 2026-11-21T02:00:00Z")
	f.StringVar(&to, "to", "", "commit time to end before")
	f.StringVar(&prove, "prove", "", "folder to write each record and its proof to")
	f.IntVar(&limit, "limit", limit, "most records to print")
	f.BoolVar(&rebuild, "rebuild", false, "make the index anew")
	f.StringVar(&dir, "dir", "", "folder of the log (default: audit.dir of the configuration)")
	f.StringVar(&logKey, "log-key", "", "file with the log's public key (default: audit.key_file of the configuration, with .pub)")
	return cmd
}

func parseWhen(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s %q is not a time", flag, text).WithFix("write 2026-11-21, or 2026-11-21T02:00:00Z")
}

// openIndex opens the index beside the audit key, with its own secret.
func openIndex(keyFile string, anew bool) (*index.Index, error) {
	file := keyFile + ".index"
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		var secret [32]byte
		rand.Read(secret[:])
		text = []byte(base64.StdEncoding.EncodeToString(secret[:]) + "\n")
		if _, err = durable.New().Create(file, text, 0o600); err == nil {
			text, err = os.ReadFile(file) // perhaps somebody else's
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of the audit index: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != 32 {
		return nil, usagef("%s is not the key of an audit index", file).WithFix("remove it: it is made again, and the index with it")
	}
	return index.Open(file+".db", secret, anew)
}

// known refuses a feed that neither the configuration nor the log has.
func (q *queried) known(ctx context.Context, cfg *config) error {
	var feeds []string
	if cfg != nil {
		feeds = feedNames(cfg)
	}
	if slices.Contains(feeds, q.want.Feed) {
		return nil
	}
	err := q.log.Leaves(ctx, 0, func(_ int64, leaf audit.Leaf, _ []byte) error {
		if leaf.Object == nil {
			return nil
		}
		feed := index.FeedOf(leaf.Object.Chain)
		if feed == q.want.Feed {
			return errEnough
		}
		if !slices.Contains(feeds, feed) {
			feeds = append(feeds, feed)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return err
	}
	unknown := usagef("nothing was ever delivered to a feed '%s'", q.want.Feed)
	if near, ok := strictyaml.Nearest(q.want.Feed, feeds); ok {
		return unknown.WithFix("did you mean '%s'?", near)
	}
	return unknown.WithFix("there are: %s", strings.Join(feeds, ", "))
}

// run brings the index up to date and asks it. One that says what is not so is made again, once.
func (q *queried) run(ctx context.Context, progress func(done, total int64)) error {
	for attempt := 0; ; attempt++ {
		q.Hits, q.More = q.Hits[:0], false
		err := q.index.Update(ctx, q.log, q.read.records, progress)
		if err == nil {
			err = q.index.Find(q.want, func(h index.Hit) error { return q.look(ctx, h) })
		}
		if errors.Is(err, errEnough) {
			err = nil
		}
		if err == nil {
			var gaps []index.Gap
			gaps, err = q.index.Gaps(q.want.Feed)
			q.Gaps = append(q.Gaps[:0], gaps...)
		}
		if !index.Damaged(err) && !errors.Is(err, errUntrue) || attempt > 0 {
			return err
		}
		if err := q.index.Reset(); err != nil {
			return err
		}
	}
}

var (
	errEnough = errors.New("there are more")
	errUntrue = errors.New("the index says what is not in the objects")
)

// look reads a record that the index says is there, and proves it.
func (q *queried) look(ctx context.Context, h index.Hit) error {
	if len(q.Hits) == q.limit {
		q.More = true
		return errEnough
	}
	now, _ := q.log.Checkpoint()
	if h.Leaf < 0 || h.Leaf >= now.Size {
		return errUntrue
	}
	p, err := q.log.Prove(ctx, h.Leaf)
	if err != nil {
		return err
	}
	leaf, err := audit.ParseLeaf([]byte(p.Leaf))
	if err != nil || leaf.Object == nil {
		return errUntrue
	}
	o := *leaf.Object
	lines, err := q.read.lines(ctx, o)
	var gap *index.Gap
	if errors.As(err, &gap) {
		return cdc.Errorf(codeChanged, "object %s/%s: %s", o.Store, o.Key, gap.Why).WithFix("restore it from a copy; `cdcd audit verify --objects` tells of all")
	}
	if err != nil {
		return err
	}
	if h.Record < 0 || h.Record >= int64(len(lines)) {
		return errUntrue
	}
	line := lines[h.Record]
	r := recordOf(line)
	if index.FeedOf(o.Chain) != q.want.Feed || r.Table != q.want.Table || q.want.Key != nil && !slices.Equal(r.Key, q.want.Key) || !r.Time.Equal(h.Time) {
		return errUntrue
	}
	hit := queryHit{h.Time, h.Leaf, o.Chain, o.Ordinal, o.Store + "/" + o.Key, h.Record + 1, shownRecord(line), ""}
	if q.prove != "" {
		if p, err = proveRecord(p, lines, int(hit.Number)); err != nil {
			return err
		}
		if hit.Proof, err = q.write(o, hit.Number, line, p); err != nil {
			return err
		}
	}
	q.Hits = append(q.Hits, hit)
	return nil
}

// write puts a record and its proof into the folder.
func (q *queried) write(o cdc.Object, number int64, line []byte, p proof.Proof) (string, error) {
	if err := os.MkdirAll(q.prove, 0o750); err != nil {
		return "", fmt.Errorf("--prove: %w", err)
	}
	name := filepath.Join(q.prove, fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(o.Chain, "/", "-"), o.Ordinal, number))
	err := os.WriteFile(name+".json", line, 0o640)
	if err == nil {
		err = os.WriteFile(name+".tlog-proof", p.Bytes(), 0o640)
	}
	if err != nil {
		return "", fmt.Errorf("--prove: %w", err)
	}
	return name + ".tlog-proof", nil
}

// recordReader reads objects that the log names. It keeps the last.
type recordReader struct {
	a      *app
	cfg    *config
	stores map[string]audit.Store
	last   string // the object that was read last
	kept   [][]byte
}

func (r *recordReader) close() {
	for _, s := range r.stores {
		if c, ok := s.(io.Closer); ok {
			c.Close() // it was only read
		}
	}
}

// lines returns the records of an object, or why it has none that can be read.
func (r *recordReader) lines(ctx context.Context, o cdc.Object) ([][]byte, error) {
	if name := o.Store + "/" + o.Key; name == r.last {
		return r.kept, nil
	}
	store := r.stores[o.Store]
	if store == nil {
		var err error
		if store, err = openAudited(ctx, r.a, r.cfg, o.Store); err != nil {
			if code := cdc.CodeOf(err); code == "CDCD-4001" || code == "CDCD-4011" {
				return nil, &index.Gap{Why: err.Error()} // a store that nobody delivers to any more
			}
			return nil, err
		}
		r.stores[o.Store] = store
	}
	lines, err := readRecords(ctx, store, o)
	switch cdc.CodeOf(err) {
	case "":
	case codeChanged, codeCannotProve, "CDCD-4013":
		return nil, &index.Gap{Why: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	r.last, r.kept = o.Store+"/"+o.Key, lines
	return lines, nil
}

// records is what the index reads.
func (r *recordReader) records(ctx context.Context, o cdc.Object) (iter.Seq[index.Record], error) {
	lines, err := r.lines(ctx, o)
	if err != nil {
		return nil, err
	}
	return func(yield func(index.Record) bool) {
		for _, line := range lines {
			if !yield(recordOf(line)) {
				return
			}
		}
	}, nil
}

// recordOf reads what is indexed of a record, in whichever envelope or container it is.
func recordOf(line []byte) index.Record {
	r := envelope.Read(line)
	return index.Record{Table: r.Table, Key: r.Key, Time: r.Time.Truncate(time.Microsecond)}
}

// shownRecord is a record as a value of JSON: what is none is a text.
func shownRecord(line []byte) json.RawMessage {
	if json.Valid(line) {
		return line
	}
	return cdc.AppendString(nil, string(line))
}

func (a *app) printQueried(w io.Writer, q *queried) {
	var rows [][]string
	for _, h := range q.Hits {
		line := []byte(h.Record)
		var text string
		if json.Unmarshal(line, &text) == nil { // a row of CSV
			line = []byte(text)
		}
		r := envelope.Read(line)
		row := []string{h.Time.Format("2006-01-02 15:04:05.999999Z"), r.Op, r.ID, fmt.Sprintf("%d of %s", h.Ordinal, h.Chain), fmt.Sprint(h.Number)}
		if q.prove != "" {
			row = append(row, h.Proof)
		}
		rows = append(rows, row)
	}
	head := []string{"COMMITTED", "OP", "ID", "OBJECT", "RECORD"}
	if q.prove != "" {
		head = append(head, "PROOF")
	}
	if len(rows) == 0 {
		fmt.Fprintf(w, "no such record in the first %d leaves of the log\n", q.Size)
	} else {
		a.ui.table(w, head, rows)
	}
	if q.More {
		a.ui.note("audit: there are more; --limit says how many are printed")
	}
	for _, g := range q.Gaps[:min(len(q.Gaps), 5)] {
		a.ui.note("audit: not searched: %s: %s", g.Object, g.Why)
	}
	if more := len(q.Gaps) - 5; more > 0 {
		a.ui.note("audit: not searched: %d more; -o json names all", more)
	}
}
