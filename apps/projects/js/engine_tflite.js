// Runs the .tflite file: `engine(bytes, shape)` gives `run(pixels)`, which gives the scores as the file has them.
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

const isNode = typeof process === "object" && Boolean(process.versions?.node);

// LiteRT.js loads its WebAssembly by a script, as pages and workers do. In node that script runs as a module would.
async function inNode() {
  const { readFileSync } = await import("node:fs");
  const { createRequire } = await import("node:module");
  const { dirname, join } = await import("node:path");
  const { fileURLToPath } = await import("node:url");
  const folder = join(dirname(fileURLToPath(import.meta.resolve("@litertjs/core"))), "..", "wasm");
  globalThis.self ??= globalThis;
  globalThis.Module = { printErr: (line) => { if (line.startsWith("ERROR")) console.error(line); } }; // not its INFO
  globalThis.importScripts = (path) => {
    const given = { require: createRequire(path), __filename: path, __dirname: dirname(path) };
    const code = `${readFileSync(path, "utf8")}\nreturn ModuleFactory;`;
    globalThis.ModuleFactory = new Function(...Object.keys(given), code)(...Object.values(given));
  };
  const { warn } = console;
  console.warn = () => {}; // that node has no GPU
  try {
    await loadLiteRt(folder);
  } finally {
    console.warn = warn;
    delete globalThis.importScripts;
  }
}

const inBrowser = () => loadLiteRt(new URL("../node_modules/@litertjs/core/wasm/", import.meta.url).href);

let loaded = null;

export async function engine(bytes, shape) {
  await (loaded ??= isNode ? inNode() : inBrowser());
  const model = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
  return async (pixels) => {
    const input = new Tensor(pixels, shape), outputs = await model.run(input);
    const scores = outputs[0].toTypedArray().slice(); // of the engine's own memory
    for (const output of outputs) output.delete();
    input.delete();
    return scores;
  };
}
