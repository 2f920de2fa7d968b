// CEL for CodeMirror: its grammar, and how its parts look.
import { LanguageSupport, LRLanguage } from '@codemirror/language'
import { styleTags, tags as t } from '@lezer/highlight'
import { parser } from './cel.grammar'

export const celLanguage = LRLanguage.define({
	name: 'cel',
	parser: parser.configure({
		props: [
			styleTags({
				'FunctionName/Identifier MethodName': t.function(t.variableName),
				Identifier: t.variableName,
				PropertyName: t.propertyName,
				Number: t.number,
				'String Bytes': t.string,
				'Boolean Null in': t.keyword,
				'CompareOp LogicOp ArithOp Minus Not "?"': t.operator,
				LineComment: t.comment,
			}),
		],
	}),
	languageData: { closeBrackets: { brackets: ['(', '[', '{', '"', "'"] }, commentTokens: { line: '//' } },
})

export function cel(): LanguageSupport {
	return new LanguageSupport(celLanguage)
}
