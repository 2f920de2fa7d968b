package main

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/nats"
)

// natsFeedConfig is a feed whose records are messages.
type natsFeedConfig struct {
	// CredsFile holds the NATS credentials.
	CredsFile string `yaml:"creds_file"`
	// Stream of the records. It is made if it is not there; the default is the subject in capitals.
	Stream string `yaml:"stream"`
	// Replicas of a stream that is made; the default is 3 on a cluster, 1 on a single server.
	Replicas int `yaml:"replicas" enum:"1,3,5"`
	// MaxAge of what the stream keeps; by default everything is kept.
	MaxAge strictyaml.Duration `yaml:"max_age"`
}

func (f *feedConfig) toNATS() bool {
	return strings.HasPrefix(f.To, "nats://") || strings.HasPrefix(f.To, "tls://")
}

// complete fills in what depends on where the feed goes.
func (f *feedConfig) complete() {
	compress, rows := "zstd", 50_000
	if f.toNATS() {
		compress, rows = "none", nats.MaxRecords
	}
	f.Compress, f.Rotate.Rows = cmp.Or(f.Compress, compress), cmp.Or(f.Rotate.Rows, rows)
}

func closeStore(s chain.Store) {
	if c, ok := s.(io.Closer); ok {
		c.Close() // what was put is there: a put returns when it is
	}
}

func (v *validator) checkNATSFeed(at []any, f *feedConfig) {
	var wrong *cdc.Error
	if errors.As(nats.CheckURL(f.To), &wrong) {
		v.invalid(append(at, "to"), "%s", wrong.What).Hint("%s", wrong.Fix)
	}
	if f.Compress != "" && f.Compress != "none" {
		v.invalid(append(at, "compress"), "the records of a feed to NATS are messages, which are not compressed").Hint("remove it")
	}
	if f.Rotate.Rows > nats.MaxRecords {
		v.invalid(append(at, "rotate", "rows"), "rotate.rows of a feed to NATS is %d at most: an object is one atomic batch", nats.MaxRecords).Hint("remove it")
	}
	if f.S3 != nil {
		v.invalid(append(at, "s3"), "s3 settings do not apply to a feed to NATS").Hint("remove them")
	}
	if f.Nats != nil {
		v.checkRange(append(at, "nats", "max_age"), int64(f.Nats.MaxAge), int64(time.Minute), int64(100*365*24*time.Hour), "1m", "876000h")
	}
}

func (v *validator) checkPartitions(at []any, f *feedConfig) {
	v.checkRange(append(at, "partitions"), int64(f.Partitions), 1, 64, "1", "64")
	if len(f.PartitionBy) > 0 && f.Partitions <= 1 {
		v.invalid(append(at, "partition_by"), "partition_by says nothing where there is one partition").Hint("set partitions, too, or remove it")
	}
	for _, table := range slices.Sorted(maps.Keys(f.PartitionBy)) {
		if strings.Count(table, ".") != 1 || strings.ContainsAny(table, "*?") || f.PartitionBy[table] == "" {
			v.invalid(append(at, "partition_by", table), "'%s: %s' is not a table and a column of it", table, f.PartitionBy[table]).
				Hint("write it like {shop.orders: customer_id}")
		}
	}
}
