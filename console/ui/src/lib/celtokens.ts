// The tokens of a condition, for showing one outside of the editor.

export interface Token {
	text: string
	kind: '' | 'name' | 'column' | 'function' | 'text' | 'number' | 'word' | 'operator' | 'comment'
}

const token =
	/(\/\/[^\n]*)|([rRbB]{0,2}(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))|(0x[0-9a-fA-F]+u?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?u?)|(\.?\s*[A-Za-z_]\w*)(\s*\()?|([=!<>&|+*/%?:!-]+)/g

export function celTokens(source: string): Token[] {
	const out: Token[] = []
	let at = 0
	const add = (text: string, kind: Token['kind']) => {
		if (text) {
			out.push({ text, kind })
		}
	}
	for (const m of source.matchAll(token)) {
		add(source.slice(at, m.index), '')
		const [, comment, string, number, name, call, operator] = m
		if (comment) {
			add(comment, 'comment')
		} else if (string) {
			add(string, 'text')
		} else if (number) {
			add(number, 'number')
		} else if (name) {
			const word = name.replace(/^[.\s]+/, '')
			add(name.slice(0, name.length - word.length), '')
			add(word, call ? 'function' : /^(true|false|null|in)$/.test(word) ? 'word' : name.startsWith('.') ? 'column' : 'name')
			add(call ?? '', '')
		} else {
			add(operator!, 'operator')
		}
		at = m.index + m[0].length
	}
	add(source.slice(at), '')
	return out
}
