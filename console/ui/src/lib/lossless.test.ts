import { describe, expect, test } from 'vitest'
import { Num, format, parse, same, show } from './lossless'

describe('lossless JSON', () => {
	test.each([
		'18446744073709551615',
		'-9223372036854775808',
		'0.1000000000000000055511151231257827',
		'1e400',
		'{"id":9007199254740993,"total":"1200.00"}',
		'[1,[],{},"",null,true,false]',
		'{"a\\"b":"\\u00e9\\n🙂"}',
	])('keeps every digit and the order of %s', (text) => {
		expect(JSON.parse(JSON.stringify(format(parse(text))))).toBe(format(parse(format(parse(text)))))
		if (!text.includes('\\')) {
			expect(format(parse(text))).toBe(text)
		}
	})

	test.each(['', '{', '{"a"}', '[1,]', '01', 'nul', '"a', '1 2', '{"a":1,}', "'a'"])('refuses %j', (text) => {
		expect(() => parse(text)).toThrow(SyntaxError)
	})

	test('tells numbers from the same text, and null from absent', () => {
		expect(same(new Num('1'), '1')).toBe(false)
		expect(same(null, undefined)).toBe(false)
		expect(same(parse('{"a":1.0}'), parse('{"a": 1.0}'))).toBe(true)
		expect([show(new Num('1.50')), show('x'), show(null), show(undefined)]).toEqual(['1.50', 'x', 'null', ''])
	})

	test('indents', () => {
		expect(format(parse('{"a":[1,2],"b":{}}'), '  ')).toBe('{\n  "a": [\n    1,\n    2\n  ],\n  "b": {}\n}')
	})
})
