// The editor: a chunk of its own, which is loaded when it is first needed. CelEditor.svelte does that.
import {
	autocompletion,
	closeBrackets,
	closeBracketsKeymap,
	completionKeymap,
	type Completion,
	type CompletionResult,
} from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { forceLinting, linter, setDiagnostics, type Diagnostic } from '@codemirror/lint'
import { Compartment, EditorState, Prec, type Extension } from '@codemirror/state'
import { drawSelection, EditorView, highlightSpecialChars, keymap, lineNumbers, placeholder, tooltips } from '@codemirror/view'
import { tags as t } from '@lezer/highlight'
import { cel } from './cel'
import type { Check, Complete, Finding, Item } from './types'
import { yaml } from './yaml'

export interface Options {
	parent: HTMLElement
	doc: string
	label: string
	hint: string
	/** One line: Enter does not make another. */
	single: boolean
	numbers: boolean
	readonly: boolean
	/** What is written: a condition, or the text of a rule. */
	language: 'cel' | 'yaml'
	check: Check | undefined
	complete: Complete | undefined
	onchange: (text: string) => void
	onfindings: (findings: Finding[]) => void
	/** Enter in one line, Mod+Enter in many. */
	onenter: () => void
}

export interface Editor {
	set(text: string): void
	setReadonly(readonly: boolean): void
	/** Asks for the findings again: something else that they depend on has changed. */
	recheck(): void
	apply(finding: Finding): void
	goto(from: number, to: number): void
	focus(): void
	destroy(): void
}

export const look = EditorView.theme({
	'&': { backgroundColor: 'transparent', color: 'var(--text)', fontSize: '12.5px' },
	'&.cm-focused': { outline: 'none' },
	'.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '20px', fontFeatureSettings: '"calt" 0' },
	'.cm-content': { padding: '6px 0', caretColor: 'var(--text)' },
	'.cm-line': { padding: '0 10px' },
	'.cm-cursor': { borderLeftColor: 'var(--text)', borderLeftWidth: '1.5px' },
	'&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
		background: 'light-dark(#d5dcff, #303a78)',
	},
	'.cm-gutters': { background: 'transparent', border: 'none', color: 'var(--text-3)' },
	'.cm-lineNumbers .cm-gutterElement': { padding: '0 4px 0 10px', minWidth: '26px' },
	'.cm-placeholder': { color: 'var(--text-3)' },
	'.cm-matchingBracket': { background: 'var(--accent-wash) !important', outline: '1px solid var(--accent)' },
	'.cm-lintRange-error': {
		background: 'none',
		textDecoration: 'underline wavy var(--bad) 1px',
		textUnderlineOffset: '3px',
		textDecorationSkipInk: 'none',
	},
	'.cm-lintRange-warning': {
		background: 'none',
		textDecoration: 'underline wavy var(--warn) 1px',
		textUnderlineOffset: '3px',
		textDecorationSkipInk: 'none',
	},
	'.cm-tooltip': {
		background: 'var(--raised)',
		color: 'var(--text)',
		border: '1px solid var(--line-strong)',
		borderRadius: '8px',
		boxShadow: 'var(--shadow-high)',
		overflow: 'hidden',
		maxWidth: 'min(560px, calc(100vw - 24px))',
	},
	'.cm-diagnostic': { padding: '8px 12px', borderLeft: 'none', fontFamily: 'var(--sans)', fontSize: '13px' },
	'.cm-diagnostic-error': { borderLeft: '3px solid var(--bad)' },
	'.cm-diagnostic-warning': { borderLeft: '3px solid var(--warn)' },
	'.cm-diagnosticAction': {
		background: 'var(--accent-fill)',
		color: 'var(--on-accent)',
		borderRadius: '5px',
		padding: '2px 8px',
		marginLeft: '10px',
		font: '530 12px/18px var(--sans)',
		cursor: 'pointer',
	},
	'.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12.5px', maxHeight: '280px' },
	'.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '3px 10px', lineHeight: '20px' },
	'.cm-tooltip-autocomplete ul li[aria-selected]': { background: 'var(--selected)', color: 'var(--text)' },
	'.cm-completionDetail': { color: 'var(--text-3)', fontStyle: 'normal', marginLeft: '12px' },
	'.cm-completionMatchedText': { textDecoration: 'none', color: 'var(--accent)', fontWeight: '700' },
	'.cm-completionIcon': { width: '14px', opacity: '1', color: 'var(--text-3)', paddingRight: '8px' },
	'.cm-tooltip.cm-completionInfo': { padding: '10px 12px', fontFamily: 'var(--sans)', fontSize: '12.5px', maxWidth: '320px' },
	'.cm-completionInfo code': { color: 'var(--text-2)', display: 'block' },
})

export const colours = HighlightStyle.define([
	{ tag: t.variableName, color: 'var(--violet)' },
	{ tag: t.propertyName, color: 'var(--text)' },
	{ tag: t.function(t.variableName), color: 'var(--info)' },
	{ tag: t.string, color: 'var(--ok)' },
	{ tag: t.number, color: 'var(--warn)' },
	{ tag: t.keyword, color: 'var(--accent)', fontWeight: '600' },
	{ tag: t.operator, color: 'var(--text-2)' },
	{ tag: t.comment, color: 'var(--text-3)', fontStyle: 'italic' },
])

