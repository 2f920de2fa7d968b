// J15: who may do what, where people are asked who they are.
import { expect, expectAccessible, picture, test } from './cdcd'
import type { Page } from '@playwright/test'

async function signIn(page: Page, token: string): Promise<void> {
	await page.getByRole('textbox', { name: 'Token' }).fill(token)
	await page.getByRole('button', { name: 'Sign in' }).click()
}

test.use({ on: 'own' })

test('one signs in with a token; it is refused when it is wrong, and ends when it is revoked', async ({ page, cdcd, watch }) => {
	watch.allow.push(/status of 401/)
	await cdcd.askForTokens()
	const token = cdcd.makeToken('ada', 'viewer')
	await page.goto('/schema')
	await expect(page.getByRole('heading', { name: 'Sign in to cdcd' })).toBeVisible()
	await expectAccessible(page)
	await picture(page, 'sign-in-light')

	await signIn(page, 'cdcd_wrong')
	await expect(page.getByRole('alert')).toContainText('none of this cdcd')
	await expectAccessible(page)

	await signIn(page, token)
	await expect(page.getByRole('heading', { level: 1, name: 'Schema' })).toBeVisible() // where one was going
	await expect(page.getByRole('table').getByText('shop.orders')).toBeVisible()
	await expect(page.getByText('No authentication')).toHaveCount(0)
	await expect(page.getByRole('banner').getByText('viewer')).toBeVisible()
	await page.reload()
	await expect(page.getByRole('table').getByText('shop.orders')).toBeVisible()
	const cookies = await page.context().cookies()
	expect(cookies.map((c) => ({ httpOnly: c.httpOnly, sameSite: c.sameSite, token: c.value.includes(token) }))).toEqual([
		{ httpOnly: true, sameSite: 'Strict', token: false },
	])
	await page.getByRole('link', { name: 'Settings' }).click()
	await expect(page.getByText('ada')).toBeVisible()

	cdcd.run('console', 'revoke', 'ada')
	await expect(page.getByRole('heading', { name: 'Sign in to cdcd' })).toBeVisible() // nothing has to be clicked
})
