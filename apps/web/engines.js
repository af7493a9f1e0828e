// The two engines behind one shape: `start(format, threads)` gives `open(bytes, shape)`, which gives `run(pixels)`.

const BASE = new URL("assets/", location.href).href;

async function litert(threads) {
  const { loadLiteRt, loadAndCompile, Tensor } = await import(BASE + "@litertjs/core/dist/index.js");
  await loadLiteRt(BASE + "@litertjs/core/wasm/", { threads: threads > 1 });
  return async (bytes, shape) => {
    const model = await loadAndCompile(bytes, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
    return async (pixels) => {
      const input = new Tensor(pixels, shape);
      const outputs = await model.run(input);
      const scores = outputs[0].toTypedArray().slice(); // of the engine's own memory
      for (const output of outputs) output.delete();
      input.delete();
      return scores;
    };
  };
}

async function onnx(threads) {
  const ort = await import(BASE + "onnxruntime-web/dist/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = BASE + "onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  // its WebAssembly is compiled when the first file is opened: an empty one, which is refused, starts it
  await ort.InferenceSession.create(new Uint8Array(1), { executionProviders: ["wasm"] }).catch(() => {});
  return async (bytes, shape) => {
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    const [given] = session.inputNames, [wanted] = session.outputNames;
    const kind = { Uint8Array: "uint8", Float32Array: "float32" };
    return async (pixels) => {
      const outputs = await session.run({ [given]: new ort.Tensor(kind[pixels.constructor.name], pixels, shape) });
      return outputs[wanted].data;
    };
  };
}

export const start = (format, threads) => (format === "onnx" ? onnx(threads) : litert(threads));
