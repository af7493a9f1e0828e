// Runs the .onnx file: `engine(bytes, shape, wasm)` gives `run(pixels)`, which gives the scores as the file has them.
import * as ort from "onnxruntime-web/wasm";

const KINDS = { Uint8Array: "uint8", Float32Array: "float32" };

export async function engine(bytes, shape) {
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const [given] = session.inputNames, [wanted] = session.outputNames;
  return async (pixels) => {
    const outputs = await session.run({ [given]: new ort.Tensor(KINDS[pixels.constructor.name], pixels, shape) });
    return outputs[wanted].data;
  };
}
