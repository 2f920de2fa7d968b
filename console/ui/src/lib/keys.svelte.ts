import { untrack } from 'svelte'

// The keyboard. A component binds keys while it is mounted; the help sheet lists what is bound, so it is never out of date.

export interface Binding {
	keys: string // 'j', 'Enter', 'g r' (one after the other), '?'
	what: string // for the help sheet
	section?: string
	run: (e: KeyboardEvent) => void
	/** Also while the reader types in a field. */
	always?: boolean
}

let bindings = $state.raw<Binding[]>([])

/** What is bound, the newest first. */
export function bound(): Binding[] {
	return bindings
}

/** Binds keys until the component that calls it goes, or what it depends on changes. Call it while a component is made. */
export function useKeys(list: () => Binding[]): void {
	$effect(() => {
		const mine = list()
		bindings = [...mine, ...untrack(() => bindings)]
		return () => {
			bindings = bindings.filter((b) => !mine.includes(b))
		}
	})
}

let prefix = ''
let prefixUntil = 0

export function typing(target: EventTarget | null): boolean {
	return (
		target instanceof HTMLElement &&
		(target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName)) &&
		!['checkbox', 'radio', 'button'].includes((target as HTMLInputElement).type)
	)
}

addEventListener('keydown', (e) => {
	if (e.defaultPrevented || e.isComposing || e.altKey) {
		return
	}
	const name = (e.metaKey || e.ctrlKey ? 'Mod+' : '') + e.key
	const inField = typing(e.target)
	const modal = document.querySelector('dialog[open]')
	const now = performance.now()
	const sequence = prefix && now < prefixUntil ? `${prefix} ${e.key}` : ''
	prefix = ''
	for (const wanted of [sequence, name]) {
		const found = wanted && bindings.find((b) => b.keys === wanted && (b.always || (!inField && !modal)))
		if (found) {
			// Enter and space belong to the control that has the focus.
			if (
				(e.key === 'Enter' || e.key === ' ') &&
				e.target instanceof Element &&
				e.target.closest('button, a, summary, [role=tab]')
			) {
				return
			}
			e.preventDefault()
			found.run(e)
			return
		}
	}
	if (!inField && !modal && bindings.some((b) => b.keys.startsWith(name + ' '))) {
		prefix = name
		prefixUntil = now + 1200
	}
})
