package pluginkit

import (
	"context"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// Bench is what a module takes.
type Bench struct {
	Bytes   int         `json:"bytes"`    // of the module
	Load    int64       `json:"load_ns"`  // vetting, metering and compiling it
	Start   int64       `json:"start_ns"` // an instance
	Fuel    int64       `json:"start_fuel"`
	Memory  int64       `json:"memory_bytes"` // of an instance, after all of that
	Batches []BenchLine `json:"batches"`
}

// BenchLine is what an event takes in batches of a size.
type BenchLine struct {
	Events int     `json:"events"`
	Nanos  float64 `json:"ns_per_event"`
	Fuel   float64 `json:"fuel_per_event"`
}

// RunBench measures a module on the events of tests, all with the configuration of the first. Each size of batches is measured for so long.
func RunBench(ctx context.Context, module []byte, tests []Test, e Engines, each time.Duration) (Bench, error) {
	b := Bench{Bytes: len(module)}
	host, err := e.host(metered, nil)
	if err != nil {
		return b, err
	}
	defer host.Close()
	plugin, err := host.Load(ctx, module, testLimits)
	if err != nil {
		return b, err
	}
	filter, err := plugin.Filter(ctx, tests[0].Config)
	if err != nil {
		return b, err
	}
	defer filter.Close()
	begun := plugin.Stats()
	b.Load, b.Start, b.Fuel = int64(begun.Load), int64(begun.Begin), begun.BeginFuel
	for _, size := range [...]int{1, 16, 256} {
		line, err := benchSize(ctx, filter, tests, size, each)
		if err != nil {
			return b, err
		}
		b.Batches = append(b.Batches, line)
	}
	b.Memory = plugin.Stats().Memory
	return b, nil
}

// benchSize judges batches of a size. The events are those of the tests, over and over.
func benchSize(ctx context.Context, filter *wasm.Filter, tests []Test, size int, each time.Duration) (BenchLine, error) {
	total := (max(size, len(tests)) + size - 1) / size * size
	events := make([]cdc.Event, total)
	for i := range events {
		events[i] = tests[i%len(tests)].Event
	}
	events, err := Together(events)
	if err != nil {
		return BenchLine{}, err
	}
	verdicts := make([]cdc.Verdict, size)
	judge := func() (fuel int64, err error) {
		for at := 0; at < total; at += size {
			if err := filter.Judge(ctx, events[at:at+size], verdicts); err != nil {
				return 0, err
			}
			fuel += filter.Fuel()
		}
		return fuel, nil
	}
	if _, err := judge(); err != nil { // what is made once is made
		return BenchLine{}, err
	}
	n, fuel, began := 0, int64(0), time.Now()
	for n == 0 || time.Since(began) < each {
		used, err := judge()
		if err != nil {
			return BenchLine{}, err
		}
		n += total
		fuel += used
	}
	return BenchLine{Events: size, Nanos: float64(time.Since(began)) / float64(n), Fuel: float64(fuel) / float64(n)}, nil
}
