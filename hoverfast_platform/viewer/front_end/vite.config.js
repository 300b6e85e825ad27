// Built into the Python package, with addresses relative to the page, which may lie under any path.
export default {
  base: "./",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsDir: "static",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1200,
    modulePreload: { polyfill: false },
  },
};
