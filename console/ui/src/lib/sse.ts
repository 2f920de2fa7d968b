// Server-sent events, read from a fetch: unlike an EventSource, that can say where to go on, and hears why it is refused.

export interface Message {
	event: string
	data: string
	id: string // of the last message that had one
}

/** Takes the text as it comes, in any pieces, and calls `on` for each whole message. */
export class SSEParser {
	#rest = ''
	#event = ''
	#data: string[] = []
	#id = ''
	#on: (m: Message) => void

	constructor(on: (m: Message) => void) {
		this.#on = on
	}

	feed(text: string): void {
		const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/)
		this.#rest = lines.pop()!
		for (const line of lines) {
			this.#line(line)
		}
	}

	#line(line: string): void {
		if (line === '') {
			if (this.#data.length > 0) {
				this.#on({ event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id })
			}
			this.#event = ''
			this.#data = []
			return
		}
		const colon = line.indexOf(':')
		const field = colon < 0 ? line : line.slice(0, colon)
		const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
		switch (field) {
			case 'event':
				this.#event = value
				break
			case 'data':
				this.#data.push(value)
				break
			case 'id':
				this.#id = value
		}
	}
}
