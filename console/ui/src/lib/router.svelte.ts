// Where the reader is: the address bar holds the whole state of a screen, so that every state is a link.

let url = $state.raw(new URL(location.href))

export const route = {
	get path(): string {
		return url.pathname
	},
	/** The parts of the path after the screen's: ['shop.orders'] for /schema/shop.orders. */
	get rest(): string[] {
		return url.pathname.split('/').slice(2).filter(Boolean).map(decodeURIComponent)
	},
	get href(): string {
		return url.pathname + url.search
	},
	/** A value of the query, '' when it is not there. */
	get(name: string): string {
		return url.searchParams.get(name) ?? ''
	},
	/** A list in the query: a,b,c. */
	list(name: string): string[] {
		return this.get(name).split(',').filter(Boolean)
	},
}

/** Goes to an address of the console. */
export function go(href: string, how: { replace?: boolean } = {}): void {
	const next = new URL(href, url)
	if (next.href === url.href) {
		return
	}
	history[how.replace ? 'replaceState' : 'pushState'](null, '', next)
	if (next.pathname !== url.pathname) {
		scrollTo(0, 0)
	}
	url = next
}

/**
 * Changes values of the query and keeps the others; '' and [] take one away. What is chosen (a row, a tab) makes an entry of
 * the history; what is typed or toggled replaces the current one.
 */
export function setQuery(values: Record<string, string | string[]>, how: { push?: boolean } = {}): void {
	const next = new URL(url)
	for (const [name, value] of Object.entries(values)) {
		const text = Array.isArray(value) ? value.join(',') : value
		if (text === '') {
			next.searchParams.delete(name)
		} else {
			next.searchParams.set(name, text)
		}
	}
	go(next.href, { replace: !how.push })
}

addEventListener('popstate', () => (url = new URL(location.href)))

// Links of the console do not load it again. What is not a screen of it (files of the API, other sites) does.
addEventListener('click', (e) => {
	const link = e.target instanceof Element ? e.target.closest('a') : null
	if (!link || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) {
		return
	}
	if (link.origin !== location.origin || link.target || link.hasAttribute('download') || link.pathname.startsWith('/api/')) {
		return
	}
	e.preventDefault()
	go(link.href)
})
