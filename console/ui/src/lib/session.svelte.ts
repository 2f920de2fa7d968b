// Who asks, and what they may.
import { api, ApiError, whenUnauthorized } from './api'
import type { Role, Settings } from './types'

export const roles: readonly Role[] = ['viewer', 'analyst', 'publisher', 'operator']

let settings = $state.raw<Settings>()
let needed = $state(false)
let failed = $state.raw<ApiError>()

export const me = {
	/** What the console was told about cdcd when it was opened; undefined until then. */
	get settings() {
		return settings
	},
	get role(): Role | undefined {
		return settings?.access.me.role
	},
	/** A token must be given first. */
	get needed() {
		return needed
	},
	get failed() {
		return failed
	},
	/** Whether the role may do what needs `role`. */
	may(role: Role): boolean {
		return this.role !== undefined && roles.indexOf(this.role) >= roles.indexOf(role)
	},
	/** What a control says that the role may not use: undefined when it may. */
	why(role: Role): string | undefined {
		return this.may(role) ? undefined : `This needs the role ${role}; yours is ${this.role ?? 'not known'}`
	},
	async load(): Promise<void> {
		try {
			settings = await api.get<Settings>('/settings')
			;[needed, failed] = [false, undefined]
		} catch (e) {
			if (e instanceof ApiError && e.status !== 401) {
				failed = e
			}
		}
	},
	async enter(token: string): Promise<void> {
		await api.post('/session', { token })
		await this.load()
	},
	async leave(): Promise<void> {
		await api.delete('/session')
		location.reload()
	},
}

whenUnauthorized(() => (needed = true))
