package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// codePartitionBy: a feed is to be divided by a column that the table does not have.
const codePartitionBy = "CDCD-4320"

// partitionColumns finds columns of partition_by that their tables do not have: all changes of such a table would be in one partition, and
// that cannot be changed once the feed has begun. Of tables that are not known there are warnings.
func partitionColumns(cfg *config, tables []*cdc.Table, feeds ...string) (found rules.Findings) {
	for _, feed := range feeds {
		by := cfg.Feeds[feed].PartitionBy
		for _, name := range slices.Sorted(maps.Keys(by)) {
			at := cfg.doc.At("feeds", feed, "partition_by", name)
			i := slices.IndexFunc(tables, func(t *cdc.Table) bool { return t.String() == name })
			if i < 0 {
				found = append(found, at.KeyError(codePartitionBy, fmt.Sprintf("feed %s: no table that is captured is called '%s'", feed, name)).Warn())
				continue
			}
			if tables[i].Column(by[name]) >= 0 {
				continue
			}
			f := at.Error(codePartitionBy, fmt.Sprintf("feed %s is divided by column '%s' of %s, which has no such column", feed, by[name], name))
			var columns []string
			for _, c := range tables[i].Columns {
				columns = append(columns, c.Name)
			}
			if near, ok := strictyaml.Nearest(by[name], columns); ok {
				f.Hint("did you mean '%s'?", near)
			} else {
				f.Hint("name a column of it whose values never change in a row, or remove it: then the primary key decides")
			}
			found = append(found, f)
		}
	}
	return found
}

func (c *config) dividesFeeds() bool {
	return slices.ContainsFunc(feedNames(c), func(name string) bool { return len(c.Feeds[name].PartitionBy) > 0 })
}

// precheckPartitions refuses to begin a feed that is divided by a column that is not there. One that has begun goes on, loudly: it cannot be
// divided otherwise any more.
func precheckPartitions(ctx context.Context, a *app, cfg *config) error {
	if !cfg.dividesFeeds() {
		return nil
	}
	tables, err := tablesOf(ctx, a, cfg)
	if err != nil || len(tables) == 0 {
		a.log.Info("it is not known whether tables have the columns of partition_by", "event", "feed.partition_by_unchecked", "why", err)
		return nil
	}
	begun := readPlaces(cfg)
	var refused rules.Findings
	for _, feed := range feedNames(cfg) {
		for _, f := range partitionColumns(cfg, tables, feed) {
			if !f.Warning && begun[feed] == "" {
				refused = append(refused, f)
				continue
			}
			a.log.Warn(f.Msg, "event", "feed.partition_by", "code", f.Code, "fix", f.Suggestion)
		}
	}
	return refused.Err()
}
