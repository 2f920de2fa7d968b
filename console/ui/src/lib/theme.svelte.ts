export type Theme = 'system' | 'light' | 'dark'

const stored = localStorage.getItem('theme')
let theme = $state<Theme>(stored === 'light' || stored === 'dark' ? stored : 'system')

function apply(): void {
	document.documentElement.dataset.theme = theme
}
apply()

export const appearance = {
	get theme(): Theme {
		return theme
	},
	set theme(t: Theme) {
		theme = t
		localStorage.setItem('theme', t)
		apply()
	},
	/** To the next of the three. */
	next(): void {
		this.theme = ({ system: 'light', light: 'dark', dark: 'system' } as const)[theme]
	},
}
