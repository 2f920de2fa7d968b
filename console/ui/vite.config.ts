import { svelte } from '@sveltejs/vite-plugin-svelte'
import { lezer } from '@lezer/generator/rollup'
import { basename, dirname } from 'node:path'
import { defineConfig } from 'vitest/config'

// The names of the built files are the same whatever is in them: the files are committed, and cdcd makes their ETags from
// their content when it starts. A screen's chunk has the name of its folder.
function chunkName(chunk: { name: string; facadeModuleId?: string | null }): string {
	const module = chunk.facadeModuleId
	return `assets/${module?.includes('/screens/') ? basename(dirname(module)) : chunk.name}.js`
}

const cdcd = process.env.CDCD_CONSOLE ?? 'http://127.0.0.1:8480'

export default defineConfig({
	plugins: [lezer(), svelte()],
	server: {
		// `npm run dev` serves the sources and asks the cdcd at $CDCD_CONSOLE. The header is what a browser would send there.
		proxy: { '/api': { target: cdcd, changeOrigin: true, headers: { origin: cdcd } } },
	},
	build: {
		target: 'es2023',
		assetsInlineLimit: 0, // the content security policy has no data: for fonts
		cssCodeSplit: false,
		modulePreload: { polyfill: false },
		reportCompressedSize: false,
		rolldownOptions: {
			checks: { pluginTimings: false },
			input: { app: 'index.html' },
			output: {
				entryFileNames: 'assets/[name].js',
				chunkFileNames: chunkName,
				assetFileNames: (asset) => (asset.names[0]?.endsWith('.css') ? 'assets/app.css' : 'assets/[name][extname]'),
				codeSplitting: {
					groups: [
						{ name: 'editor', test: /@codemirror|@lezer|style-mod|w3c-keyname|crelt|src\/editor/, priority: 2 },
						{ name: 'ui', test: /node_modules|src\/(lib|ui)\/|vite\/preload/, priority: 1 },
					],
				},
			},
		},
	},
	test: { include: ['src/**/*.test.ts'] },
})
