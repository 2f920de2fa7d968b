import { expect, test } from 'vitest'
import { SSEParser, type Message } from './sse'

const text =
	': hello\n\nevent: live\nid: 7\ndata: {"a":1}\n\ndata: one\ndata: two\r\n\r\nevent: empty\n\nid: 8\nevent: x\ndata:y\n\ndata: unfinished'
const messages: Message[] = [
	{ event: 'live', data: '{"a":1}', id: '7' },
	{ event: 'message', data: 'one\ntwo', id: '7' },
	{ event: 'x', data: 'y', id: '8' },
]

test.each([1, 2, 3, 7, 1000])('reads messages that come in pieces of %i', (size) => {
	const got: Message[] = []
	const parser = new SSEParser((m) => got.push(m))
	for (let i = 0; i < text.length; i += size) {
		parser.feed(text.slice(i, i + size))
	}
	expect(got).toEqual(messages)
})
