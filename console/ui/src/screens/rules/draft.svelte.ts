// A rule that somebody is at: what is in force, and the draft of it, which is kept on the server while it is written. The text is the
// one truth: forms change fields of it on the server, which keeps comments and layout.
import { api, ApiError } from '../../lib/api'
import { me } from '../../lib/session.svelte'
import type { CheckedRule, Fields, Moved, Rule, RuleDraft, RuleDrafts, RuleFinding, RuleList } from '../../lib/types'

export type Keeping = 'as published' | 'kept' | 'waiting' | 'saving' | 'elsewhere' | 'failed' | 'not mine'

const rest = 600 // milliseconds without a change until it is saved

export class Draft {
	readonly name: string
	readonly author: string // '' is the reader's own

	phase = $state<'loading' | 'missing' | 'failed' | 'ready'>('loading')
	error = $state.raw<ApiError>() // it cannot be loaded
	rule = $state.raw<Rule>() // what is in force under this name
	newest = $state(0) // revision of all rules
	base = $state(0) // that the draft was begun from
	moved = $state.raw<Moved>() // published by others since
	version = $state(0) // of what is kept; 0: nothing is
	saved = $state('') // when
	text = $state('')
	checked = $state.raw<CheckedRule>()
	refused = $state.raw<ApiError>() // the last change of a field
	keeping = $state<Keeping>('as published')
	unkept = $state.raw<ApiError>() // why it is not kept

	#turn = 0 // of the text: answers about an older one are dropped
	#wanted: Fields | undefined
	#editing: Promise<void> | undefined
	#timer: ReturnType<typeof setTimeout> | undefined
	#saving: Promise<void> | undefined

	constructor(name: string, author = '') {
		this.name = name
		this.author = author
		void this.load()
	}

	get fields(): Fields {
		return this.checked?.fields ?? {}
	}
	get exists(): boolean {
		return this.rule !== undefined
	}
	/** The draft says something else than what is in force. */
	get differs(): boolean {
		return this.text.trimEnd() !== (this.rule?.text ?? '').trimEnd()
	}
	get mine(): boolean {
		return this.author === ''
	}
	get readonly(): boolean {
		return !this.mine || !me.may('analyst')
	}
	/** Names of the fields that are not as they are in force. */
	get changes(): string[] {
		const [was, is] = [this.rule?.fields ?? {}, this.fields]
		const names = new Set([...Object.keys(was), ...Object.keys(is)])
		return [...names].filter((n) => JSON.stringify(was[n]) !== JSON.stringify(is[n]))
	}
	get errors(): RuleFinding[] {
		return this.checked?.findings.filter((f) => f.severity === 'error') ?? []
	}

	async load(): Promise<void> {
		try {
			// Lists are asked first: what is not there is no error.
			const [list, drafts] = await Promise.all([
				api.get<RuleList>('/rules'),
				api.get<RuleDrafts>('/drafts', this.mine ? {} : { all: true }),
			])
			const listed = drafts.drafts.find((d) => d.name === this.name && (this.mine || d.author === this.author))
			const [rule, draft] = await Promise.all([
				list.rules.some((r) => r.rule === this.name) ? api.get<Rule>(`/rules/${encodeURIComponent(this.name)}`) : undefined,
				listed ? api.get<RuleDraft>(`/drafts/${encodeURIComponent(this.name)}`, { author: this.author }) : undefined,
			])
			this.#turn++
			this.rule = rule
			this.newest = list.revision
			this.base = draft?.base ?? list.revision
			this.moved = draft?.moved
			this.version = draft?.version ?? 0
			this.saved = draft?.saved ?? ''
			this.keeping = !this.mine ? 'not mine' : draft ? 'kept' : 'as published'
			this.unkept = undefined
			if (!rule && !draft) {
				this.phase = 'missing'
				return
			}
			this.text = draft?.text ?? rule?.text ?? ''
			await this.check()
			this.phase = 'ready'
		} catch (e) {
			this.error = asError(e)
			this.phase = 'failed'
		}
	}

	/** Figures of the rule in force, anew. */
	async refresh(): Promise<void> {
		const list = await api.get<RuleList>('/rules')
		const listed = list.rules.find((r) => r.rule === this.name)
		if (listed && this.rule && listed.revision === this.rule.revision) {
			this.rule = { ...this.rule, ...listed, text: this.rule.text!, fields: this.rule.fields! }
		} else if (listed?.revision !== this.rule?.revision && this.keeping === 'as published') {
			await this.load()
		} else if (listed && listed.revision !== this.rule?.revision) {
			await this.look()
		}
		this.newest = list.revision
	}

