import { expect, test } from 'vitest'
import { ago, bytes, count, duration, plural, rate, short, utcTime } from './format'

test.each([
	[count(1234567), '1,234,567'],
	[short(999), '999'],
	[short(1234), '1.2k'],
	[short(1_000_000), '1M'],
	[short(123_456), '123k'],
	[rate(0), '0/s'],
	[rate(0.25), '0.3/s'],
	[rate(4999.6), '5k/s'],
	[bytes(0), '0 B'],
	[bytes(1536), '1.5 KiB'],
	[bytes(10 * 2 ** 30), '10 GiB'],
	[duration(0), '0 s'],
	[duration(1.23), '1.2 s'],
	[duration(75), '75 s'],
	[duration(600), '10 min'],
	[duration(7500), '2 h 5 min'],
	[duration(7 * 86400), '7 d'],
	[plural(1, 'event'), '1 event'],
	[plural(2000, 'entry', 'entries'), '2,000 entries'],
	[utcTime('2026-11-21T02:00:00.123456Z'), '2026-11-21 02:00:00.123456 UTC'],
	[utcTime('2026-11-21T03:00:00+01:00'), '2026-11-21 02:00:00 UTC'],
	[utcTime('no time'), 'no time'],
	[ago('2026-11-21T02:00:00Z', new Date('2026-11-21T02:03:00Z')), '3 min ago'],
	[ago('2026-11-21T02:00:05Z', new Date('2026-11-21T02:00:00Z')), 'in 5 s'],
])('%s is %s', (got, want) => expect(got).toBe(want))
