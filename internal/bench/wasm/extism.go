package main

import (
	"context"
	"fmt"
	"time"

	extism "github.com/extism/go-sdk"
)

// extismPlugin begins a plugin on Extism. With a timeout, it is interruptible.
func extismPlugin(ctx context.Context, module []byte, timeout time.Duration) (*extism.Plugin, error) {
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: module}}, Timeout: uint64(timeout.Milliseconds())}
	return extism.NewPlugin(ctx, manifest, extism.PluginConfig{}, nil)
}

func extismNoop(ctx context.Context, module []byte, timeout time.Duration) (func() error, func(), error) {
	plugin, err := extismPlugin(ctx, module, timeout)
	if err != nil {
		return nil, nil, err
	}
	return func() error {
		_, _, err := plugin.CallWithContext(ctx, "noop", nil)
		return err
	}, func() { plugin.Close(ctx) }, nil
}

// extismFigure measures a function of the plugin, which is given one change a call, encoded before.
func extismFigure(ctx context.Context, module []byte, function string, list [][]byte, columns int, timeout time.Duration) (float64, error) {
	plugin, err := extismPlugin(ctx, module, timeout)
	if err != nil {
		return 0, err
	}
	defer plugin.Close(ctx)
	for i, keep := range kept(columns) {
		if _, out, err := plugin.CallWithContext(ctx, function, list[i]); err != nil || (len(out) == 1) != keep {
			return 0, fmt.Errorf("change %d: output %v, error %v, but not %t", i, out, err, keep)
		}
	}
	next := 0
	return best(1, func() error {
		next = (next + 1) % all
		_, _, err := plugin.CallWithContext(ctx, function, list[next])
		return err
	})
}
