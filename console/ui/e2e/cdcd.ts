// The program that the tests try the console of, `cdcd demo`, and what every page must keep to: no errors of scripts or of the content
// security policy, and nothing that axe finds.
import { test as base, expect, type Page } from '@playwright/test'
import axe from 'axe-core'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../../..')
const program = process.env.CDCD ?? join(root, 'bin/cdcd')

/** A recorded shop, which has ended soon, or one that goes on trading on a database server of its own. */
type Source = 'recorded' | 'live'

export class Cdcd {
	readonly url: string
	readonly folder: string
	/** What the demo itself shows, and start asks with, where tokens are asked for. */
	token = ''
	#port: number
	#source: Source
	#process: ChildProcess | undefined
	#said = ''

	private constructor(source: Source, port: number) {
		this.#source = source
		this.#port = port
		this.url = `http://127.0.0.1:${port}`
		this.folder = mkdtempSync(join(tmpdir(), 'cdcd-e2e-'))
	}

	static async make(source: Source): Promise<Cdcd> {
		if (!existsSync(program)) {
			throw new Error(`there is no ${program}: make build builds it, or CDCD names another`)
		}
		const cdcd = new Cdcd(source, await freePort())
		try {
			await cdcd.start()
		} catch (e) {
			await cdcd.remove()
			throw e
		}
		return cdcd
	}

	/** Starts it, or starts it again with what it had; it is ready when there is something to look at. */
	async start(): Promise<void> {
		const args = ['demo', '--port', String(this.#port), '--source', this.#source, '--data', join(this.folder, 'demo')]
		const child = (this.#process = spawn(program, args, { env: { ...process.env, CDCD_TOKEN: this.token } }))
		child.stdout.on('data', (d) => (this.#said += d))
		child.stderr.on('data', (d) => (this.#said += d))
		for (const until = Date.now() + 60_000; ; await new Promise((r) => setTimeout(r, 100))) {
			if (child.exitCode !== null || Date.now() > until) {
				throw new Error(`cdcd demo does not start:\n${this.#said}`)
			}
			const headers: Record<string, string> = this.token ? { authorization: `Bearer ${this.token}` } : {}
			const ask = (path: string) =>
				fetch(this.url + path, { headers })
					.then((r) => (r.ok ? r.json() : undefined))
					.catch(() => undefined)
			const list = (await ask('/api/v1/events?table=shop.orders&op=update&limit=1')) as
				{ result: { events: unknown[] } } | undefined
			if (list && list.result.events.length > 0 && (this.#source === 'live' || this.#said.includes('has ended'))) {
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

	/** From now on everybody shows a token. */
	async askForTokens(): Promise<void> {
		await this.stop()
		const file = join(this.folder, 'demo/cdcd.yaml')
		const text = readFileSync(file, 'utf8')
		writeFileSync(file, text.replace('console: {', 'console: {tokens_file: tokens.json, '))
		this.token = this.makeToken('demo', 'operator')
		await this.start()
	}

	makeToken(name: string, role: string): string {
		return this.run('console', 'token', name, '--role', role).trim()
	}

	/** Runs a verb of the command line on the same configuration, and returns what it printed. */
	run(...args: string[]): string {
		const done = spawnSync(program, [...args, '-c', join(this.folder, 'demo/cdcd.yaml')], {
			encoding: 'utf8',
			env: { ...process.env, CDCD_TOKEN: this.token },
		})
		if (done.status !== 0) {
			throw new Error(`cdcd ${args.join(' ')}:\n${done.stdout}${done.stderr}`)
		}
		return done.stdout
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
	/** What has been said that may not. */
	wrong(): string[]
}

interface Options {
	/**
	 * Which cdcd the test is on. 'recorded' and 'trading' are shared by all tests, which change nothing there that others see; 'own' is the
	 * test's alone.
	 */
	on: 'recorded' | 'trading' | 'own'
}

class Pool {
	#started = new Map<Source, Promise<Cdcd>>()
	get(source: Source): Promise<Cdcd> {
		const it = this.#started.get(source) ?? Cdcd.make(source)
		this.#started.set(source, it)
		return it
	}
	async remove(): Promise<void> {
		await Promise.all([...this.#started.values()].map((s) => s.then((it) => it.remove()).catch(() => {})))
	}
}

export const test = base.extend<Options & { cdcd: Cdcd; watch: Watch }, { pool: Pool }>({
	on: ['recorded', { option: true }],
	pool: [
		async ({}, use) => {
			const pool = new Pool()
			await use(pool)
			await pool.remove()
		},
		{ scope: 'worker', timeout: 60_000 },
	],
	cdcd: [
		async ({ on, pool }, use) => {
			if (on !== 'own') {
				await use(await pool.get(on === 'trading' ? 'live' : 'recorded'))
				return
			}
			const own = await Cdcd.make('recorded')
			await use(own)
			await own.remove()
		},
		{ timeout: 90_000 },
	],
	baseURL: async ({ cdcd }, use) => use(cdcd.url),
	watch: [
		async ({ page }, use) => {
			const said: string[] = []
			const watch: Watch = { allow: [], wrong: () => said.filter((w) => !watch.allow.some((a) => a.test(w))) }
			page.on('pageerror', (e) => said.push(`script: ${e.stack ?? e.message}`))
			page.on('console', (m) => {
				if (m.type() === 'error' || m.type() === 'warning') {
					said.push(`${m.type()}: ${m.text()} (${m.location().url})`)
				}
			})
			await use(watch)
			expect(watch.wrong()).toEqual([])
		},
		{ auto: true },
	],
})

/** Nothing on the page keeps people out who do not see it, or have no mouse. */
export async function expectAccessible(page: Page): Promise<void> {
	// While the look changes, colours are between two that are right.
	await page.evaluate(() =>
		Promise.all(
			document
				.getAnimations()
				.filter((a) => a.effect?.getComputedTiming().iterations !== Infinity)
				.map((a) => a.finished.catch(() => {})),
		),
	)
	await page.evaluate(axe.source)
	const violations = await page.evaluate(async () => {
		const found = await (globalThis as unknown as { axe: typeof axe }).axe.run(document, {
			runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
			resultTypes: ['violations'],
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

/** A heading of the screen itself is there, and nothing is still being asked for. */
export async function settled(page: Page, title: string): Promise<void> {
	await expect(page.getByRole('heading', { level: 1, name: title })).toBeVisible()
	await expect(page.getByText('shop', { exact: true }).first()).toBeVisible()
	await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0)
}

export { expect }
