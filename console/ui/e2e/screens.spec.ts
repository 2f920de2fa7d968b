// Every screen, in every look: it is there, it is accessible, nothing scrolls sideways, and no error is heard of.
import { expect, expectAccessible, noSidewaysScroll, picture, test } from './cdcd'

const screens = [
	{ name: 'overview', path: '/', title: 'Overview' },
	{ name: 'live', path: '/live', title: 'Live' },
	{ name: 'schema', path: '/schema', title: 'Schema' },
	{ name: 'table', path: '/schema/shop.orders', title: 'Schema' },
	{ name: 'settings', path: '/settings', title: 'Settings' },
	{ name: 'nowhere', path: '/nowhere', title: 'Nothing here' },
]

for (const look of ['light', 'dark'] as const) {
	for (const s of screens) {
		test(`${s.name} in ${look}`, async ({ page }) => {
			await page.emulateMedia({ colorScheme: look, reducedMotion: 'reduce' })
			await page.goto(s.path)
			await expect(page.getByRole('heading', { level: 1, name: s.title })).toBeVisible()
			await expect(page.getByText('shop', { exact: true }).first()).toBeVisible()
			await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0)
			await expectAccessible(page)
			await noSidewaysScroll(page)
			await picture(page, `${s.name}-${look}`)
			await page.setViewportSize({ width: 390, height: 844 })
			await noSidewaysScroll(page)
			await expectAccessible(page)
			if (look === 'light') {
				await picture(page, `${s.name}-narrow`)
			}
		})
	}
}

test('the theme is one of three, and is remembered', async ({ page }) => {
	await page.goto('/')
	const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
	const light = await ground()
	await page.keyboard.press('t')
	await page.keyboard.press('t')
	await expect.poll(ground).not.toBe(light)
	await page.reload()
	expect(await ground()).not.toBe(light)
})

test('the first paint is there within a second', async ({ page }) => {
	await page.goto('/') // the browser is warm
	await page.reload()
	await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
	const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN)
	test.info().annotations.push({ type: 'first paint', description: `${paint.toFixed(0)} ms` })
	expect(paint).toBeLessThan(1000)
})
