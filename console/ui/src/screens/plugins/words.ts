import { short } from '../../lib/format'
import type { Plugin } from '../../lib/types'
import type { Tone } from '../../ui/Badge.svelte'

export const states: Record<Plugin['state'], [Tone, string]> = {
	running: ['ok', 'It is asked about changes'],
	ready: ['info', 'Rules name it, and it is loaded'],
	quarantined: ['bad', 'It failed too often and is not asked any more; the fallback of its rules holds'],
	unused: ['quiet', 'It is in the folder of plugins, and no rule names it'],
	wrong: ['bad', 'It cannot be used'],
}

/** Nanoseconds as people say them. */
export function time(ns: number): string {
	return ns < 1000
		? `${Math.round(ns)} ns`
		: ns < 1e6
			? `${short(Math.round(ns / 100) / 10)} µs`
			: ns < 1e9
				? `${short(Math.round(ns / 1e5) / 10)} ms`
				: `${short(Math.round(ns / 1e8) / 10)} s`
}

/** Errors of changes that were judged, in percent. */
export function failing(p: Plugin): number {
	return p.stats && p.stats.events > 0 ? p.stats.errors / p.stats.events : 0
}

export const idOf = (p: Plugin) => `${p.plugin}@${p.digest.replace('sha256:', '').slice(0, 12)}`
