// Run by Node.js: what onnxruntime-node makes of each file and batch of images. A job and answers are JSON.
const ort = require("onnxruntime-node");
const job = JSON.parse(require("fs").readFileSync(0, "utf8"));

function shapeOf(batch) {
  return Array.isArray(batch) ? [batch.length, ...shapeOf(batch[0])] : [];
}

async function scores(path) {
  // As Edgewright's own runtime asks for it: without VNNI, x86 processors saturate sums of 8-bit products.
  const options = { intraOpNumThreads: 1, extra: { session: { x64quantprecision: "1" } } };
  const session = await ort.InferenceSession.create(path, options);
  const rows = [];
  for (const batch of job.batches) {
    const pixels = new ort.Tensor("uint8", Uint8Array.from(batch.flat(Infinity)), shapeOf(batch));
    const output = (await session.run({ [session.inputNames[0]]: pixels }))[session.outputNames[0]];
    const classes = output.dims[1];
    for (let i = 0; i < output.dims[0]; i++) {
      rows.push(Array.from(output.data.slice(i * classes, (i + 1) * classes)));
    }
  }
  return rows;
}

(async () => {
  const answers = {};
  for (const [name, path] of Object.entries(job.files)) answers[name] = await scores(path);
  process.stdout.write(JSON.stringify(answers));
})().catch((failure) => {
  console.error(failure);
  process.exit(1);
});
