package wasm

import "testing"

func TestNamesOfRustFunctionsAreReadable(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"_ZN6plugin7recurse17h29c8b707c70668a4E(i32) i64", "plugin::recurse(i32) i64"},
		{"_ZN3std9panicking19begin_panic_handler28_$u7b$$u7b$closure$u7d$$u7d$17h106d97be21bfe094E(i32,i32,i32)", "std::panicking::begin_panic_handler::{{closure}}(i32,i32,i32)"},
		{"_ZN4core3fmt3num3imp52_$LT$impl$u20$core..fmt..Display$u20$for$u20$u32$GT$3fmt17ha2248e879404ed23E(i32,i32) i32", "core::fmt::num::imp::<impl core::fmt::Display for u32>::fmt(i32,i32) i32"},
		{"_ZN44_$LT$$RF$T$u20$as$u20$core..fmt..Display$GT$3fmt17h41330ebac9958d90E.llvm.6387201050041093844(i32)", "<&T as core::fmt::Display>::fmt(i32)"},
		{"_ZN6plugin5scoreE(i32)", "plugin::score(i32)"},
		{"cdcd_filter(i32) i32", "cdcd_filter(i32) i32"},
		{"$1439(i32) i32", "$1439(i32) i32"},
		{"_ZN", "_ZN"},
		{"_ZN6plu(i32)", "_ZN6plu(i32)"},
		{"_ZN99999999999999999999plugE(i32)", "_ZN99999999999999999999plugE(i32)"},
		{"_ZNxE(i32)", "_ZNxE(i32)"},
		{"_ZN7$u110000E()", "_ZN7$u110000E()"},
		{"_ZN9$u110000$E()", "$u110000$()"},
		{"_ZN4$u0$E()", "$u0$()"},
	} {
		if got := readable(row.line); got != row.want {
			t.Errorf("%s is %s, but should be %s", row.line, got, row.want)
		}
	}
}
