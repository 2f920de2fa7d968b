package form

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/cdcd-project/cdcd/cdc"
)

// The envelopes.
const (
	CDCD        = "cdcd"
	Debezium    = "debezium"
	CloudEvents = "cloudevents"
)

// The containers.
const (
	JSONL   = "jsonl"
	CSV     = "csv"
	Parquet = "parquet"
)

// Options is the form that a feed is delivered in.
type Options struct {
	Envelope string          // default CDCD; of CSV and Parquet nothing else
	Format   string          // default JSONL
	Compress string          // "zstd" (default), "gzip" or "none"
	Debezium DebeziumOptions // of the envelope Debezium

	// Columns says how the columns of a table are delivered, which decides the types of a Parquet file. Default: as they
	// are. A value that does not fit is delivered all the same, see docs/objects.md.
	Columns func(t *cdc.Table) []cdc.Column
}

// Form is what a feed's records and objects look like. Many goroutines may use it at once.
type Form struct {
	o         Options
	name      string
	envelopes sync.Pool // of envelope: each has memory of its own
	format    container

	mu    sync.Mutex // guards what follows
	kinds map[*cdc.Table]*Kind
}

// envelope makes records.
type envelope interface {
	append(dst []byte, d *cdc.Delivery) []byte
}

// container makes objects of records.
type container interface {
	extension() string
	// seal makes the object's bytes of its records, each ended by a newline, but for the compression.
	seal(k *Kind, lines []byte) ([]byte, error)
	// unseal is the inverse.
	unseal(body []byte) (lines []byte, err error)
	// next cuts the first record off.
	next(lines []byte) (record, rest []byte)
	// single says whether an object holds rows of one table.
	single() bool
}

// New returns the form of these options.
func New(o Options) (*Form, error) {
	if o.Envelope == "" {
		o.Envelope = CDCD
	}
	if o.Format == "" {
		o.Format = JSONL
	}
	if o.Compress == "" {
		o.Compress = "zstd"
	}
	if !slices.Contains([]string{"zstd", "gzip", "none"}, o.Compress) {
		return nil, fmt.Errorf("compression %q is not known", o.Compress)
	}
	if o.Format != JSONL && o.Envelope != CDCD {
		return nil, fmt.Errorf("format %s has columns of its own: it does not go with envelope %s", o.Format, o.Envelope)
	}
	f := &Form{o: o, kinds: map[*cdc.Table]*Kind{}, name: o.Envelope}
	switch o.Envelope {
	case CDCD:
		f.envelopes.New = func() any { return plain{} }
	case Debezium:
		if err := o.Debezium.complete(); err != nil {
			return nil, err
		}
		f.envelopes.New = func() any { return &debezium{o: o.Debezium, schemas: map[schemaKey]string{}} }
		f.name = strings.Join(append([]string{Debezium}, o.Debezium.said()...), " ")
	case CloudEvents:
		f.envelopes.New = func() any { return &cloudEvents{} }
	default:
		return nil, fmt.Errorf("envelope %q is not known", o.Envelope)
	}
	switch o.Format {
	case JSONL:
		f.format = jsonl{}
	case CSV:
		f.format, f.name = csvFile{}, CSV
		f.envelopes.New = func() any { return csvRows{} }
	case Parquet:
		f.format, f.name = parquetFile{o.Compress}, Parquet+" "+o.Compress
	default:
		return nil, fmt.Errorf("format %q is not known", o.Format)
	}
	return f, nil
}

// Name says what the records are, for whoever must not mix them: "cdcd", "debezium decimal.handling.mode=precise", "csv".
func (f *Form) Name() string { return f.name }

// Extension is how the keys of objects end, but for what tells their compression: ".jsonl", ".csv", ".parquet".
func (f *Form) Extension() string { return f.format.extension() }

// Compress is how the objects that [Form.Seal] makes are to be compressed: "zstd", "gzip" or "none". A Parquet file is
// compressed inside, and once is enough.
func (f *Form) Compress() string {
	if f.o.Format == Parquet {
		return "none"
	}
	return f.o.Compress
}

// ContentType is the media type of what is in an object, before compression.
func (f *Form) ContentType() string {
	return map[string]string{JSONL: "application/jsonl", CSV: "text/csv; charset=utf-8; header=present", Parquet: "application/vnd.apache.parquet"}[f.o.Format]
}

// Append appends the record of a delivery, without a newline.
func (f *Form) Append(dst []byte, d *cdc.Delivery) []byte {
	e := f.envelopes.Get().(envelope)
	defer f.envelopes.Put(e)
	return e.append(dst, d)
}

