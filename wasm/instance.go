package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/meter"
)

const (
	maxEvents = 256       // of a batch
	maxBytes  = 256 << 10 // of a batch with more than one event
	outBytes  = 16 + maxEvents
	leastIn   = 64 << 10 // bytes of the arena in

	pageBytes = 64 << 10

	// Fuel between two visits of the host: some microseconds, and less than two milliseconds where each unit waits for memory.
	slice = 1 << 16

	// What clocks show while a plugin begins: some runtimes do not accept zero.
	beginning = int64(946_684_800e9) // 2000-01-01
)

// instance is a plugin that runs. It is the context of all calls into the module, by which the host's functions know who calls.
type instance struct {
	context.Context
	plugin *Plugin
	config json.RawMessage

	linear       *linear
	module       api.Module
	memory       api.Memory
	batch, arena api.Function
	init, init0  api.Function
	fuel, depth  api.MutableGlobal
	variables    []api.MutableGlobal
	stack        [4]uint64

	in, inSize, out uint32 // the arenas
	pristine        snapshot
	fresh           bool // it is in its pristine state
	spoiled         bool // and only a new module brings that back

	// of the call under way
	budget   int64 // of fuel
	given    int64 // of it
	slice    int64
	deadline time.Time
	watch    bool   // the budget is that of many events: look at the cursor
	at       uint32 // the cursor when it was looked at last
	since    int64  // fuel that had been used when the event at the cursor cannot have begun yet
	visited  int64  // fuel that had been used at the last visit
	spent    bool   // the budget of the whole batch is used up, which is no event's fault
	late     bool   // an event before the cursor may have used more than one may: the one at the cursor when it was looked at last

	source *part // what is being judged; nil while it begins
	count  int   // events

	// what counts when the events have been judged
	current   uint32 // the event that the following belongs to
	slept     int64
	drawn     uint64
	counting  bool
	pending   [maxMetrics]int64 // of the event
	counted   [maxMetrics]int64 // of the events before
	lines     []line
	lost      int64
	partial   [2][]byte // of a line, by stream
	partialOf [2]uint32 // the event that it belongs to
	json      []byte
	whom      string // what it is for, for its lines

	tally  tally // of the batch under way
	starts int64 // fuel that all starts have used
}

type line struct {
	event uint32
	level Level
	text  string
}

// snapshot is the state of an instance when it had begun.
type snapshot struct {
	memory          []byte // without the zeros at its end
	size            uint32
	variables       []uint64
	in, inSize, out uint32
}

// newInstance begins a plugin, up to its pristine state.
func (p *Plugin) newInstance(ctx context.Context, config json.RawMessage) (*instance, error) {
	i := &instance{plugin: p, config: config}
	i.whom, _ = ctx.Value(whomKey{}).(string)
	err := i.start(ctx)
	i.settleUp()
	if err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// start makes the module, and calls what is called once. There is no module after an error.
func (i *instance) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil { // it may have begun by half
			i.end()
			i.fresh = false
		}
	}()
	p := i.plugin
	began := p.host.now()
	i.fuel, i.depth, i.fresh, i.source = nil, nil, false, nil
	var ok bool
	if i.linear, ok = newLinear(&p.host.budget, &p.stats.memories, int64(p.minPages)*pageBytes); !ok {
		return p.noMemory()
	}
	i.begin(ctx, p.limits.Start, p.host.now().Add(p.limits.Wall), false)
	i.Context = experimental.WithMemoryAllocator(ctx, i.linear)
	module, err := i.instantiate()
	if err == nil && i.module == nil {
		i.bind(module)
	}
	if err == nil && i.init0 != nil {
		err = i.init0.CallWithStack(i, i.stack[:])
	}
	if err == nil {
		err = i.arenas()
	}
	if err == nil && i.init != nil {
		err = i.configure()
	}
	i.flush(1)
	i.starts += i.used()
	if s := i.overdrawn(i.used()); err == nil && s != nil {
		err = s
	}
	if err != nil {
		return i.failedToBegin(err)
	}
	p.stats.started(i.used(), p.host.now().Sub(began))
	return i.keep()
}

