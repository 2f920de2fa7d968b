// How figures, sizes and times are written: the same everywhere.

const grouping = new Intl.NumberFormat('en-US')

/** 1234567 as 1,234,567. */
export function count(n: number): string {
	return grouping.format(n)
}

/** 1234567 as 1.2M. */
export function short(n: number): string {
	const units: [number, string][] = [
		[1e9, 'B'],
		[1e6, 'M'],
		[1e3, 'k'],
	]
	for (const [size, unit] of units) {
		if (Math.abs(n) >= size) {
			const scaled = n / size
			return (Math.abs(scaled) >= 100 ? scaled.toFixed(0) : scaled.toFixed(1).replace(/\.0$/, '')) + unit
		}
	}
	return Number.isInteger(n) ? String(n) : n.toFixed(1)
}

/** A rate per second. */
export function rate(n: number): string {
	return `${n > 0 && n < 10 ? n.toFixed(1).replace(/\.0$/, '') : short(Math.round(n))}/s`
}

/** 1536 as 1.5 KiB. */
export function bytes(n: number): string {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
	let unit = 0
	while (n >= 1024 && unit < units.length - 1) {
		n /= 1024
		unit++
	}
	return `${unit === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`
}

/** Seconds as people say them: 0.8 s, 12 s, 3 min, 2 h 5 min, 4 d. */
export function duration(seconds: number): string {
	const s = Math.abs(seconds)
	if (s < 10) {
		return `${s.toFixed(1).replace(/\.0$/, '')} s`
	}
	if (s < 90) {
		return `${Math.round(s)} s`
	}
	if (s < 5400) {
		return `${Math.round(s / 60)} min`
	}
	const hours = Math.floor(s / 3600)
	const minutes = Math.floor((s % 3600) / 60)
	if (hours < 48) {
		return minutes > 0 && hours < 10 ? `${hours} h ${minutes} min` : `${hours} h`
	}
	return `${Math.round(s / 86400)} d`
}

export function plural(n: number, one: string, many = one + 's'): string {
	return `${count(n)} ${n === 1 ? one : many}`
}

const two = (n: number) => String(n).padStart(2, '0')

function dateOf(t: Date, utc: boolean): string {
	return utc
		? `${t.getUTCFullYear()}-${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}`
		: `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`
}

function clockOf(t: Date, utc: boolean): string {
	return utc
		? `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`
		: `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`
}

/** The part of a second as it was sent, with its dot: a Date has three digits only. */
function fraction(text: string): string {
	return /\.\d+/.exec(text)?.[0] ?? ''
}

/** A time of the API (RFC 3339), in short: the local clock, with the date if that is not today's. */
export function localTime(text: string, now = new Date()): string {
	const t = new Date(text)
	if (Number.isNaN(t.getTime())) {
		return text
	}
	const day = dateOf(t, false)
	return day === dateOf(now, false) ? clockOf(t, false) : `${day} ${clockOf(t, false).slice(0, 5)}`
}

/** Whether a time is not of today, on the local calendar. */
export function otherDay(text: string, now = new Date()): boolean {
	const t = new Date(text)
	return !Number.isNaN(t.getTime()) && dateOf(t, false) !== dateOf(now, false)
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** The local time of day to the second, and the day if it is not today: 20:13:05, 20:13:05 Nov 21, 20:13:05 Nov 21, 2025. */
export function clockTime(text: string, now = new Date()): string {
	const t = new Date(text)
	if (!otherDay(text, now)) {
		return Number.isNaN(t.getTime()) ? text : clockOf(t, false)
	}
	const year = t.getFullYear() === now.getFullYear() ? '' : `, ${t.getFullYear()}`
	return `${clockOf(t, false)} ${months[t.getMonth()]} ${t.getDate()}${year}`
}

/** The same in full: local time with its zone, UTC, and how long ago it is. */
export function fullTime(text: string, now = new Date()): string {
	const t = new Date(text)
	if (Number.isNaN(t.getTime())) {
		return text
	}
	const part = fraction(text)
	const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
	return `${dateOf(t, false)} ${clockOf(t, false)}${part} ${zone}\n${dateOf(t, true)} ${clockOf(t, true)}${part} UTC\n${ago(text, now)}`
}

export function utcTime(text: string): string {
	const t = new Date(text)
	return Number.isNaN(t.getTime()) ? text : `${dateOf(t, true)} ${clockOf(t, true)}${fraction(text)} UTC`
}

export function ago(text: string, now = new Date()): string {
	const seconds = (now.getTime() - new Date(text).getTime()) / 1000
	if (Math.abs(seconds) < 1) {
		return 'now'
	}
	return seconds >= 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`
}
