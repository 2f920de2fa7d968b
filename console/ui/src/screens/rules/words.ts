// The words of rules, where several screens of them use the same.
import type { Tone } from '../../ui/Badge.svelte'
import type { RuleMode } from '../../lib/types'

export const modes: Record<RuleMode, { tone: Tone; about: string }> = {
	active: { tone: 'ok', about: 'Judges changes, and delivers those that match.' },
	shadow: { tone: 'violet', about: 'Judges and counts, and delivers nothing.' },
	draft: { tone: 'quiet', about: 'Kept, and not judged.' },
	off: { tone: 'quiet', about: 'Not judged, until it is switched on again.' },
}

export const outcomes: Record<string, { sign: string; tone: Tone; word: string }> = {
	match: { sign: '✓', tone: 'ok', word: 'matches' },
	no_match: { sign: '✗', tone: 'quiet', word: 'does not match' },
	error: { sign: '⚠', tone: 'bad', word: 'cannot be judged' },
	undecided: { sign: '?', tone: 'warn', word: 'undecided' },
	other_table: { sign: '–', tone: 'quiet', word: 'is of another table' },
	other_op: { sign: '–', tone: 'quiet', word: 'is another operation' },
}

/** Where a rule is: /rules/name, /rules/name/publish. */
export function ruleHref(name: string, view = '', author = ''): string {
	return `/rules/${encodeURIComponent(name)}${view && '/' + view}${author && '?author=' + encodeURIComponent(author)}`
}

export const nameOK = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** What a button says that mends something. */
export function fixName(suggestion: string | undefined): string {
	return suggestion?.replace(/^did you mean ('[^']+').*$/s, 'Use $1') || 'Fix'
}

/** A new rule: a draft is judged here, and whether it delivers is chosen when it is published. */
export function firstText(name: string, table: string): string {
	return `  - name: ${name}\n    tables: [${table}]\n    on: [insert, update]\n    when: |\n      true\n    mode: draft\n`
}
