// Two texts of a rule beside each other, or one above the other where there is no room. Of the editor's chunk.
import { MergeView, unifiedMergeView } from '@codemirror/merge'
import { syntaxHighlighting } from '@codemirror/language'
import { EditorState, type Extension } from '@codemirror/state'
import { EditorView, lineNumbers } from '@codemirror/view'
import { colours, look } from '.'
import { yaml } from './yaml'

const differences = EditorView.theme({
	'.cm-changedLine': { backgroundColor: 'transparent' },
	'&.cm-merge-a .cm-changedLine, .cm-deletedChunk': { backgroundColor: 'var(--bad-wash) !important' },
	'&.cm-merge-b .cm-changedLine, .cm-inlineChangedLine, .cm-insertedLine': { backgroundColor: 'var(--ok-wash) !important' },
	'&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText': {
		background: 'color-mix(in oklab, var(--bad) 22%, transparent) !important',
		textDecoration: 'none',
	},
	'&.cm-merge-b .cm-changedText, .cm-changedText': { background: 'color-mix(in oklab, var(--ok) 24%, transparent) !important' },
	'.cm-changeGutter': { display: 'none' },
	'.cm-collapsedLines': {
		background: 'var(--sunken) !important',
		color: 'var(--text-3)',
		padding: '2px 12px',
		font: '12px/18px var(--sans)',
		cursor: 'pointer',
	},
	'.cm-collapsedLines:before, .cm-collapsedLines:after': { content: 'none' },
})

export interface Compared {
	destroy(): void
}

export function compare(
	parent: HTMLElement,
	was: string,
	is: string,
	names: { was: string; is: string },
	beside: boolean,
): Compared {
	const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? ''
	const common = (label: string): Extension[] => [
		EditorView.cspNonce.of(nonce),
		EditorState.readOnly.of(true),
		EditorView.lineWrapping,
		lineNumbers(),
		yaml(),
		syntaxHighlighting(colours),
		look,
		differences,
		EditorView.contentAttributes.of({ 'aria-label': label }),
	]
	const collapse = { margin: 3, minSize: 5 }
	if (beside) {
		return new MergeView({
			parent,
			a: { doc: was, extensions: common(names.was) },
			b: { doc: is, extensions: common(names.is) },
			collapseUnchanged: collapse,
			gutter: false,
		})
	}
	return new EditorView({
		parent,
		doc: is,
		extensions: [
			...common(names.is),
			unifiedMergeView({ original: was, mergeControls: false, gutter: false, collapseUnchanged: collapse }),
		],
	})
}
