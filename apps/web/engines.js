// The two engines behind one shape: `start(format, threads, accelerator)` gives `open(bytes, shape)`, which gives
// `run(pixels)`; `accelerator` is wasm or webgpu. `run.every` takes and gives all tensors as `{ data, shape }`, and
// `run.whole` is whether the engine says that it takes all operators, undefined if it does not say.

const BASE = new URL("assets/", location.href).href;

async function litert(threads, accelerator) {
  const { loadLiteRt, loadAndCompile, Tensor } = await import(BASE + "@litertjs/core/dist/index.js");
  const gpu = accelerator === "webgpu";
  // what WebGPU leaves to WebAssembly waits for it: only where promises can suspend WebAssembly
  await loadLiteRt(BASE + "@litertjs/core/wasm/", gpu ? { jspi: "Suspending" in WebAssembly } : { threads: threads > 1 });
  return async (bytes, shape) => {
    const how = gpu ? { gpuOptions: { precision: "fp32" } } : { cpuOptions: { numThreads: threads } };
    const model = await loadAndCompile(bytes, { accelerator, ...how });
    const every = async (inputs) => {
      const given = inputs.map((one) => new Tensor(one.data, one.shape));
      const outputs = await model.run(given), found = [];
      for (const output of outputs) {
        const data = gpu ? await output.data() : output.toTypedArray();
        found.push({ data: data.slice(), shape: output.type.layout.dimensions }); // of the engine's own memory
        output.delete();
      }
      for (const input of given) input.delete();
      return found;
    };
    const run = async (pixels) => (await every([{ data: pixels, shape }]))[0].data;
    return Object.assign(run, { every, whole: model.isFullyAccelerated });
  };
}

const KINDS = { Uint8Array: "uint8", Int8Array: "int8", Int32Array: "int32", BigInt64Array: "int64", Float32Array: "float32" };

async function onnx(threads, accelerator) {
  const ort = await import(BASE + `onnxruntime-web/dist/ort.${accelerator}.min.mjs`);
  const options = { executionProviders: [accelerator] };
  ort.env.wasm.wasmPaths = BASE + "onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  // its WebAssembly is compiled when the first file is opened: an empty one, which is refused, starts it
  await ort.InferenceSession.create(new Uint8Array(1), options).catch(() => {});
  return async (bytes, shape) => {
    const session = await ort.InferenceSession.create(bytes, options);
    const every = async (inputs) => {
      const feeds = {};
      inputs.forEach(({ data, shape }, i) => { feeds[session.inputNames[i]] = new ort.Tensor(KINDS[data.constructor.name], data, shape); });
      const outputs = await session.run(feeds);
      return session.outputNames.map((name) => ({ data: outputs[name].data, shape: outputs[name].dims }));
    };
    const run = async (pixels) => (await every([{ data: pixels, shape }]))[0].data;
    return Object.assign(run, { every });
  };
}

export const start = (format, threads, accelerator = "wasm") => (format === "onnx" ? onnx : litert)(threads, accelerator);
