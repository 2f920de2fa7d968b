// A condition that stands in no rule, such as the filter of Live. The server checks and completes rules; so it is asked about the
// smallest rule that has the condition.
import type { Check, Complete, Finding } from '../editor/types'
import { api } from './api'
import type { CheckedRule, Completion } from './types'

/** What the condition may be about: none are all. */
export interface About {
	tables: string[]
	ops: string[]
}

const body = (when: string, { tables, ops }: About) => ({
	text: '- name: filter\n  tables: ["*.*"]\n  when: "true"\n  to: [filter]\n',
	set: { when, ...(tables.length > 0 ? { tables } : {}), ...(ops.length > 0 ? { on: ops } : {}) },
})

/**
 * Findings of the condition, with offsets in it. A filter passes over what it cannot be about: that a column is in some tables only, or an
 * image in some operations only, is no mistake of it.
 */
export function mistakes(checked: Pick<CheckedRule, 'findings' | 'tables'>, { ops }: About): Finding[] {
	const noColumn = (f: CheckedRule['findings'][number]) => f.code === 'CDCD-2104'
	const places = new Map<string, number>() // how many tables have no such column
	for (const f of checked.findings.filter(noColumn)) {
		places.set(`${f.from} ${f.to}`, (places.get(`${f.from} ${f.to}`) ?? 0) + 1)
	}
	const found = checked.findings
		.filter((f) => f.condition?.key === 'when')
		.filter((f) => f.code !== 'CDCD-2110' || ops.length === 1)
		.filter((f) => !noColumn(f) || places.get(`${f.from} ${f.to}`)! >= checked.tables.length)
		.map((f) => ({
			code: f.code,
			severity: f.severity,
			message: f.message,
			suggestion: f.suggestion ?? '',
			from: f.condition!.from,
			to: f.condition!.to,
			edits: f.edit ? [f.edit] : [],
		}))
	// One of a kind at a place is enough; the one that can be mended goes first.
	const best = new Map<string, Finding>()
	for (const f of found) {
		const id = `${f.code} ${f.from} ${f.to}`
		const had = best.get(id)
		if (!had || (had.edits.length === 0 && f.edits.length > 0)) {
			best.set(id, f)
		}
	}
	return [...best.values()]
}

export function checkCondition(about: () => About): Check {
	return async (when) => {
		if (when.trim() === '') {
			return []
		}
		return mistakes(await api.post<CheckedRule>('/rules/check', body(when, about())), about())
	}
}

export function completeCondition(about: () => About): Complete {
	return (when, at) => api.post<Completion>('/rules/complete', { ...body(when, about()), key: 'when', at })
}
