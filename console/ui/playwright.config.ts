import { existsSync } from 'node:fs'
import { defineConfig } from '@playwright/test'

const browser = [process.env.CHROMIUM, '/usr/bin/chromium-headless-shell', '/usr/bin/chromium'].find((p) => p && existsSync(p))

// One browser at a time: the machines that run this are small. Nothing is tried twice: a test that fails now and then is a defect.
export default defineConfig({
	testDir: 'e2e',
	workers: 1,
	retries: 0,
	forbidOnly: !!process.env.CI,
	timeout: 90_000,
	expect: { timeout: 30_000 },
	reporter: [['list']],
	outputDir: '../../bin/e2e',
	use: {
		viewport: { width: 1280, height: 800 },
		timezoneId: 'UTC',
		contextOptions: { reducedMotion: 'reduce' },
		launchOptions: { ...(browser ? { executablePath: browser } : {}), args: ['--no-sandbox'] },
		screenshot: 'only-on-failure',
		trace: process.env.CDCD_TRACE ? 'retain-on-failure' : 'off', // it makes everything slower
	},
})
