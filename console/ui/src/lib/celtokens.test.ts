import { expect, test } from 'vitest'
import { celTokens } from './celtokens'

const kinds = (text: string) =>
	celTokens(text)
		.filter((t) => t.kind)
		.map((t) => `${t.kind} ${t.text}`)

test.each([
	['', []],
	["after.status == 'paid'", ['name after', 'column status', 'operator ==', "text 'paid'"]],
	["changed('a') && !true", ['function changed', "text 'a'", 'operator &&', 'operator !', 'word true']],
	['row.total >= 1e3 // big', ['name row', 'column total', 'operator >=', 'number 1e3', 'comment // big']],
])('%s', (text, want) => expect(kinds(text)).toEqual(want))

test('nothing of the text is lost', () => {
	const text = "after.`order-id` in [1, 2u] ? size(x) : '😀 \\' ' + b\"\\x00\"\n  && ~"
	expect(
		celTokens(text)
			.map((t) => t.text)
			.join(''),
	).toBe(text)
})
