import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { checkProof, parseProof } from './proof'

// A log in memory, made as RFC 6962 defines it: from the whole list of leaves.
const sha = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
const leafHash = (text: string) => sha(Buffer.of(0), Buffer.from(text))
function split(n: number): number {
	let k = 1
	while (k * 2 < n) {
		k *= 2
	}
	return k
}
function root(leaves: string[]): Buffer {
	return leaves.length === 1
		? leafHash(leaves[0]!)
		: sha(Buffer.of(1), root(leaves.slice(0, split(leaves.length))), root(leaves.slice(split(leaves.length))))
}
function path(leaves: string[], at: number): Buffer[] {
	if (leaves.length === 1) {
		return []
	}
	const k = split(leaves.length)
	const [left, right] = [leaves.slice(0, k), leaves.slice(k)]
	return at < k ? [...path(left, at), root(right)] : [...path(right, at - k), root(left)]
}

const pair = generateKeyPairSync('ed25519')
const origin = 'cdcd/shop'
const material = Buffer.concat([Buffer.of(1), pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)])
const id = sha(Buffer.from(origin + '\n'), material).subarray(0, 4)
const key = `${origin}+${id.toString('hex')}+${material.toString('base64')}\n`

function checkpoint(size: number, hash: Buffer, by = pair.privateKey): string {
	const text = `${origin}\n${size}\n${hash.toString('base64')}\n`
	return `${text}\n— ${origin} ${Buffer.concat([id, sign(null, Buffer.from(text), by)]).toString('base64')}\n`
}

const records = ['{"n":1}', '{"n":9007199254740993}', '{"n":"ü"}', '{"n":4}', '{"n":5}']
const object = `{"type":"object","object":{"records":5,"records_root":"${root(records).toString('hex')}"}}`

/** The proof of the leaf that is at `at` of a log with `size` leaves; it is the object. */
function made(size: number, at: number, signed?: string, record = 2): string {
	const leaves = Array.from({ length: size }, (_, i) => (i === at ? object : `{"type":"note","i":${i}}`))
	const extra = { leaf: object, record: { index: record, path: path(records, record).map((h) => h.toString('base64')) } }
	return [
		'c2sp.org/tlog-proof@v1',
		`extra ${Buffer.from(JSON.stringify(extra)).toString('base64')}`,
		`index ${at}`,
		...path(leaves, at).map((h) => h.toString('base64')),
		'',
		signed ?? checkpoint(size, root(leaves)),
	].join('\n')
}

const bad = async (file: string, k = key, record = records[2]!) =>
	(await checkProof(parseProof(file), k, { record: new TextEncoder().encode(record) })).steps
		.filter((s) => s.state !== 'ok')
		.map((s) => s.id)

test('every leaf of every small log is proved', async () => {
	for (let size = 1; size <= 17; size++) {
		for (let at = 0; at < size; at++) {
			expect(await bad(made(size, at)), `${at} of ${size}`).toEqual([])
		}
	}
})

test('every record of the object is proved, with all its digits and letters', async () => {
	for (const [i, record] of records.entries()) {
		expect(await bad(made(3, 1, undefined, i), key, record)).toEqual([])
	}
})

describe('what is wrong is named', () => {
	test('a record that is another one', async () => {
		expect(await bad(made(7, 3), key, '{"n":9007199254740992}')).toEqual(['record'])
	})
	test('a record at another place', async () => {
		expect(await bad(made(7, 3, undefined, 1))).toEqual(['record'])
	})
	test('a root that was not signed', async () => {
		expect(await bad(made(7, 3, checkpoint(7, sha(Buffer.of(7)))))).toEqual(['root'])
	})
	test('a checkpoint that somebody else has signed', async () => {
		const other = generateKeyPairSync('ed25519').privateKey
		expect(await bad(made(1, 0, checkpoint(1, leafHash(object), other)))).toEqual(['signature'])
	})
	test('a checkpoint whose size was altered', async () => {
		expect(await bad(made(2, 0).replace('\n2\n', '\n3\n'))).toEqual(['path', 'root', 'signature'])
	})
	test('an entry behind the end of the log', async () => {
		expect(await bad(made(2, 1, checkpoint(1, leafHash(object))))).toEqual(['path', 'root'])
	})
	test('a path that is too long', async () => {
		const file = made(4, 2).replace('\n\n', `\n${leafHash('').toString('base64')}\n\n`)
		expect(await bad(file)).toEqual(['path', 'root'])
	})
	test('a key of another log', async () => {
		expect(await bad(made(3, 0), key.replace('cdcd/shop', 'cdcd/shot'))).toEqual(['signature'])
	})
	test('no key at all', async () => {
		expect(await bad(made(3, 0), '')).toEqual(['signature'])
	})
})

test.each(['', 'c2sp.org/tlog-proof@v1\nindex 1\n\nx', made(3, 0).replace('index 0', 'index 00'), made(3, 0).slice(0, 100)])(
	'what is no proof is refused: %#',
	(file) => {
		expect(() => parseProof(file)).toThrow(/proof|missing/)
	},
)
