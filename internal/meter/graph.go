package meter

import (
	"bytes"
	"slices"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// callGraph knows which calls have to be counted so that calls cannot nest without bound. Its nodes are the functions, and behind
// them one node for each type, which stands for what a call through a table of that type may reach: any function of the type that
// is named elsewhere than in a call.
//
// Each cycle has a call that is counted, and no path without one is longer than [uncounted] words. So a call that is counted
// stands for the function that it calls and the longest such path behind it, and the stack is never deeper than what is counted,
// and one such path more.
type callGraph struct {
	m      *wasmbin.Module
	frames []uint32   // words of a function's frame, about, and of the longest path behind it; of a type the most of its functions
	own    []uint32   // words of a function's frame alone
	counts [][]uint32 // the nodes that a function's calls are counted to, in order
	group  []int32    // strongly connected component of each node
	order  []uint32   // the nodes so that those that a node leads to stand before it, unless they are in its component
	alias  []uint32   // for each type the first that is the same
	named  []bool     // functions that are named elsewhere than in a call
	taken  []bool     // those of them that calls through a table may reach: an export alone gives nobody inside a reference
}

// uncounted is how many words the calls that are not counted may take. The small functions at the ends of the graph, which are
// called most, fit into it; beyond it counting is coarser the larger it is.
const uncounted = 1 << 10

// graph makes the graph. Both its size and the time are in proportion to the module.
func graph(m *wasmbin.Module) *callGraph {
	g := &callGraph{m: m, alias: sameTypes(m)}
	functions := len(m.Funcs)
	g.frames = make([]uint32, functions+len(m.Types))
	for i := range m.Bodies {
		f := m.ImportedFuncs + i
		b := &m.Bodies[i]
		t := m.Types[m.Funcs[f]]
		g.frames[f] = uint32(16 + words(t.Params) + words(t.Results) + b.Locals + len(b.Code)/16)
	}
	edges := make([][]uint32, len(g.frames))
	g.named, g.taken = make([]bool, functions), make([]bool, functions)
	exports := section(m, wasmbin.ExportSection)
	for _, ref := range m.FuncRefs {
		g.named[ref.Index] = true
		if ref.Offset < exports.Offset || ref.Offset >= exports.Offset+len(exports.Body) {
			g.taken[ref.Index] = true
		}
	}
	for i := range m.Bodies {
		f := m.ImportedFuncs + i
		code := m.Bodies[i].Walk()
		for in, ok := code.Next(); ok; in, ok = code.Next() {
			switch in.Op {
			case wasmbin.Call, wasmbin.CallIndirect:
				edges[f] = append(edges[f], g.target(in))
				if n := g.results(in); n > 1 { // a small call may leave a lot behind, which stays over other calls
					g.frames[f] += uint32(n)
				}
			case wasmbin.RefFunc:
				g.named[in.Index], g.taken[in.Index] = true, true
			}
		}
		slices.Sort(edges[f])
		edges[f] = slices.Compact(edges[f])
	}
	for f, is := range g.taken {
		if is {
			t := functions + int(g.alias[m.Funcs[f]])
			edges[t] = append(edges[t], uint32(f))
		}
	}
	g.own = slices.Clone(g.frames)
	g.connect(edges)
	g.count(edges)
	return g
}

// words is how many words of a frame values take.
func words(types []byte) int { return len(types) + bytes.Count(types, []byte{wasmbin.V128}) }

// results returns how many words a call leaves behind.
func (g *callGraph) results(i wasmbin.Instr) int {
	if i.Op == wasmbin.Call {
		return words(g.m.Types[g.m.Funcs[i.Index]].Results)
	}
	return words(g.m.Types[i.Index].Results)
}

// target returns the node that a call is to.
func (g *callGraph) target(i wasmbin.Instr) uint32 {
	if i.Op == wasmbin.Call {
		return i.Index
	}
	return uint32(len(g.m.Funcs)) + g.alias[i.Index]
}

// counted reports whether a call must count, and how many words it stands for.
func (g *callGraph) counted(caller uint32, i wasmbin.Instr) (frame uint32, is bool) {
	to := g.target(i)
	_, is = slices.BinarySearch(g.counts[caller], to)
	return g.frames[to], is
}

func sameTypes(m *wasmbin.Module) []uint32 {
	first := map[string]uint32{}
	alias := make([]uint32, len(m.Types))
	for i, t := range m.Types {
		key := string(t.Params) + "\x00" + string(t.Results)
		if _, ok := first[key]; !ok {
			first[key] = uint32(i)
		}
		alias[i] = first[key]
	}
	return alias
}

// connect finds the strongly connected components (Tarjan 1972), without recursion, and the order.
func (g *callGraph) connect(edges [][]uint32) {
	n := len(edges)
	g.group = make([]int32, n)
	index, low := make([]int32, n), make([]int32, n) // from 1; 0: not seen
	onStack := make([]bool, n)
	var stack, path []uint32
	next := make([]int, n) // edge of each node on the path to follow next
	seen, groups := int32(0), int32(0)
	for root := range uint32(n) {
		if index[root] != 0 {
			continue
		}
		path = append(path, root)
		for len(path) > 0 {
			v := path[len(path)-1]
			if index[v] == 0 {
				seen++
				index[v], low[v] = seen, seen
				stack, onStack[v] = append(stack, v), true
			}
			descended := false
			for next[v] < len(edges[v]) {
				to := edges[v][next[v]]
				if index[to] == 0 {
					path, descended = append(path, to), true
					break
				}
				if onStack[to] {
					low[v] = min(low[v], low[to])
				}
				next[v]++
			}
			if descended {
				continue
			}
			if low[v] == index[v] {
				for {
					top := stack[len(stack)-1]
					stack, onStack[top] = stack[:len(stack)-1], false
					g.group[top] = groups
					g.order = append(g.order, top)
					if top == v {
						break
					}
				}
				groups++
			}
			path = path[:len(path)-1]
		}
	}
}

// count chooses the calls that are counted: all that go through a table within a component, those that lead back on a path that
// is followed through what remains, and those that would make an uncounted path too long. On the way back along the path it adds
// up the frames.
func (g *callGraph) count(edges [][]uint32) {
	functions := uint32(len(g.m.Funcs))
	const onPath, done = 1, 2
	state := make([]uint8, len(edges))
	next := make([]int, len(edges))
	below := make([]uint32, len(edges))
	g.counts = make([][]uint32, functions)
	var path []uint32
	count := func(v, to uint32) { g.counts[v] = append(g.counts[v], to) }
	for root := range uint32(len(edges)) {
		if state[root] != 0 {
			continue
		}
		path, state[root] = append(path, root), onPath
		for len(path) > 0 {
			v := path[len(path)-1]
			if next[v] == len(edges[v]) {
				g.frames[v] += below[v]
				path, state[v] = path[:len(path)-1], done
				continue
			}
			to := edges[v][next[v]]
			if to >= functions && g.group[v] == g.group[to] || state[to] == onPath {
				count(v, to)
			} else if state[to] == 0 {
				path, state[to] = append(path, to), onPath
				continue // and this edge is looked at again behind it
			} else if v < functions && g.frames[to] > uncounted {
				count(v, to)
			} else {
				below[v] = max(below[v], g.frames[to])
			}
			next[v]++
		}
	}
}
