package wasm

import (
	"fmt"
	"slices"
	"testing"
)

// A module that alters its table is not brought back by copying its memory: it is started anew.
func TestAModuleThatAltersTablesIsStartedAnew(t *testing.T) {
	module := minimal().with(func(p *parts) {
		p.table = []byte{0x70, 0, 2}
		// it traps if entry 0 of its table is not null, and sets it
		p.codes[1] = slices.Concat([]byte{0, 0x41, 0, 0x25, 0, 0xd1, 0x45, 0x04, 0x40, 0x00, 0x0b, 0x41, 0, 0xd2, 0, 0x26, 0}, p.codes[1][1:])
		p.elements = []byte{1, 3, 0, 1, 0} // declares function 0
	}).plugin(t)
	info, err := Inspect(module)
	if err != nil || info.Restorable {
		t.Fatalf("got %+v, %v", info, err)
	}
	for _, interpreter := range []bool{false, true} {
		h := newHost(t, Config{Interpreter: interpreter})
		p := load(t, h, module, Limits{Failures: -1})
		f := filter(t, p, "")
		for range 3 { // each batch but the first finds the table as the one before has left it
			if got := judge(t, f, act{}, act{}, act{}); fmt.Sprint(got) != "[drop drop drop]" {
				t.Errorf("got %s", got)
			}
		}
		if s := p.Stats(); s.Restored == 0 || s.Instances != 1 {
			t.Errorf("got %+v", s)
		}
		if h.Memory() != 2*pageBytes {
			t.Errorf("%d bytes are in use", h.Memory())
		}
	}
}

// The start function runs before there is anything to call: it is under the same fuel.
func TestTheStartFunctionIsMetered(t *testing.T) {
	for name, row := range map[string]struct {
		code []byte
		want string
	}{
		"nothing": {[]byte{0, 0x0b}, ""},
		"a loop":  {[]byte{0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b}, "plugin small 0.1.0 does not begin: CDCD-2510: plugin small 0.1.0: it used more than 1000000 units of fuel"},
		"a trap":  {[]byte{0, 0x00, 0x0b}, "it gave up"},
	} {
		h := newHost(t, Config{})
		p := load(t, h, minimal().with(func(p *parts) { p.codes[2], p.start = row.code, 2 }).plugin(t), Limits{Start: 1_000_000})
		_, err := p.Filter(t.Context(), nil)
		if row.want == "" && err != nil || row.want != "" && !contains(err, "CDCD-2506", row.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestArenasThatAreNone(t *testing.T) {
	for name, row := range map[string]struct {
		code []byte
		want string
	}{
		"null":              {[]byte{0, 0x41, 0, 0x0b}, "it has no 272 bytes for the arena out"},
		"not aligned":       {[]byte{0, 0x41, 4, 0x0b}, "the arena out of 272 bytes at 4 is not aligned"},
		"beyond its memory": {[]byte{0, 0x41, 0x78, 0x0b}, "the arena out of 272 bytes at 4294967288"},
		"one and the same":  {[]byte{0, 0x41, 0x80, 0x08, 0x0b}, "overlap"},
		"one in the other":  {[]byte{0, 0x41, 0x80, 0x80, 4, 0x41, 0x80, 0x08, 0x20, 0, 0x1b, 0x0b}, "overlap"},
	} {
		p := load(t, newHost(t, Config{}), minimal().with(func(p *parts) { p.codes[0] = row.code }).plugin(t), Limits{})
		if _, err := p.Filter(t.Context(), nil); !contains(err, "CDCD-2506", row.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
