// One process of a measurement: engines started anew in a frame of its own. The page calls `check` or `measure`.
import { start } from "./engines.js";

const KINDS = { uint8: Uint8Array, float32: Float32Array };
const say = (failure) => String(failure?.message ?? failure).split("\n")[0].slice(0, 300);

function images(job, variant, buffers) {
  const all = new KINDS[variant.input.dtype](buffers[variant.images].slice(0));
  const size = all.length / job.images;
  return Array.from({ length: job.images }, (_, i) => all.slice(i * size, (i + 1) * size));
}

function scores(raw, output) {
  if (!output.scale) return Array.from(raw);
  const scale = Math.fround(output.scale);
  return Array.from(raw, (value) => Math.fround((value - output.zero_point) * scale));
}

async function opened(engine, variant, buffers) {
  // bytes of this frame's own: engines ask what kind of array they are given
  return engine(new Uint8Array(buffers[variant.model].slice(0)), variant.input.shape);
}

async function starting(variants, threads, accelerator) {
  const engines = {}, took = {};
  for (const { format } of variants) {
    if (format in engines) continue;
    const from = performance.now();
    engines[format] = await start(format, threads, accelerator).catch((failure) => { throw new Error(`${format}: ${say(failure)}`); });
    took[format] = performance.now() - from;
  }
  return { engines, took };
}

// Scores of the golden images; `refused` is why a file was not opened, `died` what became of one that was. After
// `seconds` no further image is begun.
async function check(job, variants, accelerator, seconds, buffers, tell) {
  const { engines } = await starting(variants, 1, accelerator);
  const found = [];
  for (const variant of variants) {
    const one = { variant: variant.name, accelerator };
    let run = null;
    try {
      run = await opened(engines[variant.format], variant, buffers);
      const given = [], end = performance.now() + 1000 * seconds;
      for (const pixels of images(job, variant, buffers)) {
        if (given.length && performance.now() > end) break;
        const some = scores(await run(pixels), variant.output);
        if (!some.every(Number.isFinite)) throw new Error("its scores are not finite");
        if (some.length !== job.classes) throw new Error(`it gives ${some.length} scores`);
        given.push(...some);
        await tell();
      }
      found.push({ ...one, scores: given, whole: run.whole !== false });
    } catch (failure) {
      found.push({ ...one, [run ? "died" : "refused"]: say(failure) });
    }
    await tell(variant, found[found.length - 1]);
  }
  return found;
}

function clockStep() {
  const steps = [];
  for (let i = 0; i < 20; i++) {
    const from = performance.now();
    let now = from;
    while (now === from) now = performance.now();
    steps.push(now - from);
  }
  return Math.min(...steps);
}

// Time so many runs at once, the images in turn; with `every` one more each so many, which is not counted.
async function block(one, calls) {
  const { run, given } = one, more = one.variant.every ? Math.floor(calls / one.variant.every) : 0;
  const from = performance.now();
  for (let i = 0; i < calls + more; i++) await run(given[one.next++ % given.length]);
  return (performance.now() - from) / calls;
}

const breathe = () => new Promise((done) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); done(); };
  port2.postMessage(0);
});

const turned = (list, turn) => list.map((_, i) => list[(i + turn) % list.length]);

async function measure(job, variants, accelerator, plan, buffers, turn, tell) {
  const { engines, took } = await starting(variants, plan.threads, accelerator);
  const every = [];
  for (const variant of turned(variants, turn)) { // where a file's memory comes to lie depends on who was first
    const given = images(job, variant, buffers);
    const from = performance.now();
    const run = await opened(engines[variant.format], variant, buffers);
    const load = performance.now() - from;
    const one = { variant, run, given, next: 0, samples: { import: [took[variant.format]], load: [load], warm_up: [], warm_run: [] } };
    one.samples.first_run = [await block({ ...one, variant: {} }, 1)];
    every.push(one);
  }
  const step = clockStep(), least = Math.max(job.block_ms, 50 * step);
  const warm = Math.min(plan.warmup_seconds, 0.3, 2 * plan.seconds) * 1000; // a quick look warms up for as long
  for (const one of every) {
    let calls = 1;
    for (let spent = 0; spent < warm && one.samples.warm_up.length < job.most_samples;) {
      const mean = await block(one, calls);
      one.samples.warm_up.push(mean);
      spent += mean * calls;
      calls = Math.max(1, Math.ceil(least / 10 / Math.max(mean, step / calls, 1e-4)));
      await breathe();
    }
    const latest = one.samples.warm_up.slice(Math.floor(one.samples.warm_up.length / 2)).sort((a, b) => a - b);
    one.calls = Math.max(1, Math.ceil(least / Math.max(latest[Math.floor(latest.length / 2)], 1e-4)));
    if (one.variant.every) one.calls = Math.ceil(one.calls / one.variant.every) * one.variant.every;
    one.queries = one.spent = 0;
    await tell(0);
  }
  // forwards, then backwards, and another one first in each frame: what drifts falls on all of them
  const rest = (one) => one.samples.warm_run.length < job.most_samples && (one.samples.warm_run.length < 6 || one.spent < plan.seconds * 1000 || one.queries < plan.runs);
  while (every.some(rest)) {
    for (const one of [...every, ...every.toReversed()]) {
      const mean = await block(one, one.calls);
      one.samples.warm_run.push(mean);
      one.queries += one.calls;
      one.spent += mean * one.calls;
      await breathe();
    }
    const share = (one) => Math.min(one.spent / (plan.seconds * 1000), one.queries / plan.runs, 1);
    await tell(Math.min(...every.map(share)));
  }
  return every.map((one) => ({
    variant: one.variant.name,
    accelerator,
    threads: plan.threads,
    calls_per_sample: one.calls,
    queries: one.queries,
    samples_ns: Object.fromEntries(Object.entries(one.samples).map(([name, ms]) => [name, ms.map((t) => Math.max(0, Math.round(t * 1e6)))])),
  }));
}

window.work = { check, measure, clockStep };
