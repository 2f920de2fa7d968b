package wasm

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// Stats is what a plugin has done since it was loaded, in all of its filters together.
type Stats struct {
	Batches, Events               int64
	Kept, Dropped, Edited, Errors int64            // events, by what became of them; those edited are among those kept
	Traps                         map[string]int64 // events that could not be judged, by kind
	Retried                       int64            // calls that ended in a trap, after which a change was judged alone
	Restored                      int64            // times that the pristine state was brought back
	Quarantined                   int64            // filters
	Fuel                          int64
	FuelP50, FuelP99              float64 // of an event
	Time                          time.Duration
	TimeP50, TimeP99              time.Duration // of an event
	Memory                        int64         // bytes of all instances
	Instances                     int64
	Load, Begin                   time.Duration // vetting and compiling; beginning the last instance
	BeginFuel                     int64
	Metrics                       map[string]int64 // the plugin's own, by name
	LinesLost                     int64            // of the log: too many of them
}

// counters are the same while they count.
type counters struct {
	plugin *Plugin

	batches, events, kept, dropped, edited, errors, retried, restored, quarantined atomic.Int64
	fuel, nanoseconds, instances, lost                                             atomic.Int64
	load, begin, beginFuel                                                         atomic.Int64

	traps    [len(trapKinds)]atomic.Int64
	metrics  [maxMetrics]atomic.Int64
	fuels    histogram
	times    histogram
	memories atomic.Int64
}

var trapKinds = [...]string{TrapFuel, TrapDepth, TrapMemory, TrapUnreachable, TrapBounds, TrapArithmetic, TrapCall, TrapExit, TrapFailed,
	TrapAnswer, TrapRefused, TrapOther}

func (c *counters) init(p *Plugin, load time.Duration) {
	c.plugin = p
	c.load.Store(int64(load))
}

func (c *counters) started(fuel int64, took time.Duration) {
	c.beginFuel.Store(fuel)
	c.begin.Store(int64(took))
}

// call counts a call of cdc_batch that judged so many events.
func (c *counters) call(events int, fuel int64, took time.Duration) {
	if events == 0 {
		return
	}
	c.fuel.Add(fuel)
	c.nanoseconds.Add(int64(took))
	c.fuels.add(uint64(fuel)/uint64(events), int64(events))
	c.times.add(uint64(took)/uint64(events), int64(events))
}

// tally is what a batch counts for when all of it has been judged. One that has to be offered again counts for nothing until then.
type tally struct {
	batches, events, kept, dropped, edited, errors, lost int64

	traps   [len(trapKinds)]int64
	metrics [maxMetrics]int64
	lines   []line
}

func (t *tally) trap(kind string) { t.traps[slices.Index(trapKinds[:], kind)]++ }

func (t *tally) reset() { *t = tally{lines: t.lines[:0]} }

func (c *counters) add(t *tally) {
	for _, one := range [...]struct {
		to *atomic.Int64
		n  int64
	}{{&c.batches, t.batches}, {&c.events, t.events}, {&c.kept, t.kept}, {&c.dropped, t.dropped}, {&c.edited, t.edited}, {&c.errors, t.errors}, {&c.lost, t.lost}} {
		if one.n > 0 {
			one.to.Add(one.n)
		}
	}
	for i, n := range t.traps {
		if n > 0 {
			c.traps[i].Add(n)
		}
	}
	for i := range c.plugin.manifest.Metrics {
		if n := t.metrics[i]; n != 0 {
			c.metrics[i].Add(n)
		}
	}
}

// Stats returns what the plugin has done. It may be called at any time.
func (p *Plugin) Stats() Stats {
	c := &p.stats
	s := Stats{Batches: c.batches.Load(), Events: c.events.Load(), Kept: c.kept.Load(), Dropped: c.dropped.Load(), Edited: c.edited.Load(),
		Errors: c.errors.Load(), Retried: c.retried.Load(), Restored: c.restored.Load(), Quarantined: c.quarantined.Load(),
		Fuel: c.fuel.Load(), Time: time.Duration(c.nanoseconds.Load()), Memory: c.memories.Load(), Instances: c.instances.Load(),
		Load: time.Duration(c.load.Load()), Begin: time.Duration(c.begin.Load()), BeginFuel: c.beginFuel.Load(), LinesLost: c.lost.Load(),
		Traps: map[string]int64{}, Metrics: map[string]int64{}}
	for i, k := range trapKinds {
		if n := c.traps[i].Load(); n > 0 {
			s.Traps[k] = n
		}
	}
	for i, name := range p.manifest.Metrics {
		s.Metrics[name] = c.metrics[i].Load()
	}
	s.FuelP50, s.FuelP99 = c.fuels.quantile(0.5), c.fuels.quantile(0.99)
	s.TimeP50, s.TimeP99 = time.Duration(c.times.quantile(0.5)), time.Duration(c.times.quantile(0.99))
	return s
}

// histogram counts values in classes that are an eighth of a power of two wide.
type histogram [64 * 8]atomic.Int64

func (h *histogram) add(value uint64, times int64) { h[class(value)].Add(times) }

// class returns the class of a value: its exponent and the three bits behind its first.
func class(value uint64) int {
	if value < 8 {
		return int(value)
	}
	e := bits.Len64(value) - 1
	return (e-2)*8 + int(value>>(e-3)&7)
}

// quantile returns about the value that the part q of all values is not above.
func (h *histogram) quantile(q float64) float64 {
	total := int64(0)
	for i := range h {
		total += h[i].Load()
	}
	rest := int64(q * float64(total))
	for i := range h {
		if n := h[i].Load(); n > 0 {
			if rest -= n; rest < 0 {
				return middle(i)
			}
		}
	}
	return 0
}

func middle(class int) float64 {
	if class < 8 {
		return float64(class)
	}
	e := class/8 + 2
	return float64(uint64(8+class%8)<<(e-3)) + float64(uint64(1)<<(e-3))/2
}
