import type { Tone } from '../../ui/Badge.svelte'

/** What becomes, or became, of a letter: its colour, its word, and the verb of a sentence about several. */
export const outcomes: Record<string, [Tone, string, string]> = {
	matches: ['ok', 'matches', 'would be delivered'],
	no_match: ['quiet', 'does not match', 'do not match any more: nothing is to be delivered'],
	fails: ['bad', 'still fails', 'still fail'],
	no_rule: ['warn', 'no rule', 'are of rules that are gone'],
	delivered: ['info', 'delivered already', 'were delivered by other rules, in their place'],
	unknown: ['warn', 'not known', 'may have been delivered by other rules: an older cdcd did not note it'],
	settled: ['quiet', 'settled before', 'were settled by an earlier job'],
	discarded: ['quiet', 'given up', 'are given up'],
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
