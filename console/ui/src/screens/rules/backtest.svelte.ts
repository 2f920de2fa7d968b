// Back-tests run in cdcd; here they are followed.
import { api, ApiError } from '../../lib/api'
import type { Backtest, Backtests } from '../../lib/types'
import { asError, type Draft } from './draft.svelte'

export const ranges = [
	{ id: '1h', title: 'Last hour', hours: 1 },
	{ id: '24h', title: '24 hours', hours: 24 },
	{ id: '7d', title: '7 days', hours: 7 * 24 },
	{ id: 'all', title: 'All that is kept', hours: 0 },
] as const

export const runs = (b: Backtest | undefined) => b?.state === 'waiting' || b?.state === 'running'

/** It has judged by the condition that the draft has now. */
export function fits(b: Backtest, d: Draft): boolean {
	return d.checked?.asks !== undefined && b.asks.includes(d.checked.asks)
}

export async function start(d: Draft, from: string, to: string): Promise<Backtest> {
	return api.post<Backtest>('/backtests', {
		texts: [d.text],
		...(from ? { from } : {}),
		...(to ? { to } : {}),
		examples: 20,
	})
}

export function since(range: string, now = Date.now()): string {
	const hours = ranges.find((r) => r.id === range)?.hours ?? 0
	return hours ? new Date(now - hours * 3600_000).toISOString() : ''
}

/** Those of a rule, the newest first. */
export async function earlier(name: string): Promise<Backtest[]> {
	const list = await api.get<Backtests>('/backtests')
	return list.backtests.filter((b) => b.rules.includes(name))
}

/** One that is asked for again until it has ended. Call it while a component is made. */
export function follow(id: () => string): {
	readonly job: Backtest | undefined
	readonly error: ApiError | undefined
	set(b: Backtest): void
} {
	let job = $state.raw<Backtest>()
	let error = $state.raw<ApiError>()
	$effect(() => {
		const wanted = id()
		error = undefined
		if (!wanted) {
			job = undefined
			return
		}
		let timer: ReturnType<typeof setTimeout>
		const gone = new AbortController()
		const ask = () => {
			api.get<Backtest>(`/backtests/${encodeURIComponent(wanted)}`, {}, gone.signal).then(
				(b) => {
					;[job, error] = [b, undefined]
					if (runs(b)) {
						timer = setTimeout(ask, 350)
					}
				},
				(e: unknown) => {
					if (!gone.signal.aborted) {
						error = asError(e)
						if (error.unreachable) {
							timer = setTimeout(ask, 2000)
						}
					}
				},
			)
		}
		ask()
		return () => {
			clearTimeout(timer)
			gone.abort()
		}
	})
	return {
		get job() {
			return job
		},
		get error() {
			return error
		},
		set: (b) => (job = b),
	}
}
