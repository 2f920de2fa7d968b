import { expect, test } from 'vitest'
import { mistakes } from './condition'
import type { CheckedRule } from './types'

type Found = CheckedRule['findings'][number]

const finding = (code: string, message: string, more: Partial<Found> = {}): Found => ({
	code,
	severity: 'error',
	message,
	docs: '',
	line: 3,
	from: 46,
	to: 52,
	condition: { key: 'when', from: 6, to: 12 },
	...more,
})
const two = ['shop.customers', 'shop.orders']

test.each<[string, Pick<CheckedRule, 'findings' | 'tables'>, string[], string[]]>([
	[
		'an image that some operations lack is none',
		{ tables: two, findings: [finding('CDCD-2110', "'after' is empty on delete")] },
		[],
		[],
	],
	[
		'of one operation it is',
		{ tables: two, findings: [finding('CDCD-2110', "'after' is empty on delete")] },
		['delete'],
		["'after' is empty on delete"],
	],
	[
		'a column that some tables lack is none',
		{ tables: two, findings: [finding('CDCD-2104', "customers has no column 'status'")] },
		[],
		[],
	],
	[
		'one that all lack is, and is said once, with what mends it',
		{
			tables: two,
			findings: [
				finding('CDCD-2104', "customers has no column 'totl'"),
				finding('CDCD-2104', "orders has no column 'totl'", { edit: { key: 'when', from: 9, to: 9, text: 'a' } }),
			],
		},
		[],
		["orders has no column 'totl'"],
	],
	[
		'what is not about the condition is none',
		{ tables: two, findings: [{ ...finding('CDCD-2103', 'no feed'), condition: undefined } as unknown as Found] },
		[],
		[],
	],
])('of a filter: %s', (_, checked, ops, want) =>
	expect(mistakes(checked, { tables: [], ops }).map((f) => f.message)).toEqual(want),
)
