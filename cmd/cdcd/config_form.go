package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/form"
)

// formConfig is what a feed's records and objects look like, besides envelope and compress.
type formConfig struct {
	// Format of objects. csv and parquet have columns of their own instead of an envelope, and need a feed of one table.
	Format string `yaml:"format" enum:"jsonl,csv,parquet" default:"jsonl"`
	// Debezium are options of the envelope debezium, as Debezium calls them.
	Debezium *debeziumConfig `yaml:"debezium"`
	// Manifest puts a NAME.manifest.json beside each object: its hash, records, range, tables with their columns, and rules.
	Manifest bool `yaml:"manifest"`
}

// debeziumConfig are options of Debezium's MySQL connector and of Kafka Connect's JSON converter.
type debeziumConfig struct {
	// DecimalHandlingMode is how DECIMAL is written: as exact text, as Kafka Connect's Decimal (which nobody can read without its schema), or
	// as a number that may have lost digits.
	DecimalHandlingMode string `yaml:"decimal_handling_mode" enum:"string,precise,double" default:"string"`
	// TimePrecisionMode is how DATE, TIME and DATETIME are written.
	TimePrecisionMode string `yaml:"time_precision_mode" enum:"adaptive_time_microseconds,microseconds,nanoseconds,isostring,connect" default:"adaptive_time_microseconds"`
	// BigintUnsignedHandlingMode is how BIGINT UNSIGNED is written: as a number, or as Kafka Connect's Decimal.
	BigintUnsignedHandlingMode string `yaml:"bigint_unsigned_handling_mode" enum:"long,precise" default:"long"`
	// BinaryHandlingMode is how BINARY and BLOB are written.
	BinaryHandlingMode string `yaml:"binary_handling_mode" enum:"bytes,base64,base64-url-safe,hex" default:"bytes"`
	// SchemasEnable gives each record its schema: {"schema":…,"payload":…}.
	SchemasEnable bool `yaml:"schemas_enable"`
}

func (v *validator) checkForm(at []any, f *feedConfig) {
	columns := f.Form.Format == form.CSV || f.Form.Format == form.Parquet
	if columns && f.Envelope != "" && f.Envelope != form.CDCD {
		v.invalid(append(at, "envelope"), "format %s has columns of its own and no envelope", f.Form.Format).Hint("remove envelope, or set format: jsonl")
	}
	if columns && f.toNATS() {
		v.invalid(append(at, "format"), "a feed to nats:// has messages, which are not %s", f.Form.Format).Hint("remove format, or deliver to s3:// or file://")
	}
	if f.Form.Manifest && f.toNATS() {
		v.invalid(append(at, "manifest"), "a feed to nats:// has messages, and no manifest beside them").Hint("remove manifest")
	}
	if f.Form.Debezium != nil && f.Envelope != form.Debezium {
		v.invalid(append(at, "debezium"), "debezium says nothing to envelope %s", cmp.Or(f.Envelope, form.CDCD)).Hint("set envelope: debezium, too, or remove it")
	}
}

// formOptions is the form that the configuration wants of a feed.
func (f *feedConfig) formOptions() form.Options {
	o := form.Options{Envelope: f.Envelope, Format: f.Form.Format, Compress: f.Compress}
	if d := f.Form.Debezium; d != nil {
		o.Debezium = form.DebeziumOptions{Decimal: d.DecimalHandlingMode, Time: d.TimePrecisionMode, BigintUnsigned: d.BigintUnsignedHandlingMode,
			Binary: d.BinaryHandlingMode, Schemas: d.SchemasEnable}
	}
	return o
}

// oneTable checks that rules deliver one table to each feed that can take only one.
func oneTable(cfg *config, set *rules.Set) error {
	for _, name := range feedNames(cfg) {
		f := cfg.Feeds[name]
		if f == nil || f.Form.Format == "" || f.Form.Format == form.JSONL {
			continue
		}
		table, by := "", ""
		for _, r := range set.Rules() {
			if r.Mode != rules.Active || !slices.Contains(r.To, name) {
				continue
			}
			for _, glob := range r.Tables {
				if strings.ContainsAny(glob, "*?") {
					return tooManyTables(name, f.Form.Format, "rule '"+r.Name+"' delivers '"+glob+"', which may be several tables")
				}
				if table != "" && glob != table {
					return tooManyTables(name, f.Form.Format, "rule '"+by+"' delivers '"+table+"', rule '"+r.Name+"' delivers '"+glob+"'")
				}
				table, by = glob, r.Name
			}
		}
	}
	return nil
}

func tooManyTables(feed, format, what string) error {
	return cdc.Errorf("CDCD-4110", "feed %s has format %s, which holds one table; %s", feed, format, what).
		WithFix("make a feed for each table, or set feeds.%s.format: jsonl", feed)
}
