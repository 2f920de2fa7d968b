package wasmasm

import (
	"bytes"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// Seq is one thing behind the other.
func Seq(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Op is an instruction without anything behind it.
func Op(code ...byte) []byte { return code }

// Const32 and Const64 are constants.
func Const32(n int32) []byte { return wasmbin.AppendS64([]byte{0x41}, int64(n)) }
func Const64(n int64) []byte { return wasmbin.AppendS64([]byte{0x42}, n) }

// Locals and globals.
func Get(local int) []byte       { return with(0x20, local) }
func Set(local int) []byte       { return with(0x21, local) }
func Tee(local int) []byte       { return with(0x22, local) }
func GlobalGet(g int) []byte     { return with(0x23, g) }
func GlobalSet(g int) []byte     { return with(0x24, g) }
func with(op byte, n int) []byte { return wasmbin.AppendU32([]byte{op}, uint32(n)) }

// Calls; the type is that of [Module.Type].
func Call(f int) []byte                        { return with(0x10, f) }
func CallIndirect(typeIndex, table int) []byte { return append(with(0x11, typeIndex), u32(table)...) }
func RefFunc(f int) []byte                     { return with(0xd2, f) }

// Blocks without values. Br(0) in a Loop goes to its beginning.
func Block(body ...[]byte) []byte { return Seq([]byte{0x02, 0x40}, Seq(body...), []byte{0x0b}) }
func Loop(body ...[]byte) []byte  { return Seq([]byte{0x03, 0x40}, Seq(body...), []byte{0x0b}) }
func If(body ...[]byte) []byte    { return Seq([]byte{0x04, 0x40}, Seq(body...), []byte{0x0b}) }

// Typed is a block, loop (0x03) or if (0x04) that leaves a value.
func Typed(op byte, result string, body ...[]byte) []byte {
	return Seq([]byte{op}, []byte(result), Seq(body...), []byte{0x0b})
}

// Branches.
func Br(depth int) []byte   { return with(0x0c, depth) }
func BrIf(depth int) []byte { return with(0x0d, depth) }
func BrTable(depths ...int) []byte { // the last one is for all other numbers
	out := with(0x0e, len(depths)-1)
	for _, d := range depths {
		out = wasmbin.AppendU32(out, uint32(d))
	}
	return out
}

// Memory. The address is on the stack, below the value that is stored.
func Load32(offset int) []byte  { return append([]byte{0x28, 2}, u32(offset)...) }
func Load64(offset int) []byte  { return append([]byte{0x29, 3}, u32(offset)...) }
func Load8(offset int) []byte   { return append([]byte{0x2d, 0}, u32(offset)...) }
func Store32(offset int) []byte { return append([]byte{0x36, 2}, u32(offset)...) }
func Store64(offset int) []byte { return append([]byte{0x37, 3}, u32(offset)...) }
func Store8(offset int) []byte  { return append([]byte{0x3a, 0}, u32(offset)...) }

// Instructions of which there is one kind.
var (
	Unreachable = Op(0x00)
	Else        = Op(0x05)
	Return      = Op(0x0f)
	Drop        = Op(0x1a)
	Select      = Op(0x1b)
	MemorySize  = Op(0x3f, 0)
	MemoryGrow  = Op(0x40, 0)
	MemoryCopy  = Op(0xfc, 0x0a, 0, 0)
	MemoryFill  = Op(0xfc, 0x0b, 0)

	Eqz32 = Op(0x45)
	Eq32  = Op(0x46)
	LtU32 = Op(0x49)
	GeU32 = Op(0x4f)
	Add32 = Op(0x6a)
	Sub32 = Op(0x6b)
	Mul32 = Op(0x6c)
	Add64 = Op(0x7c)
	Sub64 = Op(0x7d)
)
