package fuzz

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
	"github.com/cdcd-project/cdcd/wasm"
)

// shape makes a plugin with a function in a shape that compilers may find hard: parts that are nested, or stand one behind the other,
// over many variables.
func shape(in []byte) []byte {
	s := &script{in: in}
	locals := 1 + int(s.byte())*int(s.byte())%3000
	touch := func(n int) []byte { // read and write a variable
		return asm.Seq(asm.Get(n%locals), asm.Const32(1), asm.Add32, asm.Set((n*7+1)%locals))
	}
	var code []byte
	for len(s.in) > 0 && len(code) < 32<<10 {
		kind, n, touches := s.byte()%7, 1+int(s.byte())*int(1+s.byte()%8), int(s.byte())
		var inside []byte
		for i := range touches {
			inside = append(inside, touch(i*int(1+s.byte()%16))...)
		}
		switch kind {
		case 0, 1, 2: // nested loops, blocks, ifs
			open := [...][]byte{asm.Op(0x03, 0x40), asm.Op(0x02, 0x40), asm.Seq(asm.Get(0), asm.Op(0x04, 0x40))}[kind]
			code = append(code, bytes.Repeat(open, n)...)
			code = append(code, inside...)
			for i := range n {
				code = append(code, asm.Seq(touch(i), asm.Get(i%locals), asm.BrIf(i%min(n-i, 3)), asm.Op(0x0b))...)
			}
		case 3: // one behind the other
			for i := range min(n, 400) {
				code = append(code, asm.Loop(touch(i), asm.Get(i%locals), asm.BrIf(0))...)
			}
		case 4: // a branch to many places
			code = append(code, bytes.Repeat(asm.Op(0x02, 0x40), min(n, 300))...)
			targets := make([]int, 1+n)
			for i := range targets {
				targets[i] = i % min(n, 300)
			}
			code = append(code, asm.Seq(inside, asm.Get(0), asm.BrTable(targets...))...)
			for i := range min(n, 300) {
				code = append(code, asm.Seq(asm.Op(0x0b), touch(i))...)
			}
		case 5: // many values at once
			code = append(code, bytes.Repeat(asm.Get(0), n)...)
			code = append(code, inside...)
			code = append(code, bytes.Repeat(asm.Add32, n-1)...)
			code = append(code, asm.Drop...)
		case 6: // calls with a lot to keep
			for range min(n, 400) {
				code = append(code, asm.Seq(asm.Get(0), asm.Get(locals/2), asm.Call(0), asm.Set(0))...)
			}
		}
	}
	m := asm.Module{
		Pages:   1,
		Globals: []asm.Global{{Type: asm.I32}},
		Exports: []asm.Export{{Name: "cdc_abi_1", Kind: wasmbin.Global}},
		Funcs: []asm.Func{
			{Export: "cdc_arena", Params: asm.I32 + asm.I32, Results: asm.I32, Code: asm.Const32(0)},
			{Export: "cdc_batch", Params: asm.I32, Results: asm.I32, Locals: strings.Repeat(asm.I32, locals), Code: asm.Seq(code, asm.Const32(0))},
		},
		Custom: []asm.Custom{{Name: wasm.ManifestSection, Body: []byte(answeringManifest)}},
	}
	return m.Bytes()
}

// FuzzCompile has functions of all shapes compiled within this process. What is not refused before takes neither long nor much memory.
func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	for kind := range byte(7) {
		f.Add([]byte{10, 10, kind, 20, 1, 5, 1, 2, 3, 4, 5})
		f.Add([]byte{200, 10, kind, 100, 2, 0})
		f.Add([]byte{50, 1, kind, 200, 7, 3, 1, 2, 3, (kind + 1) % 7, 30, 3, 0, (kind + 3) % 7, 255, 7, 2, 9, 9})
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		module := shape(in)
		h, err := wasm.NewHost(wasm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		_, err = h.Load(t.Context(), module, wasm.Limits{})
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if err != nil && (cdc.CodeOf(err) != "CDCD-2505" || !strings.Contains(err.Error(), "would take very long")) && cdc.CodeOf(err) != "CDCD-2501" {
			t.Errorf("it is refused for another reason: %v", err)
		}
		if grew := (after.TotalAlloc - before.TotalAlloc) >> 20; took > time.Minute || grew > 2048 {
			t.Errorf("a module of %d bytes took %s and %d MiB (%v)", len(module), took, grew, err)
		}
	})
}