// instantiate makes the module. That there is no address space for its memory is the only thing that panics.
func (i *instance) instantiate() (m api.Module, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &stop{err: fmt.Errorf("plugin %s: %v", i.plugin.label, r)}
		}
	}()
	return i.plugin.code.runtime.InstantiateModule(i, i.plugin.code.module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

// failedToBegin makes an error for people of what went wrong.
func (i *instance) failedToBegin(err error) error {
	p := i.plugin
	if cdc.CodeOf(err) != "" {
		return err
	}
	trap, world := i.trap(err)
	if world != nil {
		return world
	}
	return cdc.Errorf("CDCD-2506", "plugin %s does not begin: %w", p.label, trap).
		WithFix("try it with: cdcd plugin test; its start, _initialize and cdc_init have %d units of fuel together", p.limits.Start)
}

// bind gets hold of what the host uses of a module.
func (i *instance) bind(m api.Module) {
	i.module, i.memory = m, m.Memory()
	i.fuel = m.ExportedGlobal(meter.Fuel).(api.MutableGlobal)
	i.depth = m.ExportedGlobal(meter.Depth).(api.MutableGlobal)
	i.variables = i.variables[:0]
	for _, name := range i.plugin.variables {
		i.variables = append(i.variables, m.ExportedGlobal(name).(api.MutableGlobal))
	}
	i.batch, i.arena = m.ExportedFunction(exportBatch), m.ExportedFunction(exportArena)
	i.init, i.init0 = m.ExportedFunction(exportInit), m.ExportedFunction(exportStart)
}

// arenas asks for the arenas.
func (i *instance) arenas() error {
	out, err := i.askArena(1, outBytes)
	if err != nil {
		return err
	}
	i.out = out
	if i.in, err = i.askArena(0, leastIn); err != nil {
		return err
	}
	i.inSize = leastIn
	return i.apart()
}

func (i *instance) askArena(kind, size uint32) (uint32, error) {
	i.stack[0], i.stack[1] = uint64(kind), uint64(size)
	if err := i.arena.CallWithStack(i, i.stack[:]); err != nil {
		return 0, err
	}
	at := uint32(i.stack[0])
	name := [...]string{"in", "out"}[kind]
	switch {
	case at == 0:
		return 0, &stop{kind: TrapMemory, what: fmt.Sprintf("it has no %d bytes for the arena %s", size, name)}
	case at%8 != 0 || uint64(at)+uint64(size) > uint64(i.memory.Size()):
		return 0, &stop{kind: TrapAnswer, what: fmt.Sprintf("the arena %s of %d bytes at %d is not aligned, or not within its memory", name, size, at)}
	}
	return at, nil
}

// apart says whether the arenas are two.
func (i *instance) apart() error {
	if uint64(i.in) < uint64(i.out)+outBytes && uint64(i.out) < uint64(i.in)+uint64(i.inSize) {
		return &stop{kind: TrapAnswer, what: fmt.Sprintf("the arenas in, at %d, and out, at %d, overlap", i.in, i.out)}
	}
	return nil
}

// room makes the arena in large enough.
func (i *instance) room(size int) error {
	if uint64(size) <= uint64(i.inSize) {
		return nil
	}
	at, err := i.askArena(0, uint32(size))
	if err != nil {
		return err
	}
	i.in, i.inSize = at, uint32(size)
	return i.apart()
}

// configure gives the plugin its configuration.
func (i *instance) configure() error {
	if err := i.room(len(i.config)); err != nil {
		return err
	}
	i.memory.Write(i.in, i.config)
	i.stack[0] = uint64(len(i.config))
	if err := i.init.CallWithStack(i, i.stack[:]); err != nil {
		return err
	}
	n := int32(i.stack[0])
	if n == 0 {
		return nil
	}
	what := "it does not say why"
	if text, ok := i.memory.Read(i.in, uint32(min(max(n, 0), maxLine))); ok && n > 0 {
		what = printable(string(text))
	}
	return cdc.Errorf("CDCD-2504", "the configuration of plugin %s: %s", i.plugin.label, what).
		WithFix("mend the configuration of the rule's filter")
}

// keep remembers the pristine state.
func (i *instance) keep() error {
	i.fresh, i.spoiled = true, false
	old := i.pristine
	i.pristine = snapshot{size: i.memory.Size(), in: i.in, inSize: i.inSize, out: i.out}
	if !i.plugin.restorable {
		return nil
	}
	for _, v := range i.variables {
		i.pristine.variables = append(i.pristine.variables, v.Get())
	}
	all, _ := i.memory.Read(0, i.memory.Size())
	all = bytes.TrimRight(all, "\x00")
	i.plugin.host.budget.give(int64(len(old.memory)))
	if !i.plugin.host.budget.take(int64(len(all))) {
		return i.plugin.noMemory()
	}
	i.pristine.memory = make([]byte, len(all))
	refill(i.pristine.memory, all)
	return nil
}

// restore brings the pristine state back.
func (i *instance) restore(ctx context.Context) error {
	if i.fresh {
		return nil
	}
	i.forget()
	i.plugin.stats.restored.Add(1)
	if i.module == nil || !i.plugin.restorable || i.spoiled || i.memory.Size() != i.pristine.size {
		i.end()
		return i.start(ctx)
	}
	all, _ := i.memory.Read(0, i.pristine.size)
	refill(all, i.pristine.memory)
	for n, v := range i.variables {
		v.Set(i.pristine.variables[n])
	}
	i.in, i.inSize, i.out = i.pristine.in, i.pristine.inSize, i.pristine.out
	i.fresh = true
	return nil
}

// end lets go of the module.
func (i *instance) end() {
	if i.module != nil {
		_ = i.module.Close(context.WithoutCancel(i.Context))
	}
	if i.linear != nil {
		i.linear.Free() // a module that did not come to be has not
	}
	i.module, i.linear = nil, nil
}

func (i *instance) close() {
	i.end()
	i.plugin.host.budget.give(int64(len(i.pristine.memory)))
	i.pristine.memory = nil
}

// begin begins a call, or several that have one budget.
func (i *instance) begin(ctx context.Context, budget int64, deadline time.Time, watch bool) {
	i.Context = ctx
	i.budget, i.deadline, i.watch = budget, deadline, watch
	if i.slice = i.plugin.host.slice; i.slice == 0 {
		i.slice = max(1000, min(slice, i.plugin.limits.Fuel/8))
	}
	i.given, i.at, i.since, i.visited, i.spent, i.late = 0, 0, 0, 0, false, false
	i.linear.refuse = false
	if i.fuel != nil {
		i.given = min(i.slice, budget)
		i.fuel.Set(uint64(i.given))
		i.depth.Set(0)
	}
	i.current, i.slept, i.drawn = 0, 0, 0
	if cap(i.json) > 4*maxBytes {
		i.json = nil
	}
}

// used is the fuel that has been used since then.
func (i *instance) used() int64 {
	if i.fuel == nil {
		return 0
	}
	return i.given - int64(i.fuel.Get())
}

// yield is where the module comes when its fuel is used up, or its calls nest too deep.
func (i *instance) yield() {
	if uint32(i.depth.Get()) > i.plugin.limits.Depth {
		panic(&stop{kind: TrapDepth, what: "its calls nested too deep"})
	}
	i.refuel()
}

// charge takes fuel for what the host does.
func (i *instance) charge(cost int64) {
	i.fuel.Set(uint64(int64(i.fuel.Get()) - cost))
	i.refuel()
}

// refuel gives another slice of fuel if the last one is used up, unless there is a reason to stop.
func (i *instance) refuel() {
	if int64(i.fuel.Get()) >= 0 {
		return
	}
	used := i.used()
	if s := i.overdrawn(used); s != nil {
		panic(s)
	}
	if used > i.budget {
		i.spent = true
		panic(overdraft(i.budget))
	}
	if err := i.Context.Err(); err != nil {
		panic(&stop{err: context.Cause(i.Context)})
	}
	if !i.plugin.host.now().Before(i.deadline) {
		panic(&stop{err: cdc.Errorf("CDCD-2541", "plugin %s: a batch of changes was not judged within %s", i.plugin.label, i.plugin.limits.Wall).
			WithFix("see whether the machine is overloaded; else lower the plugin's batch_fuel, or raise its wall")})
	}
	if i.watch {
		i.watchCursor(used)
	}
	i.given = min(used+i.slice, i.budget)
	i.fuel.Set(uint64(i.given - used))
}

// overdrawn says whether an event has, or may have, used more than one may: the only one, or one that the plugin is done with. What it
// did last it did without a visit of the host.
func (i *instance) overdrawn(used int64) *stop {
	if !i.watch {
		if used > i.budget {
			return overdraft(i.budget)
		}
		return nil
	}
	if i.late = i.cursor() != i.at && used-i.since+i.near() > i.plugin.limits.Fuel; i.late {
		return overdraft(i.plugin.limits.Fuel)
	}
	return nil
}

// near is how near to what one event may use one among others is judged alone: there it also pays for what is done once for a call.
func (i *instance) near() int64 { return max(1000, i.plugin.limits.Fuel/8) }

// exact reports whether it is known what was used when a call ended in an error: the plugin was at a call of the host. The engine's traps
// find some of its fuel in registers.
func exact(err error) bool {
	var s *stop
	return errors.As(err, &s)
}

func overdraft(budget int64) *stop {
	return &stop{kind: TrapFuel, what: fmt.Sprintf("it used more than %d units of fuel", budget)}
}

// watchCursor stops an event that may have used more than one may. Whether it has is found out when it is judged alone: what it
// used here is known within two slices only, and no event may pass in one batch and not in another.
func (i *instance) watchCursor(used int64) {
	cursor, _ := i.memory.ReadUint32Le(i.out)
	if cursor != i.at {
		i.at, i.since = cursor, i.visited
	}
	i.visited = used
	if used-i.since+max(i.slice, i.near()) > i.plugin.limits.Fuel {
		panic(overdraft(i.plugin.limits.Fuel))
	}
}

// trap makes a trap of how a call ended. The error is not nil if the world is to blame.
func (i *instance) trap(err error) (*Trap, error) {
	if i.linear != nil && i.linear.refuse {
		i.spoiled = true
		return nil, i.plugin.noMemory()
	}
	trap, world := i.plugin.trapOf(err, i.used())
	if trap != nil && trap.Kind == TrapDepth {
		i.spoiled = true // what the engine has grown its stack to is only given back with the module
	}
	return trap, world
}

// settle sees whether the plugin has gone on to another event, which what it does belongs to from then on.
func (i *instance) settle() {
	if i.source == nil {
		return
	}
	cursor, _ := i.memory.ReadUint32Le(i.out)
	if cursor == i.current {
		return
	}
	i.current, i.slept, i.drawn = cursor, 0, 0
	if i.counting {
		for n := range i.plugin.manifest.Metrics {
			i.counted[n] += i.pending[n]
			i.pending[n] = 0
		}
		i.counting = false
	}
}

// now is what clocks show, in nanoseconds.
func (i *instance) now() int64 {
	i.settle()
	if i.source == nil {
		return beginning + i.slept
	}
	return i.source.commitTime(i.current) + i.slept
}

func (i *instance) sleep(nanoseconds int64) {
	i.settle()
	i.slept += max(0, min(nanoseconds, int64(24*time.Hour)))
}

// random fills b with numbers that depend on nothing but the event and how many were drawn for it.
func (i *instance) random(b []byte) {
	i.settle()
	seed := uint64(0x6364_6364) // "cdcd"
	if i.source != nil {
		seed = i.source.seed(i.current)
	}
	for len(b) > 0 {
		i.drawn++
		var word [8]byte
		le.PutUint64(word[:], mix(mix(seed)+i.drawn*0x9e3779b97f4a7c15))
		b = b[copy(b, word[:]):]
	}
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// log remembers a line until it is known whether it counts.
func (i *instance) log(level Level, text []byte) {
	i.settle()
	i.addLine(line{event: i.current, level: level}, text)
}

func (i *instance) addLine(l line, text []byte) {
	if i.plugin.host.log == nil {
		return
	}
	if len(i.lines) >= i.plugin.limits.LogLines {
		i.lost++
		return
	}
	l.text = printable(string(text))
	i.lines = append(i.lines, l)
}

// streamLevels are the levels of what is written to 1 and 2.
var streamLevels = [2]Level{LevelInfo, LevelWarn}

// write makes lines of what is written to a stream.
func (i *instance) write(stream int, text []byte) {
	if i.plugin.host.log == nil {
		return
	}
	i.settle()
	for len(text) > 0 {
		if len(i.lines) >= i.plugin.limits.LogLines { // what is left is counted, not looked at: there may be a lot of it
			i.lost += int64(bytes.Count(text, []byte{'\n'}))
			i.partial[stream] = i.partial[stream][:0]
			return
		}
		part, rest, whole := bytes.Cut(text, []byte{'\n'})
		have := i.partial[stream]
		have = append(have, part[:min(len(part), maxLine-len(have))]...)
		if whole {
			i.addLine(line{event: i.current, level: streamLevels[stream]}, have)
			have = have[:0]
		}
		i.partial[stream], i.partialOf[stream], text = have, i.current, rest
	}
}

// commit makes what belongs to the first events count, and forgets the rest.
func (i *instance) commit(events uint32) {
	if events == 0 {
		i.forget()
		return
	}
	if !i.counting && len(i.lines) == 0 && i.lost == 0 && i.counted == [maxMetrics]int64{} && len(i.partial[0])+len(i.partial[1]) == 0 {
		return
	}
	i.settle()
	if i.current < events {
		for n := range i.plugin.manifest.Metrics {
			i.counted[n] += i.pending[n]
		}
	}
	for n := range i.plugin.manifest.Metrics {
		i.tally.metrics[n] += i.counted[n]
	}
	i.flush(events)
}

// flush takes down the lines of the first events.
func (i *instance) flush(events uint32) {
	for n, rest := range i.partial {
		if len(rest) > 0 {
			i.addLine(line{event: i.partialOf[n], level: streamLevels[n]}, rest)
		}
	}
	for _, l := range i.lines {
		switch {
		case l.event >= events:
		case len(i.tally.lines) < i.plugin.limits.LogLines:
			i.tally.lines = append(i.tally.lines, l)
		default:
			i.lost++
		}
	}
	i.tally.lost += i.lost
	i.forget()
}

// settleUp makes the tally count.
func (i *instance) settleUp() {
	i.plugin.stats.add(&i.tally)
	for _, l := range i.tally.lines {
		i.plugin.writeLine(l, i.whom)
	}
	i.tally.reset()
}

// forget forgets what has not been made to count.
func (i *instance) forget() {
	i.lines, i.lost, i.counting = i.lines[:0], 0, false
	clear(i.pending[:])
	clear(i.counted[:])
	i.partial[0], i.partial[1] = i.partial[0][:0], i.partial[1][:0]
}
