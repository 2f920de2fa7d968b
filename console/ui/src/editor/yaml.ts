// YAML for CodeMirror, as far as rules are written in it: keys, texts, comments. What it means is the server's to say.
import { LanguageSupport, StreamLanguage, type StringStream } from '@codemirror/language'

interface State {
	block: number // a text goes on in the lines that are indented more than this; -1: none
	depth: number // of { and [
}

export const yamlLanguage = StreamLanguage.define<State>({
	name: 'yaml',
	startState: () => ({ block: -1, depth: 0 }),
	token(stream, state) {
		if (stream.sol()) {
			if (state.block >= 0 && !/^\s*$/.test(stream.string)) {
				if (stream.indentation() > state.block) {
					stream.skipToEnd()
					return 'string'
				}
				state.block = -1
			}
		}
		if (stream.eatSpace()) {
			return null
		}
		if (stream.peek() === '#' && (stream.column() === 0 || /\s/.test(stream.string[stream.pos - 1] ?? ''))) {
			stream.skipToEnd()
			return 'comment'
		}
		if (stream.match(/^(?:[\w.-]+|"[^"]*"|'[^']*')(?=:(?:\s|$))/)) {
			return 'propertyName'
		}
		if (stream.match(/^[|>][+-]?\d?\s*(?:#.*)?$/)) {
			state.block = blockOf(stream)
			return 'operator'
		}
		if (stream.match(/^"(?:[^"\\]|\\.)*"?/) || stream.match(/^'(?:[^']|'')*'?/)) {
			return 'string'
		}
		if (stream.match(/^[[{]/)) {
			state.depth++
			return 'punctuation'
		}
		if (stream.match(/^[\]}]/)) {
			state.depth = Math.max(0, state.depth - 1)
			return 'punctuation'
		}
		if (stream.match(/^(?:[-:?](?=\s|$)|,)/)) {
			return 'punctuation'
		}
		const plain = state.depth > 0 ? /^[^,\]}#:]+|^[#:]/ : /^(?:[^#:]|:(?=\S)|#)+?(?=\s+#|$)|^./
		stream.match(plain)
		const word = stream.current().trim()
		return /^(?:true|false|null|~)$/.test(word) ? 'keyword' : /^-?\d[\d_.eE+-]*$/.test(word) ? 'number' : null
	},
	languageData: { commentTokens: { line: '#' } },
})

/** How far the key is indented whose text begins at the end of this line; what follows "- " counts as the key's. */
function blockOf(stream: StringStream): number {
	return /^(\s*(?:- )*)/.exec(stream.string)![1]!.length
}

export function yaml(): LanguageSupport {
	return new LanguageSupport(yamlLanguage)
}
