export default {
	compilerOptions: {
		runes: true,
		cssHash: ({ hash, css }) => `s-${hash(css)}`, // of the content alone: the same wherever it is built
	},
}