// Kind is what the records of an object have in common.
type Kind struct {
	Table   *cdc.Table   // nil: they have nothing in common
	Columns []cdc.Column // as they are delivered

	once   sync.Once // guards schema
	schema *parquet.Schema
}

// mixed is the kind of records that stand by themselves.
var mixed = &Kind{}

// Kind returns what a record of this event has in common with the others of its object: equal kinds are the same pointer. An
// object never holds records of two kinds.
func (f *Form) Kind(e cdc.Event) *Kind {
	if !f.format.single() {
		return mixed
	}
	t := e.Table()
	f.mu.Lock()
	defer f.mu.Unlock()
	if k, ok := f.kinds[t]; ok {
		return k
	}
	columns := t.Columns
	if f.o.Columns != nil {
		columns = f.o.Columns(t)
	}
	for _, k := range f.kinds {
		if k.Table.Schema == t.Schema && k.Table.Name == t.Name && sameForm(k.Columns, columns) {
			f.kinds[t] = k
			return k
		}
	}
	if len(f.kinds) > 1000 { // somebody alters the table all day
		clear(f.kinds)
	}
	k := &Kind{Table: t, Columns: columns}
	f.kinds[t] = k
	return k
}

// sameForm reports whether columns have the same names and types; what else is known of them does not show in objects.
func sameForm(a, b []cdc.Column) bool {
	return slices.EqualFunc(a, b, func(x, y cdc.Column) bool {
		return x.Name == y.Name && x.Kind == y.Kind && x.Unsigned == y.Unsigned && x.Float32 == y.Float32 &&
			x.Fsp == y.Fsp && x.Precision == y.Precision && x.Scale == y.Scale
	})
}

// Single reports whether an object holds rows of one table only.
func (f *Form) Single() bool { return f.format.single() }

// Seal makes an object of records of one kind, each ended by a newline; [Form.Compress] says how it is compressed then.
func (f *Form) Seal(k *Kind, lines []byte) ([]byte, error) { return f.format.seal(k, lines) }

// Next cuts the first of the records off that [Form.Seal] takes and [Form.Unseal] gives.
func (f *Form) Next(lines []byte) (record, rest []byte) { return f.format.next(lines) }

// Unseal returns the records of a stored object, each ended by a newline: the very bytes that its records_root is about.
func (f *Form) Unseal(body []byte) ([]byte, error) {
	plain, err := decompress(f.Compress(), body)
	if err != nil {
		return nil, err
	}
	return f.format.unseal(plain)
}

// Records splits what Unseal has returned.
func (f *Form) Records(lines []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(lines) > 0 {
			var record []byte
			record, lines = f.Next(lines)
			if !yield(record) {
				return
			}
		}
	}
}

// Of returns a form that reads the object of that key, by how the key ends.
func Of(key string) (*Form, error) {
	name, compress := key, "none"
	for _, c := range [...]struct{ how, end string }{{"gzip", ".gz"}, {"zstd", ".zst"}} {
		if rest, ok := strings.CutSuffix(key, c.end); ok {
			name, compress = rest, c.how
		}
	}
	for _, format := range []string{JSONL, CSV, Parquet} {
		if strings.HasSuffix(name, "."+format) && (format != Parquet || compress == "none") {
			return New(Options{Format: format, Compress: compress})
		}
	}
	return nil, fmt.Errorf("%s is not an object: its name ends neither in .jsonl nor in .csv nor in .parquet, nor in one of these with .zst or .gz", key)
}

// plain is the envelope of cdcd's own.
type plain struct{}

func (plain) append(dst []byte, d *cdc.Delivery) []byte { return cdc.AppendDelivery(dst, d) }

// jsonl is JSON Lines.
type jsonl struct{}

func (jsonl) extension() string                          { return ".jsonl" }
func (jsonl) seal(_ *Kind, lines []byte) ([]byte, error) { return lines, nil }
func (jsonl) unseal(body []byte) ([]byte, error)         { return body, nil }
func (jsonl) single() bool                               { return false }

func (jsonl) next(lines []byte) (record, rest []byte) {
	if end := bytes.IndexByte(lines, '\n'); end >= 0 {
		return lines[:end], lines[end+1:]
	}
	return lines, nil
}

// maxObject is how large an object may be that is read: what decompresses to more was not written by cdcd.
const maxObject = 8 << 30

func decompress(how string, body []byte) ([]byte, error) {
	switch how {
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxObject))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		defer r.Close()
		plain, err := io.ReadAll(io.LimitReader(r, maxObject))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return plain, nil
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		plain, err := io.ReadAll(io.LimitReader(r, maxObject))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return plain, nil
	}
	return body, nil
}
