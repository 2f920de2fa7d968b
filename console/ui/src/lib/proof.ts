// Checks, in the browser, what the audit log proves: that an entry is in the log that its key has signed, and that a record is in
// the object of that entry. It asks nobody: what it computes with is the proof, the key, and the SHA-256 and Ed25519 of the
// browser. Proofs are as C2SP's tlog-proof has them, trees as RFC 6962; package proof of cdcd does the same.
import { member, parse, show, type Value } from './lossless'

/** A proof as it is written. Nothing of it is known to be true. */
export interface Proof {
	index: bigint
	path: Uint8Array[]
	checkpoint: string // signed
	leaf: string // its exact bytes
	record: { index: bigint; path: Uint8Array[] } | undefined
}

/** One hash on the way to a root. */
export interface Fold {
	side: 'left' | 'right' // where the other one stands
	sibling: string
	hash: string // of both
}

export interface Step {
	id: 'record' | 'object' | 'leaf' | 'path' | 'root' | 'signature'
	title: string
	state: 'ok' | 'bad' | 'unknown'
	text: string
	hash?: string
	folds?: Fold[]
}

export interface Verdict {
	ok: boolean // nothing is wrong
	whole: boolean // and everything could be checked
	steps: Step[]
	origin: string
	size: bigint
	root: string
	at: string // when, RFC 3339
}

const header = 'c2sp.org/tlog-proof@v1'

/** Reads a proof; it throws an Error that says what is wrong with it. */
export function parseProof(file: string): Proof {
	const cut = file.indexOf('\n\n')
	const lines = file.slice(0, Math.max(cut, 0)).split('\n')
	if (cut < 0 || lines[0] !== header) {
		throw new Error(`it is not a proof: it does not begin with ${header}, or is cut off`)
	}
	const [, extra = '', index = '', ...path] = lines
	if (!extra.startsWith('extra ') || !/^index (0|[1-9]\d*)$/.test(index)) {
		throw new Error('it is not a whole proof: its line extra or index is missing')
	}
	const more = parse(new TextDecoder().decode(base64(extra.slice(6))))
	const leaf = member(more, 'leaf')
	if (typeof leaf !== 'string' || leaf === '') {
		throw new Error('it has no entry in it')
	}
	const record = member(more, 'record')
	return {
		index: BigInt(index.slice(6)),
		path: path.map(hashOf),
		checkpoint: file.slice(cut + 2),
		leaf,
		record: record instanceof Map ? { index: whole(record.get('index')), path: list(record.get('path')) } : undefined,
	}
}

/** A path in JSON. */
function list(v: Value | undefined): Uint8Array[] {
	return (Array.isArray(v) ? v : []).map((h) => hashOf(show(h)))
}

function whole(v: Value | undefined): bigint {
	return BigInt(show(v))
}

function hashOf(text: string): Uint8Array {
	const raw = base64(text)
	if (raw.length !== 32) {
		throw new Error(`${text.slice(0, 50)} is not a hash`)
	}
	return raw
}

/**
 * Checks a proof, step by step. Each step is there even when one before it is wrong. record is the exact bytes of the record that
 * the proof is of, and object the exact bytes of the object, where they are at hand.
 */
export async function checkProof(
	p: Proof,
	key: string,
	have: { record?: Uint8Array; object?: Uint8Array } = {},
): Promise<Verdict> {
	const steps: Step[] = []
	const add = (s: Step) => void steps.push(s)
	const leaf = parse(p.leaf)
	const object = member(leaf, 'object')

	if (p.record && have.record !== undefined) {
		const records = whole(member(object, 'records'))
		const wanted = show(member(object, 'records_root'))
		const first = await leafHash(have.record)
		const way = await fold(first, p.record.index, records, p.record.path)
		const good = way.complete && hex(way.root) === wanted
		add({
			id: 'record',
			title: 'The record is in the object',
			state: good ? 'ok' : 'bad',
			text: good
				? `Its bytes lead, over ${hashes(way.folds.length)}, to the root over all ${records} records of the object: it is record ${p.record.index + 1n}, byte for byte.`
				: `Its bytes do not lead to the root that the entry has over the object’s records: this is not record ${p.record.index + 1n} as it was delivered.`,
			hash: hex(first),
			folds: way.folds,
		})
	}
	if (have.object) {
		const sum = hex(await sha256(have.object))
		const good = sum === show(member(object, 'sha256'))
		add({
			id: 'object',
			title: 'The object is the one that was logged',
			state: good ? 'ok' : 'bad',
			text: good
				? 'The SHA-256 of its bytes is the one in the entry.'
				: 'The SHA-256 of its bytes is another one than in the entry.',
			hash: sum,
		})
	}

	const note = parseCheckpoint(p.checkpoint)
	const first = await leafHash(new TextEncoder().encode(p.leaf))
	add({
		id: 'leaf',
		title: 'The entry has a hash',
		state: 'ok',
		text: `SHA-256 of a zero byte and the ${new TextEncoder().encode(p.leaf).length} bytes of entry ${p.index}.`,
		hash: hex(first),
	})
	const way = await fold(first, p.index, note.size, p.path)
	add({
		id: 'path',
		title: 'Its path leads to a root',
		state: way.complete ? 'ok' : 'bad',
		text: way.complete
			? `${hashes(way.folds.length)} from entry ${p.index} to the root over the first ${note.size} entries.`
			: `The path has ${p.path.length} hashes, which is not as many as lead from entry ${p.index} to the root over ${note.size}.`,
		hash: hex(way.root),
		folds: way.folds,
	})
	const same = way.complete && hex(way.root) === hex(note.root)
	add({
		id: 'root',
		title: 'It is the root of the checkpoint',
		state: same ? 'ok' : 'bad',
		text: same
			? `The checkpoint of ${note.origin} at ${note.size} entries has the same root: the entry is in the log.`
			: `The checkpoint of ${note.origin} at ${note.size} entries has another root: the entry is not in this log as it is shown here.`,
		hash: hex(note.root),
	})
	add(await signature(note, key))

	return {
		ok: steps.every((s) => s.state !== 'bad'),
		whole: steps.every((s) => s.state === 'ok'),
		steps,
		origin: note.origin,
		size: note.size,
		root: hex(note.root),
		at: new Date().toISOString(),
	}
}

