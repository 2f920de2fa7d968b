package main

import (
	"maps"
	"slices"
	"strings"
)

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