export function createEditor(o: Options): Editor {
	const editable = new Compartment()
	const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? ''
	let view: EditorView
	let setting = false

	const lint: Extension = o.check
		? linter(
				async (v) => {
					const text = v.state.doc.toString()
					const findings = await o.check!(text).catch(() => [])
					if (v.state.doc.toString() === text) {
						o.onfindings(findings)
					}
					return findings.map((f) => diagnosticOf(f, v.state.doc.length, apply))
				},
				{ delay: 150 },
			)
		: []

	function apply(f: Finding): void {
		if (f.edits.length > 0) {
			view.dispatch({ changes: f.edits.map((e) => ({ from: e.from, to: e.to, insert: e.text })), userEvent: 'input.fix' })
			view.focus()
		}
	}

	const enter = () => {
		o.onenter()
		return true
	}
	view = new EditorView({
		parent: o.parent,
		state: EditorState.create({
			doc: o.doc,
			extensions: [
				EditorView.cspNonce.of(nonce),
				o.numbers ? lineNumbers() : [],
				highlightSpecialChars(),
				history(),
				drawSelection(),
				bracketMatching(),
				closeBrackets(),
				autocompletion({ override: o.complete ? [source(o.complete)] : [], icons: false, activateOnTyping: true }),
				o.language === 'yaml' ? yaml() : cel(),
				syntaxHighlighting(colours),
				look,
				lint,
				tooltips({ position: 'fixed' }),
				o.hint ? placeholder(o.hint) : [],
				EditorView.lineWrapping,
				EditorView.contentAttributes.of({ 'aria-label': o.label, spellcheck: 'false' }),
				Prec.high(keymap.of(o.single ? [{ key: 'Enter', run: enter }] : [{ key: 'Mod-Enter', run: enter }])),
				keymap.of([...completionKeymap, ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap]), // Tab is not among them: it leaves
				editable.of(EditorState.readOnly.of(o.readonly)),
				o.single ? EditorState.transactionFilter.of((tr) => (tr.newDoc.lines > 1 ? [] : tr)) : [],
				EditorView.updateListener.of((u) => {
					if (u.docChanged && !setting) {
						o.onchange(u.state.doc.toString())
					}
				}),
			],
		}),
	})

	return {
		set(text) {
			if (text !== view.state.doc.toString()) {
				setting = true
				view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } })
				setting = false
			}
		},
		setReadonly: (readonly) => view.dispatch({ effects: editable.reconfigure(EditorState.readOnly.of(readonly)) }),
		recheck() {
			view.dispatch(setDiagnostics(view.state, []))
			view.dispatch({ selection: view.state.selection })
			forceLinting(view)
		},
		apply,
		goto(from, to) {
			const end = view.state.doc.length
			view.dispatch({ selection: { anchor: Math.min(from, end), head: Math.min(to, end) }, scrollIntoView: true })
			view.focus()
		},
		focus: () => view.focus(),
		destroy: () => view.destroy(),
	}
}

/** Offsets of the server are UTF-16, as the editor's are. One of an older text may lie beyond the end. */
function diagnosticOf(f: Finding, length: number, apply: (f: Finding) => void): Diagnostic {
	const from = Math.min(f.from, length)
	return {
		from,
		to: Math.min(Math.max(f.to, from), length),
		severity: f.severity,
		message: f.message,
		...(f.edits.length > 0 ? { actions: [{ name: f.suggestion || 'Fix', apply: () => apply(f) }] } : {}),
	}
}

function source(complete: Complete) {
	return async (context: {
		pos: number
		explicit: boolean
		state: EditorState
		aborted: boolean
	}): Promise<CompletionResult | null> => {
		const before = context.state.sliceDoc(Math.max(0, context.pos - 1), context.pos)
		if (!context.explicit && !/[\w."'`]/.test(before)) {
			return null
		}
		const found = await complete(context.state.doc.toString(), context.pos).catch(() => null)
		if (!found || context.aborted || found.items.length === 0) {
			return null
		}
		return { from: found.from, to: found.to, options: found.items.map(option), validFor: /^[\w`]*$/ }
	}
}

function option(item: Item): Completion {
	return {
		label: item.label,
		apply: item.insert,
		type: item.kind,
		detail: [item.detail, item.nullable ? 'nullable' : '', item.key ? 'key' : ''].filter(Boolean).join(', '),
		...(item.text || item.example || item.samples?.length ? { info: () => about(item) } : {}),
	}
}

/** What is shown beside a completion that is chosen. */
function about(item: Item): HTMLElement {
	const box = document.createElement('div')
	const add = (kind: string, text: string | undefined) => {
		if (text) {
			const e = document.createElement(kind)
			e.textContent = text
			box.append(e)
		}
	}
	add('div', item.text)
	add('code', item.example)
	item.samples?.slice(0, 3).forEach((s) => add('code', s))
	return box
}
