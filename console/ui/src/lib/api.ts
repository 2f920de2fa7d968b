// The client of /api/v1. Answers come in the envelope that the command line writes, too:
// {"kind":"rules.check","ok":true,"result":{…},"error":null}.

/** What went wrong, in the words of cdcd. */
export class ApiError extends Error {
	readonly status: number // of HTTP; 0: there was no answer
	readonly code: string // CDCD-nnnn, or ''
	readonly fix: string
	readonly body: unknown // of the error, with what else it says

	constructor(status: number, message: string, code = '', fix = '', body: unknown = null) {
		super(message)
		this.status = status
		this.code = code
		this.fix = fix
		this.body = body
	}

	/** Nobody answered: cdcd is not running, or the network is gone. */
	get unreachable(): boolean {
		return this.status === 0
	}
}

interface Envelope<T> {
	kind: string
	ok: boolean
	result: T | null
	error: { code?: string; message: string; fix?: string } | null
}

export type Params = Record<string, string | number | boolean | string[] | undefined>

/** The path of an endpoint with its query; what is empty is left out, of a list each has its name. */
export function address(path: string, params: Params = {}): string {
	const query = new URLSearchParams()
	for (const [name, value] of Object.entries(params)) {
		if (Array.isArray(value)) {
			value.forEach((v) => query.append(name, v))
		} else if (value !== undefined && value !== '') {
			query.set(name, String(value))
		}
	}
	const text = query.toString()
	return `/api/v1${path}${text && '?' + text}`
}

/** Called when the server no longer knows who asks. */
let onUnauthorized = () => {}
export function whenUnauthorized(f: () => void): void {
	onUnauthorized = f
}

async function call<T>(method: string, path: string, params?: Params, body?: unknown, signal?: AbortSignal): Promise<T> {
	let response: Response
	try {
		response = await fetch(address(path, params), {
			method,
			signal: signal ?? null,
			headers:
				body === undefined ? { accept: 'application/json' } : { accept: 'application/json', 'content-type': 'application/json' },
			body: body === undefined ? null : JSON.stringify(body),
		})
	} catch (e) {
		if (signal?.aborted) {
			throw e
		}
		throw new ApiError(0, 'cdcd does not answer', '', 'see that it is running, and that this machine reaches it')
	}
	return answer<T>(response)
}

/** The result in a response, or the error that it is. */
export async function answer<T>(response: Response): Promise<T> {
	const text = await response.text()
	let envelope: Envelope<T> | null = null
	try {
		envelope = JSON.parse(text) as Envelope<T>
	} catch {
		// Not ours: a proxy in between, say. The status tells the rest.
	}
	if (response.status === 401) {
		onUnauthorized()
	}
	// A verdict that is negative is an answer, too: ok is false then, and there is no error.
	if (response.ok && envelope && !envelope.error) {
		return envelope.result as T
	}
	const error = envelope?.error
	const message = error?.message ?? `the server answered ${response.status} ${response.statusText}`.trim()
	throw new ApiError(response.status, message, error?.code, error?.fix, error)
}

export const api = {
	get: <T>(path: string, params?: Params, signal?: AbortSignal) => call<T>('GET', path, params, undefined, signal),
	post: <T>(path: string, body: unknown, signal?: AbortSignal) => call<T>('POST', path, undefined, body, signal),
	put: <T>(path: string, body: unknown, signal?: AbortSignal) => call<T>('PUT', path, undefined, body, signal),
	delete: <T>(path: string, body?: unknown) => call<T>('DELETE', path, undefined, body),
}
