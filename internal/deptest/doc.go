// Package deptest keeps the promise of who may depend on whom, for tests.
//
//	for _, p := range deptest.Linked(t, ".", "./engine", map[string]string{"github.com/nats-io": "whoever embeds the engine brings his own bus"}) {
//		t.Error(p)
//	}
//
// [Linked] finds what must not be linked into a package, however indirectly, and shows the way by which it is.
// [Crossed] finds imports between the packages of one module that a table of [Room] does not allow.
package deptest
