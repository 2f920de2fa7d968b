package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// compiled is what was compiled already: a Go guest takes seconds.
var compiled = wazero.NewCompilationCache()

// raw instantiates a module in wazero as it is, neither vetted nor metered. If it is to be interruptible, it is called with a context that
// may end, as whoever wants to interrupt it does.
func raw(ctx context.Context, module []byte, interruptible bool) (context.Context, api.Module, func(), error) {
	cancel := func() {}
	if interruptible {
		ctx, cancel = context.WithTimeout(ctx, time.Hour)
	}
	config := wazero.NewRuntimeConfigCompiler().WithCompilationCache(compiled).WithCloseOnContextDone(interruptible)
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	end := func() { runtime.Close(context.Background()); cancel() }
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	const i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	nothing := api.GoModuleFunc(func(context.Context, api.Module, []uint64) {})
	_, err := runtime.NewHostModuleBuilder("cdc1").
		NewFunctionBuilder().WithGoModuleFunction(nothing, []api.ValueType{i32, i32, i32}, nil).Export("log").
		NewFunctionBuilder().WithGoModuleFunction(nothing, []api.ValueType{i32, i64}, nil).Export("metric").
		NewFunctionBuilder().WithGoModuleFunction(nothing, []api.ValueType{i32, i32, i32}, []api.ValueType{i32}).Export("json").
		Instantiate(ctx)
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	instance, err := runtime.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	return ctx, instance, end, nil
}

func rawNoop(ctx context.Context, module []byte, interruptible bool) (func() error, func(), error) {
	ctx, instance, end, err := raw(ctx, module, interruptible)
	if err != nil {
		return nil, nil, err
	}
	noop, stack := instance.ExportedFunction("noop"), make([]uint64, 1)
	return func() error { return noop.CallWithStack(ctx, stack) }, end, nil
}

// rawFilter has the guest judge batches whose frames were made before: they are written to its memory, and nothing is made of its answer.
func rawFilter(ctx context.Context, module []byte, columns int, interruptible bool) (judging judging, end func(), err error) {
	ctx, instance, end, err := raw(ctx, module, interruptible)
	if err != nil {
		return nil, nil, err
	}
	arena, memory := instance.ExportedFunction("cdc_arena"), instance.Memory()
	var at [2]uint32 // of the arenas
	for kind, bytes := range []uint64{256 << 10, 272} {
		result, err := arena.Call(ctx, uint64(kind), bytes)
		if err != nil {
			return nil, nil, err
		}
		at[kind] = uint32(result[0])
	}
	memory.Write(at[0], config(columns))
	result, err := instance.ExportedFunction("cdc_init").Call(ctx, uint64(len(config(columns))))
	if err != nil || result[0] != 0 {
		return nil, nil, fmt.Errorf("cdc_init returns %v, %w", result, err)
	}
	function, stack, zeros := instance.ExportedFunction("cdc_batch"), make([]uint64, 1), make([]byte, 272)
	return func(batch int) (func() error, error) {
		list, next := frames(columns, batch), 0
		judge := func() error {
			frame := list[next]
			next = (next + 1) % len(list)
			memory.Write(at[1], zeros)
			memory.Write(at[0], frame)
			stack[0] = uint64(len(frame))
			return function.CallWithStack(ctx, stack)
		}
		want := kept(columns)
		for i := 0; i < all; i += batch {
			if err := judge(); err != nil {
				return nil, err
			}
			verdicts, _ := memory.Read(at[1]+16, uint32(batch))
			for k, v := range verdicts {
				if (v == 1) != want[i+k] {
					return nil, fmt.Errorf("change %d: verdict %d, but not %t", i+k, v, want[i+k])
				}
			}
		}
		return judge, nil
	}, end, nil
}
