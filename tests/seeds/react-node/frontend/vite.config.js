import { defineConfig } from "vite";

export default defineConfig({
  esbuild: { jsx: "automatic" },
  build: {
    outDir: "build",
    // Names without a hash, so that a test can ask for them.
    rollupOptions: { output: { entryFileNames: "assets/[name].js" } },
  },
});
