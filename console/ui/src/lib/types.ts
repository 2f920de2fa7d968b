// What the API answers, as far as the console reads it.

export type Level = 'ok' | 'idle' | 'waiting' | 'warning' | 'error'

export interface Fault {
	code?: string
	message: string
	fix?: string
}

export interface StagePart {
	feed: string
	level: Level
	text: string
	lag_seconds: number | null
	behind: number | null
	error: Fault | null
}

export interface Stage {
	id: 'source' | 'stream' | 'rules' | 'delivery' | 'partner'
	name: string
	level: Level
	text: string
	lag_seconds: number | null
	behind: number | null
	rate: number
	error: Fault | null
	error_at?: string
	parts: StagePart[] | null
}

export interface Problem {
	level: 'warning' | 'error'
	stage: string
	code?: string
	message: string
	fix?: string
	href: string
}

export interface Rates {
	until: string
	captured: number[]
	matched: number[]
	failed: number[]
	records: number[]
}

export interface Overview {
	source: string
	at: string
	started: string
	level: Level
	verdict: string
	stages: Stage[]
	problems: Problem[]
	rates: Rates
}

export interface ChangeEvent {
	id: string
	no: number
	seq: number
	table: string
	op: 'insert' | 'update' | 'delete' | 'snapshot'
	commit_time: string
	position: string
	line: string // JSON, to be read by lossless.parse
	revision: number
	matched: string[]
	failed: string[]
	incomplete?: boolean
}

export interface EventList {
	events: ChangeEvent[]
	before: number
	scanned: number
}

export interface JudgedRule {
	rule: string
	version: string
	mode: string
	outcome: 'matched' | 'not_matched' | 'error' | 'undecided'
	change?: string
	to?: string[]
	summary: string
}

export interface EventDetail extends ChangeEvent {
	gtid?: string
	file: string
	pos: number
	row: number
	tx_rows: number
	captured: string
	columns: Column[]
	judged: JudgedRule[]
	others: number
}

export interface Column {
	name: string
	type: string
	kind: string
	delivered: string
	nullable: boolean
	key?: number
	charset?: string
	collation?: string
	members?: string[]
	problem?: string
	comment?: string
	samples?: string[]
}

export interface Table {
	table: string
	captured: boolean
	key: string[]
	columns: number
	rows_estimate: number
	problems: number
	fields?: Column[]
}

export interface TableList {
	tables: Table[]
	from: 'server' | 'stream'
	error: Fault | null
}

export interface BrokenRule {
	rule: string
	code?: string
	message: string
	fix?: string
}

export interface TableDetail extends Table {
	from: 'server' | 'stream'
	changed?: string
	broken: BrokenRule[]
	rules: string[]
}

export type Role = 'viewer' | 'analyst' | 'publisher' | 'operator'

export interface Settings {
	source: string
	version: string
	file: string
	settings: { key: string; value: unknown; origin: string }[]
	warnings: Fault[]
	access: { open: boolean; me: { user: string; role: Role; via: 'open' | 'token' | 'session' | 'header' }; how: string[] }
}
