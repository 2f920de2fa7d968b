import { untrack } from 'svelte'
import { ApiError } from './api'

/** Something that is asked of the server, and asked again when what it depends on changes. */
export interface Resource<T> {
	readonly data: T | undefined // the last answer; it stays while it is asked for again
	readonly error: ApiError | undefined
	readonly loading: boolean
	reload(): void
	/** Puts an answer that is known by other means, such as that of a change. */
	set(data: T): void
}

/**
 * Call it while a component is made. What `ask` reads before its first await makes it ask again; undefined means that there
 * is nothing to ask for now. With `keep` false, the last answer goes when it asks for something else.
 */
export function resource<T>(ask: (signal: AbortSignal) => Promise<T> | undefined, keep = true): Resource<T> {
	let data = $state.raw<T>()
	let error = $state.raw<ApiError>()
	let loading = $state(false)
	let again = $state(0)
	let answered = -1

	$effect(() => {
		const turn = again
		const gone = new AbortController()
		const answer = ask(gone.signal)
		untrack(() => {
			if (!answer || (!keep && turn === answered)) {
				data = undefined
			}
			answered = turn
			loading = answer !== undefined
			error = answer ? error : undefined
		})
		answer?.then(
			(d) => {
				if (!gone.signal.aborted) {
					;[data, error, loading] = [d, undefined, false]
				}
			},
			(e: unknown) => {
				if (!gone.signal.aborted) {
					;[error, loading] = [e instanceof ApiError ? e : new ApiError(0, String(e)), false]
				}
			},
		)
		return () => gone.abort()
	})

	return {
		get data() {
			return data
		},
		get error() {
			return error
		},
		get loading() {
			return loading
		},
		reload: () => void again++,
		set: (d) => {
			;[data, error] = [d, undefined]
		},
	}
}
