import type { Tone } from '../../ui/Badge.svelte'

/** What becomes, or became, of a letter: its colour, its word, and what that means. */
export const outcomes: Record<string, [Tone, string, string]> = {
	matches: ['ok', 'matches', 'for delivery'],
	no_match: ['quiet', 'does not match', 'not for delivery by the rules of now'],
	fails: ['bad', 'still fails', 'cannot be judged yet'],
	no_rule: ['warn', 'no rule', 'of rules that are gone'],
	delivered: ['info', 'delivered already', 'by other rules, in their place'],
	unknown: ['warn', 'not known', 'kept by an older cdcd, which did not note whether other rules had it delivered'],
	settled: ['quiet', 'settled before', 'by an earlier job'],
	discarded: ['quiet', 'given up', 'nothing is delivered of them'],
}

/** In which state a letter is. */
export const states: Record<string, [Tone, string]> = {
	open: ['warn', 'open'],
	redriven: ['ok', 'redriven'],
	no_match: ['quiet', 'does not match'],
	discarded: ['quiet', 'discarded'],
}

export const verbs = {
	retest: { title: 'Re-test', doing: 'Judging again', done: 'Judged again, without effect' },
	redrive: { title: 'Redrive', doing: 'Delivering', done: 'Delivered after all' },
	discard: { title: 'Discard', doing: 'Giving up', done: 'Given up' },
} as const

export type Verb = keyof typeof verbs

/** An error without its code, which is shown beside it. */
export function message(error: string, code: string | undefined): string {
	return code && error.startsWith(code + ': ') ? error.slice(code.length + 2) : error
}
