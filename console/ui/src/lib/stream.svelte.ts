// The one stream of a tab. Screens subscribe to topics of it; while there is no connection, what they show stays as it is, and
// everybody can see that it does.
import { ApiError, address, answer, type Params } from './api'
import { SSEParser, type Message } from './sse'

type Handler = (data: string, m: Message) => void

interface Subscription {
	topics: string[]
	params: Params
	on: Record<string, Handler>
	/** The server did not take what was asked for: a filter that is wrong, say. */
	refused?: (e: ApiError) => void
}

const subscriptions = new Set<Subscription>()

let state = $state<'idle' | 'connecting' | 'open' | 'lost'>('idle')
let since = $state('') // when it was lost
let retryAt = $state(0)

export const connection = {
	get state() {
		return state
	},
	/** Since when nothing comes. */
	get since() {
		return since
	},
	/** When it is tried again, in milliseconds of the clock. */
	get retryAt() {
		return retryAt
	},
	retry(): void {
		attempts = 0
		schedule(0)
	},
}

/** Subscribes; the function that is returned ends it. The stream is asked for again with what is then wanted. */
export function subscribe(s: Subscription): () => void {
	subscriptions.add(s)
	lastID = '' // what comes is another selection: there is nothing to go on from
	schedule(0)
	return () => {
		subscriptions.delete(s)
		lastID = ''
		schedule(0)
	}
}

let abort: AbortController | undefined
let timer: ReturnType<typeof setTimeout> | undefined
let attempts = 0
let lastID = ''
const silence = 45_000 // the server sends something at least every 15 s

function schedule(wait: number): void {
	clearTimeout(timer)
	retryAt = Date.now() + wait
	timer = setTimeout(connect, wait)
}

function lost(e?: ApiError): void {
	if (state !== 'lost') {
		since = new Date().toISOString()
	}
	state = 'lost'
	if (e && e.status >= 400 && e.status < 500 && e.status !== 429) {
		subscriptions.forEach((s) => s.refused?.(e))
	}
	schedule(Math.min(15_000, 500 * 2 ** attempts++) * (0.8 + Math.random() * 0.4))
}

async function connect(): Promise<void> {
	abort?.abort()
	if (subscriptions.size === 0) {
		state = 'idle'
		return
	}
	const mine = (abort = new AbortController())
	if (state === 'idle') {
		state = 'connecting'
	}
	const params: Params = { topics: [...new Set([...subscriptions].flatMap((s) => s.topics))].sort().join(',') }
	subscriptions.forEach((s) => Object.assign(params, s.params))
	let watchdog: ReturnType<typeof setTimeout> | undefined
	const alive = () => {
		clearTimeout(watchdog)
		watchdog = setTimeout(() => mine.abort('silence'), silence)
	}
	try {
		alive()
		const headers: Record<string, string> = { accept: 'text/event-stream' }
		if (lastID) {
			headers['last-event-id'] = lastID
		}
		const response = await fetch(address('/stream', params), { headers, signal: mine.signal })
		if (!response.ok || !response.body) {
			await answer(response) // throws what it says
			throw new ApiError(response.status, 'the stream has no body')
		}
		state = 'open'
		attempts = 0
		const parser = new SSEParser((m) => {
			if (m.id) {
				lastID = m.id
			}
			for (const s of subscriptions) {
				s.on[m.event]?.(m.data, m)
			}
		})
		const text = response.body.pipeThrough(new TextDecoderStream()).getReader()
		for (;;) {
			const { done, value } = await text.read()
			if (done) {
				break
			}
			alive()
			if (mine !== abort) {
				return
			}
			parser.feed(value)
		}
	} catch (e) {
		if (mine === abort) {
			lost(e instanceof ApiError ? e : undefined)
		}
		return
	} finally {
		clearTimeout(watchdog)
	}
	if (mine === abort) {
		lost()
	}
}

addEventListener('online', () => state === 'lost' && connection.retry())
document.addEventListener('visibilitychange', () => !document.hidden && state === 'lost' && connection.retry())
