// Every screen, in every look: it is there, it is accessible, nothing scrolls sideways, and no error is heard of.
import { expect, expectAccessible, noSidewaysScroll, picture, settled, test } from './cdcd'

const screens = [
	{ name: 'overview', path: '/', title: 'Overview' },
	{ name: 'live', path: '/live', title: 'Live' },
	{ name: 'rules', path: '/rules', title: 'Rules' },
	{ name: 'deliveries', path: '/deliveries', title: 'Deliveries' },
	{ name: 'dead-letters', path: '/dead-letters', title: 'Dead letters' },
	{ name: 'audit', path: '/audit', title: 'Audit' },
	{ name: 'plugins', path: '/plugins', title: 'Plugins' },
	{ name: 'schema', path: '/schema', title: 'Schema' },
	{ name: 'table', path: '/schema/shop.orders', title: 'Schema' },
	{ name: 'settings', path: '/settings', title: 'Settings' },
	{ name: 'nowhere', path: '/nowhere', title: 'Nothing here' },
]

for (const s of screens) {
	test(`${s.name} in light, dark and narrow`, async ({ page }) => {
		await page.goto(s.path)
		await settled(page, s.title)
		await expectAccessible(page)
		await noSidewaysScroll(page)
		await picture(page, `${s.name}-light`)
		await page.emulateMedia({ colorScheme: 'dark' })
		await expectAccessible(page)
		await picture(page, `${s.name}-dark`)
		await page.emulateMedia({ colorScheme: 'light' })
		await page.setViewportSize({ width: 390, height: 844 })
		await noSidewaysScroll(page)
		await expectAccessible(page)
		await picture(page, `${s.name}-narrow`)
	})
}

test('the theme is one of three, and is remembered', async ({ page }) => {
	await page.goto('/')
	const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
	const light = await ground()
	await page.getByRole('button', { name: 'Theme: as the system' }).click()
	await page.getByRole('button', { name: 'Theme: light' }).click()
	await expect(page.getByRole('button', { name: 'Theme: dark' })).toBeVisible()
	await expect.poll(ground).not.toBe(light)
	await page.reload()
	await expect(page.getByRole('button', { name: 'Theme: dark' })).toBeVisible()
	expect(await ground()).not.toBe(light)
})

test('what the content security policy forbids does not run, and is heard of', async ({ page, watch }) => {
	await page.goto('/')
	await settled(page, 'Overview')
	const ran = await page.evaluate(() => {
		const script = document.createElement('script')
		script.textContent = 'globalThis.ran = true'
		document.body.append(script)
		document.body.setAttribute('style', 'opacity: 0.5')
		return { ran: 'ran' in globalThis, opacity: getComputedStyle(document.body).opacity }
	})
	expect(ran).toEqual({ ran: false, opacity: '1' })
	await expect.poll(() => watch.wrong().length).toBe(2)
	watch.allow.push(/Content Security Policy/)
})

test('the first paint is there within a second', async ({ page }) => {
	await page.goto('/') // the browser is warm
	await page.reload()
	await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
	const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN)
	test.info().annotations.push({ type: 'first paint', description: `${paint.toFixed(0)} ms` })
	expect(paint).toBeLessThan(1000)
})
