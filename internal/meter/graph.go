package meter

import (
	"bytes"
	"slices"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// callGraph knows which calls can be part of a cycle. Its nodes are the functions, and behind them one node for each type,
// which stands for what a call through a table of that type may reach: any function of the type that is named elsewhere than
// in a call.
type callGraph struct {
	m      *wasmbin.Module
	frames []uint32 // words of a function's frame, about; of a type the most of its functions
	group  []int32  // strongly connected component of each node
	alias  []uint32 // for each type the first that is the same
	all    bool     // even the paths without a cycle could be too long: all calls count
}

// graph makes the graph. Both its size and the time are in proportion to the module.
func graph(m *wasmbin.Module, depth uint32) *callGraph {
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
	named := make([]bool, functions)
	for _, ref := range m.FuncRefs {
		named[ref.Index] = true
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
				named[in.Index] = true
			}
		}
		slices.Sort(edges[f])
		edges[f] = slices.Compact(edges[f])
	}
	for f, is := range named {
		if is {
			t := functions + int(g.alias[m.Funcs[f]])
			edges[t] = append(edges[t], uint32(f))
			g.frames[t] = max(g.frames[t], g.frames[f])
		}
	}
	order := g.connect(edges)
	g.all = g.longest(edges, order) > uint64(depth)
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

// counted reports whether a call must count the frame that it makes, and how large that is.
func (g *callGraph) counted(caller uint32, i wasmbin.Instr) (frame uint32, is bool) {
	to := g.target(i)
	return g.frames[to], g.frames[to] > 0 && (g.all || g.group[caller] == g.group[to])
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

// connect finds the strongly connected components (Tarjan 1972), without recursion, and returns the nodes so that those that a
// node leads to stand before it, unless they are in its component.
func (g *callGraph) connect(edges [][]uint32) (order []uint32) {
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
					order = append(order, top)
					if top == v {
						break
					}
				}
				groups++
			}
			path = path[:len(path)-1]
		}
	}
	return order
}

// longest returns how many words the frames of the longest path take that does not go round in a cycle. In a component all
// calls are counted when they are made, so it stands for its largest frame.
func (g *callGraph) longest(edges [][]uint32, order []uint32) uint64 {
	groups := int32(0)
	for _, group := range g.group {
		groups = max(groups, group+1)
	}
	below, frame := make([]uint64, groups), make([]uint64, groups)
	most := uint64(0)
	for at := 0; at < len(order); {
		group := g.group[order[at]]
		for ; at < len(order) && g.group[order[at]] == group; at++ {
			v := order[at]
			if int(v) < len(g.m.Funcs) { // what a type leads to is counted itself
				frame[group] = max(frame[group], uint64(g.frames[v]))
			}
			for _, to := range edges[v] {
				if g.group[to] != group {
					below[group] = max(below[group], below[g.group[to]]+frame[g.group[to]])
				}
			}
		}
		most = max(most, below[group]+frame[group])
	}
	return most
}
