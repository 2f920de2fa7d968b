package form

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/cdcd-project/cdcd/cdc"
)

// parquetFile is a Parquet file whose rows are records of one table. A record is the JSON of the envelope cdcd, as in all
// proofs; the file holds it in typed columns, from which the very same text can be made again.
type parquetFile struct{ codec string }

func (parquetFile) extension() string { return ".parquet" }
func (parquetFile) single() bool      { return true }
func (parquetFile) next(lines []byte) (record, rest []byte) {
	return jsonl{}.next(lines)
}

// Where the leaves of the fixed columns stand. Those of the table's columns follow: first before_…, then after_….
const (
	leafID = iota
	leafOp
	leafChange
	leafCommit
	leafTable
	leafFeed
	leafRuleName
	leafRuleVersion
	leafRuleChange
	leafRuleReason
	leafTags
	leafKey
	leafLookup
	leafAbsent
	leafUnfit
	leafSource
	leafGTID
	leafFile
	leafPos
	leafRow
	leafNo
	leafPartNo
	leafColumns
)

// named is a field of a group that keeps its order; the library's own group sorts its fields.
type named struct {
	parquet.Node
	name string
}

// ordered is a group whose fields stand as they are listed.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (g ordered) Fields() []parquet.Field { return g.fields }

func group(fields ...named) ordered {
	g := parquet.Group{}
	for _, f := range fields {
		g[f.name] = f.Node
	}
	byName := map[string]parquet.Field{}
	for _, f := range g.Fields() {
		byName[f.Name()] = f
	}
	out := ordered{Group: g}
	for _, f := range fields {
		out.fields = append(out.fields, byName[f.name])
	}
	return out
}

// schemaOf returns the schema of a file of rows of that kind.
func schemaOf(k *Kind) *parquet.Schema {
	text := parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	micros := parquet.Timestamp(parquet.Microsecond)
	rule := group(named{text, "name"}, named{text, "version"}, named{parquet.Optional(text), "change"}, named{parquet.Optional(text), "reason"})
	fields := []named{
		{parquet.String(), "id"}, {text, "op"}, {parquet.Optional(text), "change"}, {micros, "commit_time"}, {text, "table"}, {text, "feed"},
		{parquet.List(rule), "rules"}, {parquet.List(text), "tags"}, {parquet.Optional(parquet.JSON()), "key"}, {parquet.Optional(parquet.JSON()), "lookup"},
		{parquet.List(text), "absent"}, {parquet.Optional(parquet.JSON()), "unfit"},
		{text, "source"}, {parquet.Optional(parquet.String()), "gtid"}, {text, "file"}, {parquet.Uint(64), "pos"}, {parquet.Uint(32), "row"},
		{parquet.Uint(64), "no"}, {parquet.Uint(64), "part_no"},
	}
	for _, image := range [...]string{"before_", "after_"} {
		for i := range k.Columns {
			fields = append(fields, named{parquet.Optional(nodeOf(&k.Columns[i])), image + k.Columns[i].Name})
		}
	}
	return parquet.NewSchema("record", group(fields...))
}

// nodeOf is the type of a column's values.
func nodeOf(c *cdc.Column) parquet.Node {
	switch c.Kind {
	case cdc.KindBool:
		return parquet.Leaf(parquet.BooleanType)
	case cdc.KindInt64:
		return parquet.Int(64)
	case cdc.KindUint64, cdc.KindBit:
		return parquet.Uint(64)
	case cdc.KindFloat64:
		if c.Float32 {
			return parquet.Leaf(parquet.FloatType)
		}
		return parquet.Leaf(parquet.DoubleType)
	case cdc.KindDecimal:
		switch p, s := int(c.Precision), int(c.Scale); {
		case p == 0 || p > 38 || s > p: // what most readers stop at
			return parquet.String()
		case p <= 9:
			return parquet.Decimal(s, p, parquet.Int32Type)
		case p <= 18:
			return parquet.Decimal(s, p, parquet.Int64Type)
		default:
			return parquet.Decimal(s, p, parquet.FixedLenByteArrayType(decimalBytes(p)))
		}
	case cdc.KindBytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case cdc.KindDate:
		return parquet.Date()
	case cdc.KindDatetime:
		return parquet.TimestampAdjusted(parquet.Microsecond, false)
	case cdc.KindTimestamp:
		return parquet.Timestamp(parquet.Microsecond)
	case cdc.KindTime:
		return parquet.TimeAdjusted(parquet.Microsecond, false)
	case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
		return parquet.JSON()
	}
	return parquet.String()
}

// decimalBytes is how many bytes hold every decimal of that many digits.
func decimalBytes(precision int) int {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return limit.BitLen()/8 + 1
}

// Row groups are cut at this many rows or bytes of records, so that neither writer nor reader needs room for more at once.
const (
	groupRows  = 100_000
	groupBytes = 64 << 20
)

// The keys of the file's own metadata.
const (
	keyTable  = "cdcd.table"
	keyFormat = "cdcd.format"
)

func (f parquetFile) seal(k *Kind, lines []byte) ([]byte, error) {
	if k.Table == nil {
		return nil, errors.New("a Parquet file is of one table")
	}
	delivered := *k.Table
	delivered.Columns = described(k.Columns)
	out := bytes.NewBuffer(make([]byte, 0, len(lines)/4+4096))
	w := parquet.NewGenericWriter[any](out, k.parquetSchema(), parquet.Compression(codecOf(f.codec)), parquet.CreatedBy("cdcd", "1", ""),
		parquet.KeyValueMetadata(keyFormat, "1"), parquet.KeyValueMetadata(keyTable, string((&delivered).AppendDescription(nil))),
		parquet.PageBufferSize(256<<10), parquet.DataPageStatistics(true))
	enc := newEncoder(k)
	rows, size := 0, 0
	for n := 1; len(lines) > 0; n++ {
		var record []byte
		record, lines = jsonl{}.next(lines)
		if err := enc.add(record); err != nil {
			return nil, fmt.Errorf("record %d: %w", n, err)
		}
		rows, size = rows+1, size+len(record)
		full := rows >= groupRows || size >= groupBytes
		if full || len(enc.rows) == atOnce || len(lines) == 0 {
			if err := enc.write(w); err != nil {
				return nil, fmt.Errorf("record %d: %w", n, err)
			}
		}
		if full {
			if err := w.Flush(); err != nil {
				return nil, err
			}
			rows, size = 0, 0
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// described returns columns as the file's metadata describe them: without the members of ENUM and SET. A rule may mask such a column, and
// which values there are is not for whoever gets it so.
func described(columns []cdc.Column) []cdc.Column {
	columns = slices.Clone(columns)
	for i := range columns {
		switch c := &columns[i]; c.Kind {
		case cdc.KindEnum, cdc.KindSet:
			c.Type = c.Kind.String()
		}
	}
	return columns
}

// parquetSchema returns the schema of files of that kind. Objects have it in common.
func (k *Kind) parquetSchema() *parquet.Schema {
	k.once.Do(func() { k.schema = schemaOf(k) })
	return k.schema
}

func codecOf(name string) compress.Codec {
	switch name {
	case "zstd":
		return &parquet.Zstd
	case "gzip":
		return &parquet.Gzip
	}
	return &parquet.Uncompressed
}
