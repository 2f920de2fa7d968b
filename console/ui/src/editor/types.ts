import type { Completion } from '../lib/types'

/** What is wrong at a place, or worth saying. Offsets are UTF-16 code units of the text in the editor. */
export interface Finding {
	code: string
	severity: 'error' | 'warning'
	message: string
	/** What its edits do: "Use 'amount'". */
	suggestion: string
	from: number
	to: number
	edits: { from: number; to: number; text: string }[]
}

/** What may be written. */
export type Item = Completion['items'][number]

/** Asks the server what is wrong with a text. */
export type Check = (text: string) => Promise<Finding[]>

/** Asks the server what may be written at a place. */
export type Complete = (text: string, at: number) => Promise<Completion>
