// J1: is it healthy?
import { expect, expectAccessible, test } from './cdcd'

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
	const before = await objects.textContent()
	await expect(objects).not.toHaveText(before!)
})

test('what shows it is said when the connection is lost; it stays, and goes on when cdcd is back', async ({
	page,
	cdcd,
	watch,
}) => {
	watch.allow.push(
		/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_NETWORK/,
	)
	await page.goto('/live')
	const rows = page.getByRole('table').getByRole('row')
	await expect(rows.nth(5)).toBeVisible()
	await expect(page.getByText('Live', { exact: true }).nth(1)).toBeVisible()
	await cdcd.stop()
	await expect(page.getByText('Disconnected').first()).toBeVisible()
	await expect(rows.nth(5)).toBeVisible()
	await expectAccessible(page)
	const kept = await rows.nth(1).textContent()
	await cdcd.start()
	await page.getByRole('button', { name: /Try now/ }).click()
	await expect(page.getByText('Disconnected')).toHaveCount(0)
	await expect(rows.nth(1)).not.toHaveText(kept!)
})
