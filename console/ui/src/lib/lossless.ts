// JSON that keeps every digit. JSON.parse makes a float64 of a BIGINT or a DECIMAL and loses what does not fit; here a number
// stays the text that was sent. The console shows values and compares them; it never calculates with them.

/** A number, as its text. */
export class Num {
	readonly text: string
	constructor(text: string) {
		this.text = text
	}
	toString(): string {
		return this.text
	}
}

export type Value = null | boolean | string | Num | Value[] | Members

/** The members of an object, in the order in which they were sent. */
export type Members = Map<string, Value>

export function parse(text: string): Value {
	const parser = new Parser(text)
	const value = parser.value()
	parser.end()
	return value
}

/** The text of a value, on one line or indented. */
export function format(v: Value, indent = '', depth = 0): string {
	const [open, sep, close] = indent
		? ['\n' + indent.repeat(depth + 1), ',\n' + indent.repeat(depth + 1), '\n' + indent.repeat(depth)]
		: ['', ',', '']
	if (Array.isArray(v)) {
		return v.length === 0 ? '[]' : `[${open}${v.map((e) => format(e, indent, depth + 1)).join(sep)}${close}]`
	}
	if (v instanceof Map) {
		const member = ([k, e]: [string, Value]) => `${JSON.stringify(k)}:${indent && ' '}${format(e, indent, depth + 1)}`
		return v.size === 0 ? '{}' : `{${open}${[...v].map(member).join(sep)}${close}}`
	}
	return v instanceof Num ? v.text : JSON.stringify(v)
}

/** How a value is shown in a cell: strings without quotes. */
export function show(v: Value | undefined): string {
	return typeof v === 'string' ? v : v === undefined ? '' : format(v)
}

export function same(a: Value | undefined, b: Value | undefined): boolean {
	if (a === undefined || b === undefined) {
		return a === b
	}
	return format(a) === format(b)
}

export function member(v: Value | undefined, name: string): Value | undefined {
	return v instanceof Map ? v.get(name) : undefined
}

const numberAt = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const spaceAt = /[ \t\n\r]*/y
const stringAt = /"(?:[^"\\\u0000-\u001f]|\\.)*"/y

class Parser {
	#text: string
	#at = 0

	constructor(text: string) {
		this.#text = text
	}

	value(): Value {
		this.#space()
		switch (this.#text[this.#at]) {
			case '{':
				return this.#object()
			case '[':
				return this.#array()
			case '"':
				return this.#string()
			case 't':
				return this.#word('true', true)
			case 'f':
				return this.#word('false', false)
			case 'n':
				return this.#word('null', null)
		}
		return new Num(this.#match(numberAt, 'a value'))
	}

	end(): void {
		this.#space()
		if (this.#at < this.#text.length) {
			this.#fail('the end')
		}
	}

	#object(): Members {
		const members: Members = new Map()
		this.#at++
		if (this.#next('}')) {
			return members
		}
		do {
			this.#space()
			const name = this.#string()
			if (!this.#next(':')) {
				this.#fail("':'")
			}
			members.set(name, this.value())
		} while (this.#next(','))
		if (!this.#next('}')) {
			this.#fail("',' or '}'")
		}
		return members
	}

	#array(): Value[] {
		const items: Value[] = []
		this.#at++
		if (this.#next(']')) {
			return items
		}
		do {
			items.push(this.value())
		} while (this.#next(','))
		if (!this.#next(']')) {
			this.#fail("',' or ']'")
		}
		return items
	}

	#string(): string {
		return JSON.parse(this.#match(stringAt, 'a string')) as string
	}

	#word<T>(word: string, value: T): T {
		if (!this.#text.startsWith(word, this.#at)) {
			this.#fail('a value')
		}
		this.#at += word.length
		return value
	}

	#match(what: RegExp, name: string): string {
		what.lastIndex = this.#at
		const found = what.exec(this.#text)
		if (!found) {
			return this.#fail(name)
		}
		this.#at = what.lastIndex
		return found[0]
	}

	#space(): void {
		spaceAt.lastIndex = this.#at
		spaceAt.exec(this.#text)
		this.#at = spaceAt.lastIndex
	}

	/** Skips space and takes the character if it is the next one. */
	#next(c: string): boolean {
		this.#space()
		if (this.#text[this.#at] !== c) {
			return false
		}
		this.#at++
		return true
	}

	#fail(expected: string): never {
		throw new SyntaxError(`not JSON: ${expected} is expected at ${this.#at}`)
	}
}
