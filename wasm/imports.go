package wasm

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cdcd-project/cdcd/internal/meter"
)

var le = binary.LittleEndian

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64

	wasi = "wasi_snapshot_preview1"

	wasiBadFile  = 8  // EBADF
	wasiInvalid  = 28 // EINVAL
	wasiBadRange = 21 // EFAULT
)

// hostFunction is a function that plugins may import.
type hostFunction struct {
	module, name    string
	params, results []api.ValueType
	cost            int64 // fuel; what a call of it costs the host, in instructions
	call            func(i *instance, stack []uint64)
}

func (f hostFunction) signature() string { return signature(f.params, f.results) }

// hostFunctions are all of them.
var hostFunctions = []hostFunction{
	{ABI, "log", types(i32, i32, i32), nil, 500, hostLog},
	{ABI, "metric", types(i32, i64), nil, 50, hostMetric},
	{ABI, "json", types(i32, i32, i32), types(i32), 500, hostJSON},
	{wasi, "sched_yield", nil, types(i32), 50, wasiFine},
	{wasi, "proc_exit", types(i32), nil, 50, wasiExit},
	{wasi, "args_get", types(i32, i32), types(i32), 50, wasiFine},
	{wasi, "args_sizes_get", types(i32, i32), types(i32), 50, wasiNone},
	{wasi, "environ_get", types(i32, i32), types(i32), 50, wasiFine},
	{wasi, "environ_sizes_get", types(i32, i32), types(i32), 50, wasiNone},
	{wasi, "clock_time_get", types(i32, i64, i32), types(i32), 50, wasiClock},
	{wasi, "clock_res_get", types(i32, i32), types(i32), 50, wasiResolution},
	{wasi, "random_get", types(i32, i32), types(i32), 50, wasiRandom},
	{wasi, "fd_write", types(i32, i32, i32, i32), types(i32), 500, wasiWrite},
	{wasi, "poll_oneoff", types(i32, i32, i32, i32), types(i32), 50, wasiPoll},
	{wasi, "fd_close", types(i32), types(i32), 50, wasiNoFile},
	{wasi, "fd_fdstat_get", types(i32, i32), types(i32), 50, wasiNoFile},
	{wasi, "fd_fdstat_set_flags", types(i32, i32), types(i32), 50, wasiNoFile},
	{wasi, "fd_seek", types(i32, i64, i32, i32), types(i32), 50, wasiNoFile},
	{wasi, "fd_read", types(i32, i32, i32, i32), types(i32), 50, wasiNoFile},
	{wasi, "fd_prestat_get", types(i32, i32), types(i32), 50, wasiNoFile},
	{wasi, "fd_prestat_dir_name", types(i32, i32, i32), types(i32), 50, wasiNoFile},
}

func types(t ...api.ValueType) []api.ValueType { return t }

