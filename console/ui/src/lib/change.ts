// A change as the console shows it: its line is read once, without losing digits.
import { member, parse, same, show, type Members, type Value } from './lossless'
import type { ChangeEvent } from './types'

export interface Change {
	key: Members
	before: Members | null
	after: Members | null
	line: Value
}

const read = new WeakMap<ChangeEvent, Change>()

export function changeOf(e: ChangeEvent): Change {
	let c = read.get(e)
	if (!c) {
		const line = parse(e.line)
		const map = (name: string) => {
			const v = member(line, name)
			return v instanceof Map ? v : null
		}
		c = { line, key: map('key') ?? new Map(), before: map('before'), after: map('after') }
		read.set(e, c)
	}
	return c
}

export function keyText(e: ChangeEvent): string {
	return [...changeOf(e).key.values()].map(show).join(', ')
}

export interface Piece {
	name: string
	was?: string
	is?: string
}

/** The columns that say most about a change in little room: those that changed, or else those after the key. */
export function pieces(e: ChangeEvent, most = 6): Piece[] {
	const { key, before, after } = changeOf(e)
	if (before && after) {
		const names = [...new Set([...after.keys(), ...before.keys()])].filter((n) => !same(before.get(n), after.get(n)))
		return names.slice(0, most).map((name) => ({ name, was: show(before.get(name)), is: show(after.get(name)) }))
	}
	const row = after ?? before ?? new Map<string, Value>()
	return [...row]
		.filter(([name]) => !key.has(name))
		.slice(0, most)
		.map(([name, v]) => (after ? { name, is: show(v) } : { name, was: show(v) }))
}
