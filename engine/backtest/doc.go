// Package backtest tries rules on changes that have already happened: what a draft would have matched, and what it would
// have done otherwise than the rules that are in force.
//
// [Run] takes a [Config] with the two rule sets and a source of batches, which may be the history of the stream, binlog
// files, or anything else that hands batches to a cdc.Handler. It judges on all cores, remembers little, and returns a
// [Report]; when ctx ends before the source does, the report says what was found so far and that it is partial.
//
//	report, err := backtest.Run(ctx, backtest.Config{Draft: draft, Active: active}, func(ctx context.Context, next cdc.Handler) error {
//		return stream.Consume(ctx, 1, next)
//	})
//	fmt.Println(report.Rules[0].Matched, report.Rules[0].Added, report.Rules[0].Lost)
//
// Plugins of rules are asked as live ones are, each worker's by itself; Config.Filter returns them. [Rule] says what they did.
//
// Both sets judge with the code and the speed of a live feed: [rules.Set.Decide]. A rule's `now` is the commit time of the
// change, so that the outcome is what it would have been then. What a back-test cannot know stands in [NotSimulated], and
// every report carries it.
package backtest