	/** What others have published meanwhile. */
	async look(): Promise<void> {
		if (this.version > 0) {
			const d = await api.get<RuleDraft>(`/drafts/${encodeURIComponent(this.name)}`, { author: this.author })
			this.moved = d.moved
		}
	}

	async check(): Promise<void> {
		const [turn, text] = [this.#turn, this.text]
		const checked = await api.post<CheckedRule>('/rules/check', { text })
		if (turn === this.#turn) {
			this.checked = checked
		}
	}

	/** Changes fields; null takes one away. */
	edit(set: Fields): Promise<void> {
		this.#wanted = { ...this.#wanted, ...set }
		return (this.#editing ??= this.#edits().finally(() => (this.#editing = undefined)))
	}

	async #edits(): Promise<void> {
		while (this.#wanted) {
			const [set, turn] = [this.#wanted, this.#turn]
			this.#wanted = undefined
			try {
				const checked = await api.post<CheckedRule>('/rules/form', { text: this.text, set })
				if (turn === this.#turn) {
					this.#take(checked)
				}
				this.refused = undefined
			} catch (e) {
				this.refused = asError(e)
			}
		}
	}

	/** Takes over a text that the server made of this one, with what there is to say of it. */
	#take(checked: CheckedRule): void {
		this.checked = checked
		if (checked.text !== this.text) {
			this.#turn++
			this.text = checked.text
			this.#keep()
		}
	}

	/** Asks the server for a text that is made of this one, such as one with another test. */
	async make(path: string, body: object): Promise<void> {
		await this.#editing
		this.#take(await api.post<CheckedRule>(path, { text: this.text, ...body }))
	}

	/** The whole text, as it is typed. */
	write(text: string): void {
		if (text !== this.text) {
			this.#turn++
			this.text = text
			this.#keep()
		}
	}

	#keep(): void {
		if (this.readonly) {
			this.keeping = 'not mine'
			return
		}
		if (this.keeping !== 'elsewhere') {
			this.keeping = 'waiting'
			clearTimeout(this.#timer)
			this.#timer = setTimeout(() => void this.save(), rest)
		}
	}

	/** Keeps the draft now, if it is not kept. */
	async save(): Promise<void> {
		clearTimeout(this.#timer)
		await this.#editing
		await this.#saving
		if (this.keeping === 'waiting' || this.keeping === 'failed') {
			this.#saving = this.#save().finally(() => (this.#saving = undefined))
			await this.#saving
		}
	}

	async #save(): Promise<void> {
		const text = this.text
		this.keeping = 'saving'
		try {
			const d = await api.put<RuleDraft>(`/drafts/${encodeURIComponent(this.name)}`, {
				text,
				base: this.base,
				version: this.version,
			})
			this.version = d.version
			this.saved = d.saved
			this.unkept = undefined
			this.keeping = 'kept'
			if (this.text !== text) {
				this.#keep()
			}
		} catch (e) {
			this.unkept = asError(e)
			this.keeping = this.unkept.code === 'CDCD-2351' ? 'elsewhere' : 'failed'
			if (this.unkept.unreachable) {
				this.#timer = setTimeout(() => void this.save(), 3000)
			}
		}
	}

	/** It was saved in another tab meanwhile: keep this one all the same. */
	async overwrite(): Promise<void> {
		const drafts = await api.get<RuleDrafts>('/drafts')
		this.version = drafts.drafts.find((d) => d.name === this.name)?.version ?? 0
		this.keeping = 'waiting'
		await this.save()
	}

	/** Goes on from what others have published, with this text as it is. */
	async rebase(): Promise<void> {
		const rule = await api.get<Rule>(`/rules/${encodeURIComponent(this.name)}`).catch(() => undefined)
		const list = await api.get<RuleList>('/rules')
		this.rule = rule
		this.newest = list.revision
		this.base = list.revision
		this.moved = undefined
		this.keeping = 'waiting'
		await this.save()
	}

	/** Throws the draft away. */
	async drop(): Promise<void> {
		clearTimeout(this.#timer)
		await this.#saving
		if (this.version > 0) {
			await api.delete(`/drafts/${encodeURIComponent(this.name)}`)
		}
		await this.load()
	}

	stop(): void {
		void this.save()
	}
}

export function asError(e: unknown): ApiError {
	return e instanceof ApiError ? e : new ApiError(0, String(e))
}

/** A list of texts in a field: [] when there is none, or it is no list. */
export function texts(v: unknown): string[] {
	return Array.isArray(v) ? v.filter((x) => typeof x === 'string') : typeof v === 'string' ? [v] : []
}

export function text(v: unknown): string {
	return typeof v === 'string' ? v : ''
}

/** The condition of a rule, whichever it has. */
export function conditionOf(fields: Fields | undefined): string {
	return (text(fields?.when) || text(fields?.where)).trim()
}
