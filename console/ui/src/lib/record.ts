// A record as a partner got it: a line of JSON in one of the envelopes, or a row of CSV. What it says of itself is read where it
// can be; the line itself is shown in any case.
import { member, parse, show, type Value } from './lossless'

export interface Said {
	op: string
	table: string
	key: string
	rules: string[]
	before: Value | undefined
	after: Value | undefined
}

const debezium: Record<string, string> = { c: 'insert', u: 'update', d: 'delete', r: 'snapshot' }

export function readRecord(line: string): Said | undefined {
	let v: Value
	try {
		v = parse(line)
	} catch {
		return undefined
	}
	const at = (from: Value | undefined, ...path: string[]) => path.reduce((x, name) => member(x, name), from)
	const body = member(v, 'payload') ?? member(v, 'data') ?? v // Debezium with a schema, CloudEvents, cdcd
	const source = member(body, 'source')
	const table =
		show(member(body, 'table')) ||
		(source instanceof Map && source.has('table') ? `${show(source.get('db'))}.${show(source.get('table'))}` : '')
	const op = show(member(body, 'op'))
	const rules = at(body, 'rules') ?? at(body, 'cdcd', 'rules')
	const key = member(body, 'key')
	return {
		op: debezium[op] ?? op,
		table,
		key: key instanceof Map ? [...key.values()].map(show).join(', ') : '',
		rules: (Array.isArray(rules) ? rules : []).map((r) => (r instanceof Map ? show(r.get('name')) : show(r))),
		before: member(body, 'before'),
		after: member(body, 'after'),
	}
}
