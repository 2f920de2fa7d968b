import type { AuditEntry } from '../../lib/types'
import type { Tone } from '../../ui/Badge.svelte'

/** Kinds of entries: a colour, a word, and what it means that there is one. */
export const kinds: Record<string, [Tone, string, string]> = {
	object: ['accent', 'object', 'An object was delivered'],
	rules: ['violet', 'rules', 'Rules were published'],
	trap: ['bad', 'trap', 'A plugin broke down on a change'],
	trigger: ['info', 'told', 'Somebody was told of an object'],
	receipt: ['ok', 'receipt', 'A partner has signed that it has an object'],
	parked: ['warn', 'parked', 'Changes were put aside as dead letters'],
	retested: ['quiet', 'retested', 'Dead letters were judged once more, without effect'],
	edited: ['warn', 'edited', 'A dead letter got a corrected copy'],
	redriven: ['ok', 'redriven', 'Dead letters were delivered after all'],
	discarded: ['bad', 'discarded', 'Dead letters were given up'],
	replayed: ['info', 'replayed', 'History was delivered once more, to another place'],
	config_changed: ['violet', 'configuration', 'The configuration is another one from here on'],
	erased: ['bad', 'erased', 'The key of a person’s values was destroyed'],
	key_rotated: ['violet', 'key', 'A key took another’s place'],
	released: ['warn', 'released', 'A plugin that was in quarantine is asked again'],
}

/** The kind of an entry. Objects of dead letters are ours, and nobody got them. */
export function kindOf(e: AuditEntry): readonly [Tone, string, string] {
	if (e.kind === 'object' && /"chain":"[^"]*\.dead-letters\//.test(e.leaf)) {
		return ['warn', 'dead letters', 'Changes that could not be judged were put aside']
	}
	return kinds[e.kind] ?? ['quiet', e.kind, '']
}
