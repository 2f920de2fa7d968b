// A condition that stands in no rule, such as the filter of Live. The server checks and completes rules; so it is asked about the
// smallest rule that has the condition.
import type { Check, Complete } from '../editor/types'
import { api } from './api'

interface Span {
	from: number
	to: number
}

interface Checked {
	findings: {
		code: string
		severity: 'error' | 'warning'
		message: string
		suggestion?: string
		condition?: Span & { key: string }
		edit?: Span & { text: string }
	}[]
}

type Completed = Awaited<ReturnType<Complete>>

const body = (when: string, tables: string[]) => ({
	text: '- name: filter\n  tables: ["*.*"]\n  when: "true"\n  to: [filter]\n',
	set: { when, ...(tables.length > 0 ? { tables } : {}) },
})

/** Findings of the condition, with offsets in it. */
export function checkCondition(tables: () => string[]): Check {
	return async (when) => {
		if (when.trim() === '') {
			return []
		}
		const { findings } = await api.post<Checked>('/rules/check', body(when, tables()))
		return findings
			.filter((f) => f.condition?.key === 'when')
			.map((f) => ({
				code: f.code,
				severity: f.severity,
				message: f.message,
				suggestion: f.suggestion ?? '',
				from: f.condition!.from,
				to: f.condition!.to,
				edits: f.edit ? [f.edit] : [],
			}))
	}
}

export function completeCondition(tables: () => string[]): Complete {
	return (when, at) => api.post<Completed>('/rules/complete', { ...body(when, tables()), key: 'when', at })
}