// link gives a runtime the host's functions.
func link(ctx context.Context, runtime wazero.Runtime) error {
	builders := map[string]wazero.HostModuleBuilder{}
	add := func(module, name string, params, results []api.ValueType, f api.GoModuleFunc) {
		if builders[module] == nil {
			builders[module] = runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(f, params, results).WithName(name).Export(name)
	}
	add(meter.HostModule, meter.Yield, nil, nil, func(ctx context.Context, m api.Module, _ []uint64) {
		caller(ctx, m).yield()
	})
	for _, f := range hostFunctions {
		add(f.module, f.name, f.params, f.results, func(ctx context.Context, m api.Module, stack []uint64) {
			i := caller(ctx, m)
			i.charge(f.cost)
			f.call(i, stack)
		})
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// caller returns the instance that a host function was called from: it is the context of all of its calls.
func caller(ctx context.Context, m api.Module) *instance {
	i := ctx.(*instance)
	if i.module == nil { // the start function runs before there is a module to be had
		i.bind(m)
	}
	return i
}

// bytes returns a part of the plugin's memory, which is valid until the plugin goes on. One that is not within it is a trap.
func (i *instance) bytes(address, n uint64, what string) []byte {
	b, ok := i.memory.Read(uint32(address), uint32(n))
	if !ok {
		panic(&stop{kind: TrapBounds, what: fmt.Sprintf("%s at %d, %d bytes, does not lie within its memory", what, uint32(address), uint32(n))})
	}
	return b
}

func hostLog(i *instance, stack []uint64) {
	text := i.bytes(stack[1], stack[2], "the line for the log")
	text = text[:min(len(text), maxLine)]
	i.charge(int64(len(text)))
	i.log(Level(min(uint32(stack[0]), uint32(LevelError))), text)
}

func hostMetric(i *instance, stack []uint64) {
	n := uint32(stack[0])
	if int(n) >= len(i.plugin.manifest.Metrics) {
		panic(&stop{kind: TrapAnswer, what: fmt.Sprintf("it adds to metric %d; its manifest has %d", n, len(i.plugin.manifest.Metrics))})
	}
	i.settle()
	i.pending[n] += int64(stack[1])
	i.counting = true
}

func hostJSON(i *instance, stack []uint64) {
	event := uint32(stack[0])
	if i.source == nil || int(event) >= i.count {
		stack[0] = math.MaxUint32 // -1
		return
	}
	i.json = i.source.appendJSON(i.json[:0], int(event))
	i.charge(int64(len(i.json)) * 4)
	if room := uint32(stack[2]); uint64(len(i.json)) <= uint64(room) {
		copy(i.bytes(stack[1], uint64(len(i.json)), "the room for JSON"), i.json)
	}
	stack[0] = uint64(len(i.json))
}

func wasiFine(_ *instance, stack []uint64) { stack[0] = 0 }

func wasiNoFile(_ *instance, stack []uint64) { stack[0] = wasiBadFile }

func wasiExit(_ *instance, stack []uint64) {
	panic(&stop{kind: TrapExit, what: fmt.Sprintf("it called proc_exit(%d)", int32(stack[0]))})
}

func wasiNone(i *instance, stack []uint64) {
	for _, at := range stack[:2] {
		b, ok := i.memory.Read(uint32(at), 4)
		if !ok {
			stack[0] = wasiBadRange
			return
		}
		clear(b)
	}
	stack[0] = 0
}

func wasiClock(i *instance, stack []uint64) {
	if !i.memory.WriteUint64Le(uint32(stack[2]), uint64(i.now())) {
		stack[0] = wasiBadRange
		return
	}
	stack[0] = 0
}

func wasiResolution(i *instance, stack []uint64) {
	if !i.memory.WriteUint64Le(uint32(stack[1]), 1000) {
		stack[0] = wasiBadRange
		return
	}
	stack[0] = 0
}

func wasiRandom(i *instance, stack []uint64) {
	b, ok := i.memory.Read(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		stack[0] = wasiBadRange
		return
	}
	i.charge(int64(len(b)))
	i.random(b)
	stack[0] = 0
}

// wasiWrite makes lines of the log of what is written to 1 and 2.
func wasiWrite(i *instance, stack []uint64) {
	fd, list, n, result := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if fd != 1 && fd != 2 {
		stack[0] = wasiBadFile
		return
	}
	if n > 1024 {
		stack[0] = wasiInvalid
		return
	}
	written := uint64(0)
	for k := range n {
		entry, ok := i.memory.ReadUint64Le(list + 8*k)
		if !ok || uint64(list)+8*uint64(k)+8 > math.MaxUint32 {
			stack[0] = wasiBadRange
			return
		}
		text, ok := i.memory.Read(uint32(entry), uint32(entry>>32))
		if !ok {
			stack[0] = wasiBadRange
			return
		}
		i.charge(int64(len(text)) / 4)
		i.write(int(fd-1), text)
		written += uint64(len(text))
	}
	if written > math.MaxUint32 || !i.memory.WriteUint32Le(result, uint32(written)) {
		stack[0] = wasiBadRange
		return
	}
	stack[0] = 0
}

// wasiPoll says that whatever was waited for has come. Clocks go on by what was to be waited.
func wasiPoll(i *instance, stack []uint64) {
	in, out, n, result := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if n == 0 || n > 1024 {
		stack[0] = wasiInvalid
		return
	}
	i.charge(int64(n) * 20)
	subscriptions, ok1 := i.memory.Read(in, 48*n)
	events, ok2 := i.memory.Read(out, 32*n)
	if !ok1 || !ok2 {
		stack[0] = wasiBadRange
		return
	}
	wait := int64(0)
	for k := range int(n) {
		var event [32]byte
		s := subscriptions[48*k:]
		copy(event[:8], s[:8]) // userdata
		event[10] = s[8]       // type
		if s[8] == 0 {
			timeout := int64(min(le.Uint64(s[24:]), math.MaxInt64))
			if le.Uint16(s[40:])&1 != 0 { // absolute
				timeout -= i.now()
			}
			wait = max(wait, timeout)
		}
		copy(events[32*k:], event[:])
	}
	i.sleep(wait)
	if !i.memory.WriteUint32Le(result, n) {
		stack[0] = wasiBadRange
		return
	}
	stack[0] = 0
}

// printable returns a text that may stand in a log: control characters are escaped, what is not UTF-8 is replaced.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == ' ' || unicode.IsPrint(r): // not so: control characters, what changes the direction of writing, separators of lines
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
