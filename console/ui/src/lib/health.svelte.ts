// How everything is. The shell listens for as long as the console is open, so that every screen knows.
import { api } from './api'
import { resource, type Resource } from './resource.svelte'
import { subscribe } from './stream.svelte'
import type { Overview } from './types'

let overview: Resource<Overview> | undefined

/** Call it once, while the shell is made. */
export function watchHealth(): void {
	const mine = resource((signal) => api.get<Overview>('/overview', {}, signal))
	overview = mine
	$effect(() =>
		subscribe({ topics: ['overview'], params: {}, on: { overview: (data) => mine.set(JSON.parse(data) as Overview) } }),
	)
}

export function health(): Resource<Overview> {
	return overview!
}
