// J1: is it healthy?
import { expect, expectAccessible, test } from './cdcd'

test.describe('while the shop trades', () => {
	test.use({ on: 'trading' })
	test('it says in a sentence how everything is, and goes on by itself', async ({ page }) => {
		await page.goto('/')
		await expect(page.getByRole('region', { name: 'Verdict' })).toContainText(/\w+/)
		await expect(page.getByRole('list', { name: 'Stages' }).getByRole('heading')).toHaveText([
			'Source',
			'Stream',
			'Rules',
			'Delivery',
			'Partner',
		])
		const objects = page.getByRole('row', { name: /acme/ })
		await expect(objects).toBeVisible()
		const before = await objects.textContent()
		await expect(objects).not.toHaveText(before!)
	})
})

test.describe('when the connection is lost', () => {
	test.use({ on: 'own' })
	test('it is said, what is shown stays, and all goes on when cdcd is back', async ({ page, cdcd, watch }) => {
		watch.allow.push(
			/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_NETWORK/,
		)
		await page.goto('/live')
		const rows = page.getByRole('table').getByRole('row')
		await expect(rows.nth(5)).toBeVisible()
		const connected = page.getByRole('banner').getByText('Live', { exact: true })
		await expect(connected).toBeVisible()
		const kept = await rows.nth(1).textContent()
		await cdcd.stop()
		await expect(page.getByText('Disconnected').first()).toBeVisible()
		await expect(rows.nth(1)).toHaveText(kept!)
		await expectAccessible(page)
		await cdcd.start()
		await expect(page.getByText('Disconnected')).toHaveCount(0) // it tries again by itself
		await expect(connected).toBeVisible()
		await expect(rows.nth(1)).toHaveText(kept!)
	})
})
