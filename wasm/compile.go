package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// Compiler compiles a metered module into the folder dir, in a way that a module which makes the compiler run away cannot hurt: in another
// process, which calls [Compile].
type Compiler func(ctx context.Context, module []byte, dir string) error

// What is compiled in this process. The compiler takes time in a power of how deep blocks nest times how many variables a function has,
// and in one of how many values its branches carry to how many places.
const (
	inProcessBytes  = 4 << 20
	inProcessWeight = 2_000_000_000 // some seconds
	inProcessOne    = 400_000_000   // of one function
)

// Compile compiles a metered module into a folder. It may take all memory and time there is: it is what the child process of a [Compiler]
// runs.
func Compile(ctx context.Context, module []byte, dir string) (err error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close(context.WithoutCancel(ctx))) }()
	runtime := wazero.NewRuntimeWithConfig(ctx, configure(wazero.NewRuntimeConfig(), 65536).WithCompilationCache(cache))
	defer func() { err = errors.Join(err, runtime.Close(context.WithoutCancel(ctx))) }()
	_, err = compileModule(ctx, runtime, module)
	return err
}

func configure(c wazero.RuntimeConfig, pages uint32) wazero.RuntimeConfig {
	return c.WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(pages).WithDebugInfoEnabled(false)
}

// compileModule survives a panic of the compiler.
func compileModule(ctx context.Context, runtime wazero.Runtime, module []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compiler failed: %v", r)
		}
	}()
	return runtime.CompileModule(ctx, module)
}

// inProcess says whether a module may be compiled in a process that has to go on. The error has code CDCD-2505.
func inProcess(m *wasmbin.Module, bytes int) error {
	fail := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-2505", "the module is not compiled in this process: %w", fmt.Errorf(format, args...)).
			WithFix("compile it in another process (wasm.Config.Compile), as cdcd does, or make it smaller")
	}
	if bytes > inProcessBytes {
		return fail("it has %d bytes; at most %d are compiled here", bytes, inProcessBytes)
	}
	total := 0.0
	for i := range m.Bodies {
		w := weight(m, i)
		if total += w; w > inProcessOne || total > inProcessWeight {
			return fail("its blocks nest so deep, in functions with so many variables, that compiling it would take very long")
		}
	}
	return nil
}

// weight estimates what compiling a function takes.
func weight(m *wasmbin.Module, function int) float64 {
	b := &m.Bodies[function]
	depth, deepest, widest, blocks, loops := 1, 1, 0, 0.0, 0.0
	carried := 0.0 // values that the targets of its branches take
	code := b.Walk()
	for in, ok := code.Next(); ok; in, ok = code.Next() {
		switch in.Op {
		case wasmbin.Block, wasmbin.Loop, wasmbin.If:
			depth++
			deepest = max(deepest, depth)
			widest = max(widest, blockValues(m, in))
			if blocks++; in.Op == wasmbin.Loop {
				loops++
			}
		case wasmbin.End:
			depth--
		case wasmbin.BrTable:
			carried += float64(len(in.Bytes)) // a target takes at least one
		}
	}
	variables := b.Locals + len(m.Types[m.Funcs[m.ImportedFuncs+function]].Params) + widest + 6 // of them those of metering
	nested := float64(deepest) * float64(variables)
	carried *= float64(widest + 1)
	return nested*nested + carried*carried/1000 + blocks*blocks*8 + loops*loops*16
}

// blockValues returns how many values a block takes and leaves.
func blockValues(m *wasmbin.Module, block wasmbin.Instr) int {
	t, shift := 0, 0
	for _, c := range block.Bytes[1:] {
		t |= int(c&0x7f) << shift
		shift += 7
	}
	if shift == 7 && t >= 0x40 { // none, or one
		return 1
	}
	return len(m.Types[t].Params) + len(m.Types[t].Results)
}

// code is a module ready to be instantiated.
type code struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	cache   wazero.CompilationCache // where the machine code is; nil: with the runtime
}

func (c *code) close() {
	_ = c.runtime.Close(context.Background())
	if c.cache != nil {
		_ = c.cache.Close(context.Background())
	}
}

// code makes a metered module ready: from what was compiled before, or by compiling it. bytes is what it had before it was metered.
func (h *Host) code(ctx context.Context, m *wasmbin.Module, bytes int, metered []byte, limits Limits) (*code, error) {
	dir := ""
	switch {
	case h.interpreter:
	case h.cache != nil:
		var err error
		if dir, err = h.cache.module(ctx, metered, h.compileInto(m, bytes)); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
	case h.compile != nil:
		temp, err := os.MkdirTemp("", "cdcd-plugin-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temp)
		if err := h.compile(ctx, metered, temp); err != nil {
			return nil, err
		}
		dir = temp
	default:
		if err := inProcess(m, bytes); err != nil {
			return nil, err
		}
	}
	var cache wazero.CompilationCache
	if dir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return nil, err
		}
	}
	runtime, err := h.newRuntime(ctx, limits.Memory, cache)
	if err != nil {
		if cache != nil {
			_ = cache.Close(ctx)
		}
		return nil, err
	}
	c := &code{runtime: runtime, cache: cache}
	if c.module, err = compileModule(ctx, runtime, metered); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// compileInto returns the compiler that fills the cache.
func (h *Host) compileInto(m *wasmbin.Module, bytes int) Compiler {
	if h.compile != nil {
		return h.compile
	}
	return func(ctx context.Context, module []byte, dir string) error {
		if err := inProcess(m, bytes); err != nil {
			return err
		}
		return Compile(ctx, module, dir)
	}
}
