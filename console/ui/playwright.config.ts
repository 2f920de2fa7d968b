import { existsSync } from 'node:fs'
import { defineConfig } from '@playwright/test'

const browser = [process.env.CHROMIUM, '/usr/bin/chromium-headless-shell', '/usr/bin/chromium'].find((p) => p && existsSync(p))

// Each worker runs a cdcd of its own (e2e/cdcd.ts); the machines that run this are small.
export default defineConfig({
	testDir: 'e2e',
	workers: 1,
	timeout: 60_000,
	expect: { timeout: 30_000 },
	reporter: [['list']],
	outputDir: '../../bin/e2e',
	use: {
		viewport: { width: 1280, height: 800 },
		timezoneId: 'UTC',
		launchOptions: { ...(browser ? { executablePath: browser } : {}), args: ['--no-sandbox'] },
		trace: 'retain-on-failure',
	},
})
