import { expect, test } from 'vitest'
import { celLanguage } from './cel'

/** The names of the nodes that are errors, and where they are. */
function errors(text: string): number[] {
	const found: number[] = []
	celLanguage.parser.parse(text).iterate({
		enter: (n) => {
			if (n.type.isError) {
				found.push(n.from)
			}
		},
	})
	return found
}

test.each([
	'',
	'op == "update" && after.status == "paid" && before.status != "paid"',
	'after.total > 100.0 || has(after.note) ? size(after.note) > 3 : false',
	'after.items.exists(i, i.sku.startsWith("A-") && i.n in [1, 2, 3u])',
	'!(before.vip) && -after.points < 0x1F',
	'after.`order-id` == 7 // which order',
	"{'a': 1, 'b': [1, 2,]}['a'] == 1",
	'after.name == "🙂 ø" + r"\\d"',
	'duration("1h") + timestamp("2026-11-21T02:00:00Z") > now()',
])('reads %s without an error', (text) => expect(errors(text)).toEqual([]))

test.each([
	['after.total >', 13],
	['after.status = "paid"', 13],
	['(a && b', 7],
])('goes on after the mistake in %s', (text, at) => {
	const found = errors(text)
	expect(found.length).toBeGreaterThan(0)
	expect(found[0]).toBeGreaterThanOrEqual(at - 1)
})
