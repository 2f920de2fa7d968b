package backtest

import (
	"slices"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// volume estimates what a feed would get. Records are counted; their size comes from a sample, and the number of objects
// from the spans of time in which there was one.
type volume struct {
	records uint64
	spans   *sketch

	sampled, sampleBytes uint64
	lines                []byte // some of the sample, to see how it compresses
}

// The sample: the first records whole, then some of them.
const (
	sampleAll   = 256
	sampleEvery = 61
	sampleLines = 1 << 20
)

// add counts an event that is delivered to the feed.
func (v *volume) add(feed string, d *cdc.Decision, every time.Duration) {
	if !slices.ContainsFunc(d.Matches, func(m cdc.RuleMatch) bool { return slices.Contains(m.To, feed) }) {
		return
	}
	v.records++
	if every > 0 {
		v.spans.add(mix(uint64(d.Event.CommitTime().UnixNano() / int64(every))))
	}
	if v.records > sampleAll && v.records%sampleEvery != 0 {
		return
	}
	at := len(v.lines)
	v.lines = append(cdc.AppendRecord(v.lines, feed, d), '\n')
	v.sampled++
	v.sampleBytes += uint64(len(v.lines) - at)
	if len(v.lines) > sampleLines {
		v.lines = v.lines[:at]
	}
}

func (v *volume) merge(o *volume) {
	v.records += o.records
	v.spans.merge(o.spans)
	v.sampled += o.sampled
	v.sampleBytes += o.sampleBytes
	if len(v.lines)+len(o.lines) <= 2*sampleLines {
		v.lines = append(v.lines, o.lines...)
	}
}

func (v *volume) estimate(d Delivery) Volume {
	out := Volume{Records: v.records, Objects: v.spans.count().N}
	if v.sampled == 0 {
		return out
	}
	raw := float64(v.sampleBytes) / float64(v.sampled) * float64(v.records)
	packed := raw
	if d.Pack != nil && len(v.lines) > 0 {
		packed *= float64(d.Pack(v.lines)) / float64(len(v.lines))
	}
	out.Bytes = uint64(packed)
	if d.Rows > 0 {
		out.Objects += v.records / uint64(d.Rows)
	}
	if d.Bytes > 0 {
		out.Objects += uint64(raw) / uint64(d.Bytes)
	}
	out.Objects = min(max(out.Objects, 1), v.records)
	return out
}
