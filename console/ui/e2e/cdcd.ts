// The program that the tests try the console of: `cdcd demo`, for each worker one. And what every page must keep to: no errors of
// scripts or of the content security policy, and nothing that axe finds.
import { test as base, expect, type Page } from '@playwright/test'
import axe from 'axe-core'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../../..')
const program = process.env.CDCD ?? join(root, 'bin/cdcd')

export class Cdcd {
	readonly url: string
	readonly folder: string
	#port: number
	#process: ChildProcess | undefined
	#said = ''

	constructor(port: number) {
		this.#port = port
		this.url = `http://127.0.0.1:${port}`
		this.folder = mkdtempSync(join(tmpdir(), 'cdcd-e2e-'))
	}

	async start(): Promise<void> {
		if (!existsSync(program)) {
			throw new Error(`there is no ${program}: make build builds it, or CDCD names another`)
		}
		const source = process.env.CDCD_SOURCE ?? 'live'
		const child = (this.#process = spawn(program, [
			'demo',
			'--port',
			String(this.#port),
			'--source',
			source,
			'--data',
			join(this.folder, 'demo'),
		]))
		child.stdout.on('data', (d) => (this.#said += d))
		child.stderr.on('data', (d) => (this.#said += d))
		// It is ready when there is something to look at.
		for (const until = Date.now() + 60_000; ; await new Promise((r) => setTimeout(r, 200))) {
			if (child.exitCode !== null || Date.now() > until) {
				throw new Error(`cdcd demo does not start:\n${this.#said}`)
			}
			const answer = await fetch(`${this.url}/api/v1/events?table=shop.orders&op=update&limit=1`).catch(() => undefined)
			if (answer?.ok && ((await answer.json()) as { result: { events: unknown[] } }).result.events.length > 0) {
				return
			}
		}
	}

	/** Ends it, so that it can be started again with what it had. */
	async stop(): Promise<void> {
		const child = this.#process
		if (child && child.exitCode === null) {
			const ended = new Promise((r) => child.once('exit', r))
			child.kill('SIGINT')
			await ended
		}
	}

	/** Runs a verb of the command line on the same configuration. */
	run(...args: string[]): string {
		const done = spawnSync(program, [...args, '-c', join(this.folder, 'demo/cdcd.yaml')], { encoding: 'utf8' })
		return done.stdout + done.stderr
	}

	async remove(): Promise<void> {
		await this.stop()
		rmSync(this.folder, { recursive: true, force: true })
	}
}

export async function freePort(): Promise<number> {
	const server = createServer().listen(0, '127.0.0.1')
	await new Promise((r) => server.once('listening', r))
	const address = server.address()
	await new Promise((r) => server.close(r))
	return (address as { port: number }).port
}

interface Watch {
	/** What may be said on the page's console in this test: a connection that is cut, say. */
	allow: RegExp[]
}

export const test = base.extend<{ watch: Watch }, { cdcd: Cdcd }>({
	cdcd: [
		async ({}, use) => {
			const cdcd = new Cdcd(await freePort())
			try {
				await cdcd.start()
				await use(cdcd)
			} finally {
				await cdcd.remove()
			}
		},
		{ scope: 'worker', timeout: 90_000 },
	],
	baseURL: async ({ cdcd }, use) => use(cdcd.url),
	watch: [
		async ({ page }, use) => {
			const watch: Watch = { allow: [] }
			const wrong: string[] = []
			page.on('pageerror', (e) => wrong.push(`script: ${e.stack ?? e.message}`))
			page.on('console', (m) => {
				if (m.type() === 'error' || m.type() === 'warning') {
					wrong.push(`${m.type()}: ${m.text()}`)
				}
			})
			await use(watch)
			expect(wrong.filter((w) => !watch.allow.some((a) => a.test(w)))).toEqual([])
		},
		{ auto: true },
	],
})

/** Nothing on the page keeps people out who do not see it, or have no mouse. */
export async function expectAccessible(page: Page): Promise<void> {
	await page.evaluate(axe.source)
	const violations = await page.evaluate(async () => {
		const found = await (globalThis as unknown as { axe: typeof axe }).axe.run(document, {
			runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
		})
		return found.violations.map(
			(v) => `${v.id}: ${v.nodes.map((n) => `${n.target.join(' ')} (${n.any[0]?.message ?? n.failureSummary})`).join(' | ')}`,
		)
	})
	expect(violations).toEqual([])
}

/** A picture for docs/console, with UPDATE_PICTURES=1: they are shown to people, not compared. */
export async function picture(page: Page, name: string): Promise<void> {
	if (process.env.UPDATE_PICTURES) {
		const folder = join(root, 'docs/console')
		mkdirSync(folder, { recursive: true })
		await page.screenshot({ path: join(folder, `${name}.png`), animations: 'disabled', caret: 'hide' })
	}
}

export async function noSidewaysScroll(page: Page): Promise<void> {
	expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0)
}

export { expect }
