import type { Component } from 'svelte'
import type { IconName } from '../ui/Icon.svelte'

export interface Screen {
	path: string
	title: string
	icon: IconName
	/** Goes there after g. */
	key: string
	/** What it is for, in the command palette. */
	about: string
	load?: () => Promise<{ default: Component }>
	/** Until the screen is there: the verbs that do the same. */
	verbs?: string[]
}

export const screens: Screen[] = [
	{
		path: '/',
		title: 'Overview',
		icon: 'overview',
		key: 'o',
		about: 'Is it healthy?',
		load: () => import('./overview/Screen.svelte'),
	},
	{
		path: '/live',
		title: 'Live',
		icon: 'live',
		key: 'l',
		about: 'What is changing right now?',
		load: () => import('./live/Screen.svelte'),
	},
	{
		path: '/rules',
		title: 'Rules',
		icon: 'rules',
		key: 'r',
		about: 'Write, try, back-test, publish',
		load: () => import('./rules/Screen.svelte'),
	},
	{
		path: '/deliveries',
		title: 'Deliveries',
		icon: 'deliveries',
		key: 'd',
		about: 'Did the partner get it?',
		load: () => import('./deliveries/Screen.svelte'),
	},
	{
		path: '/dead-letters',
		title: 'Dead letters',
		icon: 'letters',
		key: 'x',
		about: 'What could not be judged',
		load: () => import('./dead-letters/Screen.svelte'),
	},
	{
		path: '/audit',
		title: 'Audit',
		icon: 'audit',
		key: 'a',
		about: 'Find and prove',
		load: () => import('./audit/Screen.svelte'),
	},
	{
		path: '/plugins',
		title: 'Plugins',
		icon: 'plugins',
		key: 'p',
		about: 'Modules, limits, times',
		load: () => import('./plugins/Screen.svelte'),
	},
	{
		path: '/schema',
		title: 'Schema',
		icon: 'schema',
		key: 's',
		about: 'Tables and columns',
		load: () => import('./schema/Screen.svelte'),
	},
	{
		path: '/settings',
		title: 'Settings',
		icon: 'settings',
		key: ',',
		about: 'Connections, roles, who am I',
		load: () => import('./settings/Screen.svelte'),
	},
]

/** The screen of a path, '' for none. */
export function screenOf(path: string): Screen | undefined {
	const first = '/' + (path.split('/')[1] ?? '')
	return screens.find((s) => s.path === first)
}
