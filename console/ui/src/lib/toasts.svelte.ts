export interface Toast {
	id: number
	tone: 'ok' | 'bad' | 'info'
	text: string
	fix?: string
	href?: string
}

let toasts = $state.raw<Toast[]>([])
let last = 0

export function shown(): Toast[] {
	return toasts
}

export function dismiss(id: number): void {
	toasts = toasts.filter((t) => t.id !== id)
}

/** Says something at the edge of the screen. What went wrong stays until it is dismissed. */
export function toast(text: string, tone: Toast['tone'] = 'ok', more: Pick<Toast, 'fix' | 'href'> = {}): void {
	const id = ++last
	toasts = [...toasts.slice(-3), { id, text, tone, ...more }]
	if (tone !== 'bad') {
		setTimeout(() => dismiss(id), 4000)
	}
}

export async function copy(text: string): Promise<void> {
	try {
		await navigator.clipboard.writeText(text)
		toast('Copied')
	} catch {
		toast('The browser does not let this page write to the clipboard', 'bad')
	}
}