const hashes = (n: number) => (n === 1 ? '1 hash' : `${n} hashes`)

/** Whether the browser lets this page compute hashes: on https and on the machine itself. */
export function canCheck(): boolean {
	return globalThis.crypto?.subtle !== undefined
}

/** Goes from a leaf to the root of a tree of this size, as RFC 9162 (2.1.3.2) says. */
async function fold(leaf: Uint8Array, index: bigint, size: bigint, path: Uint8Array[]) {
	let [at, last, root] = [index, size - 1n, leaf]
	const folds: Fold[] = []
	let complete = index < size
	for (const sibling of path) {
		if (last === 0n) {
			complete = false
			break
		}
		const left = (at & 1n) === 1n || at === last
		root = left ? await nodeHash(sibling, root) : await nodeHash(root, sibling)
		folds.push({ side: left ? 'left' : 'right', sibling: hex(sibling), hash: hex(root) })
		if (left) {
			while (at !== 0n && (at & 1n) === 0n) {
				at >>= 1n
				last >>= 1n
			}
		}
		at >>= 1n
		last >>= 1n
	}
	return { root, folds, complete: complete && last === 0n }
}

interface Note {
	text: string // that is signed
	origin: string
	size: bigint
	root: Uint8Array
	signatures: { name: string; raw: Uint8Array }[]
}

function parseCheckpoint(signed: string): Note {
	const cut = signed.indexOf('\n\n')
	const text = signed.slice(0, cut + 1)
	const [origin = '', size = '', root = ''] = text.split('\n')
	if (cut < 0 || origin === '' || !/^(0|[1-9]\d*)$/.test(size)) {
		throw new Error('its checkpoint is not a signed note of three lines')
	}
	const signatures = signed
		.slice(cut + 2)
		.split('\n')
		.filter((line) => line.startsWith('— '))
		.map((line) => {
			const [name = '', sig = ''] = line.slice(2).split(' ')
			return { name, raw: base64(sig) }
		})
	return { text, origin, size: BigInt(size), root: hashOf(root), signatures }
}

/** Whether the log itself has signed its checkpoint. */
async function signature(note: Note, key: string): Promise<Step> {
	const step = { id: 'signature', title: 'The log has signed the checkpoint' } as const
	const [name = '', id = '', ...rest] = key.trim().split('+')
	let material: Uint8Array
	try {
		material = base64(rest.join('+'))
	} catch {
		material = new Uint8Array()
	}
	const sum = await sha256(concat(new TextEncoder().encode(name + '\n'), material))
	if (material.length !== 33 || material[0] !== 1 || hex(sum.slice(0, 4)) !== id) {
		return { ...step, state: 'bad', text: 'The public key is not one of Ed25519, or not whole.' }
	}
	if (name !== note.origin) {
		return { ...step, state: 'bad', text: `The checkpoint is of ${note.origin}, the key is of ${name}.` }
	}
	const mine = note.signatures.find((s) => s.name === name && hex(s.raw.slice(0, 4)) === id)
	if (!mine) {
		return { ...step, state: 'bad', text: `The checkpoint has no signature of ${name}.` }
	}
	let good: boolean
	try {
		const k = await crypto.subtle.importKey('raw', buffer(material.slice(1)), 'Ed25519', false, ['verify'])
		good = await crypto.subtle.verify('Ed25519', k, buffer(mine.raw.slice(4)), new TextEncoder().encode(note.text))
	} catch {
		return {
			...step,
			state: 'unknown',
			text: 'This browser cannot verify Ed25519. cdcd audit check does, with the proof and the public key.',
		}
	}
	return {
		...step,
		state: good ? 'ok' : 'bad',
		text: good
			? `Ed25519, by the key ${name}+${id}. The key came from this server: compare it with the one that you were told.`
			: `The signature of ${name} is not valid: the checkpoint was altered.`,
	}
}

/** The hash of a leaf of a tree: of a zero byte, and its bytes. */
function leafHash(data: Uint8Array): Promise<Uint8Array> {
	return sha256(concat(Uint8Array.of(0), data))
}

function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
	return sha256(concat(Uint8Array.of(1), left, right))
}

async function sha256(data: Uint8Array): Promise<Uint8Array> {
	return new Uint8Array(await crypto.subtle.digest('SHA-256', buffer(data)))
}

/** The bytes as the browser's functions want them. */
function buffer(data: Uint8Array): ArrayBuffer {
	return data.slice().buffer as ArrayBuffer
}

function concat(...parts: Uint8Array[]): Uint8Array {
	const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
	let at = 0
	for (const p of parts) {
		all.set(p, at)
		at += p.length
	}
	return all
}

/** The bytes that a text in base64 stands for. */
export function base64(text: string): Uint8Array {
	return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
}

export function hex(raw: Uint8Array): string {
	return Array.from(raw, (b) => b.toString(16).padStart(2, '0')).join('')
}
