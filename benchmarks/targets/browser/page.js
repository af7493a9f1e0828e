// Asks for the work, has frames do it, shows how far it is, and posts what came of it, or gives it to be taken along.
import { describe, lacking } from "./device.js";
import { sha256 } from "./sha256.js";

const at = (id) => document.getElementById(id);
const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
const median = (list) => { const s = [...list].sort((a, b) => a - b), m = s.length >> 1; return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2; };
const shown = (ns) => { const ms = ns / 1e6; return ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3); };
const text = (failure) => String(failure?.message ?? failure).slice(0, 300);
const SILENT = 60; // seconds without an answer of a GPU
const SOFTWARE = 10; // seconds of a file in software
let device = { key, name: "unknown", browser: "unknown", system: "unknown", user_agent: navigator.userAgent, cores: 0, clock_step_ns: 0, isolated: false, secure: false, mobile: false, gpu: "", gpu_software: false };
let job = null;

function status(text, kind = "") {
  at("status").textContent = text;
  at("status").className = kind;
}

async function post(name, body) {
  if (job?.take) return; // a page of nobody's computer
  const answer = await fetch(name, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the computer answers ${answer.status}`);
}

let last = 0;
async function progress(variant = "") {
  if (!variant && performance.now() - last < 2000) return;
  last = performance.now();
  await post("progress", { device, variant }).catch(() => {});
}

async function fetched(name, sum) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} cannot be fetched: ${answer.status}`);
  const buffer = await answer.arrayBuffer();
  if (sum && sha256(new Uint8Array(buffer)) !== sum) throw new Error(`${name} did not arrive whole: its SHA-256 is another`);
  return buffer;
}

// A frame whose engines nobody has used.
function fresh() {
  return new Promise((done, failed) => {
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.title = "where files are run";
    frame.onload = async () => {
      for (let i = 0; i < 200 && !frame.contentWindow.work; i++) await new Promise((wait) => setTimeout(wait, 50));
      if (frame.contentWindow.work) done({ work: frame.contentWindow.work, end: () => frame.remove() });
      else failed(new Error("the frame that runs files did not start"));
    };
    frame.src = "frame.html";
    document.body.append(frame);
  });
}

function row(variant, accelerator) {
  const cells = Array.from({ length: 5 }, () => document.createElement("td"));
  const where = accelerator === "webgpu" ? "WebGPU" : `${(variant.bytes / 1000).toLocaleString("en", { maximumFractionDigits: 0 })} kB`;
  cells[0].append(variant.name, Object.assign(document.createElement("small"), { textContent: where }));
  for (const cell of cells.slice(1)) cell.textContent = "…";
  const line = document.createElement("tr");
  line.append(...cells);
  at("rows").append(line);
  return cells;
}

// As the computer judges it: WebAssembly by what was recorded, a GPU by what its roundings explain.
function judge(variant, found, recorded) {
  if (found.refused) return ["wrong", `not run: ${found.refused}`];
  if (found.died) return ["wrong", `it fails: ${found.died}`];
  const count = found.scores.length / job.classes, limits = variant.limits[found.accelerator];
  let most = 0, turned = 0;
  const best = (from, list) => { let k = from; for (let j = from; j < from + job.classes; j++) if (list[j] > list[k]) k = j; return k; };
  for (let i = 0; i < found.scores.length; i++) most = Math.max(most, Math.abs(found.scores[i] - recorded[i]));
  for (let i = 0; i < count; i++) turned += best(i * job.classes, found.scores) !== best(i * job.classes, recorded);
  const off = most === 0 ? "equal" : `within ${most.toPrecision(2)}`;
  if (most <= limits.right) return ["right", off];
  if (most <= limits.tolerated && turned === 0) return ["differs", `${off}, same labels`];
  return ["wrong", `off by ${most.toPrecision(2)}; other labels: ${turned} of ${count}`];
}

// What a frame is doing, or an error if it says nothing for a while: a GPU may hang.
function watched(doing, heard) {
  let timer = 0;
  const silence = new Promise((_, failed) => {
    timer = setInterval(() => performance.now() - heard.at > 1000 * SILENT && failed(new Error(`it says nothing for ${SILENT} s`)), 1000);
  });
  return Promise.race([doing, silence]).finally(() => clearInterval(timer));
}

function show(cells, variant, found, buffers) {
  const [kind, words] = judge(variant, found, new Float32Array(buffers[variant.scores]));
  cells[1].className = kind;
  cells[1].textContent = kind === "right" ? `right: ${words}` : `${kind}: ${words}`;
  if (!found.scores) for (const cell of cells.slice(2)) cell.textContent = "–";
  return kind;
}

// Frames of one accelerator, each with all files that run on it.
async function timed(variants, accelerator, plans, cells, buffers) {
  const found = [], frames = plans.reduce((sum, plan) => sum + plan.processes, 0);
  let frame = 0;
  const start = at("bar").value;
  for (let turn = 0; variants.length && turn < Math.max(...plans.map((plan) => plan.processes)); turn++) {
    for (const plan of plans.filter((p) => turn < p.processes)) {
      if (plan.threads > 1 && !self.crossOriginIsolated) throw new Error(`${plan.threads} threads were asked for, and this browser gives this page one`);
      status(`Measuring${accelerator === "webgpu" ? " WebGPU" : ""}, frame ${frame + 1} of ${frames}`);
      const { work, end } = await fresh(), heard = { at: performance.now() };
      const doing = work.measure(job, variants, accelerator, plan, buffers, turn, async (share) => {
        heard.at = performance.now();
        at("bar").value = start + frame + share;
        await progress();
      });
      const done = await (accelerator === "webgpu" ? watched(doing, heard) : doing).finally(end);
      at("bar").value = start + ++frame;
      for (const m of done) {
        found.push(JSON.parse(JSON.stringify(m)));
        await progress(m.variant);
        const mine = found.filter((one) => one.variant === m.variant && one.threads === plans[0].threads);
        const each = (stage) => shown(median(mine.map((one) => median(one.samples_ns[stage]))));
        if (mine.length) ["load", "first_run", "warm_run"].forEach((stage, i) => { cells[m.variant][2 + i].textContent = each(stage); });
      }
    }
  }
  return found;
}

// Each file in a frame of its own, as one that kills the GPU's process takes others along; then times, of a real GPU.
async function onGpu(buffers) {
  const cells = Object.fromEntries(job.variants.map((variant) => [variant.name, row(variant, "webgpu")]));
  const checks = [], kinds = {};
  for (const variant of job.variants) {
    status(`Checking ${variant.name} in WebGPU`);
    const { work, end } = await fresh(), heard = { at: performance.now() };
    const tell = async () => { heard.at = performance.now(); await progress(); };
    let found;
    try {
      [found] = await watched(work.check(job, [variant], "webgpu", device.gpu_software ? SOFTWARE : 3600, buffers, tell), heard);
    } catch (failure) {
      found = { variant: variant.name, accelerator: "webgpu", died: text(failure) };
    }
    end();
    checks.push(JSON.parse(JSON.stringify(found)));
    kinds[variant.name] = show(cells[variant.name], variant, found, buffers);
    if (device.gpu_software) for (const cell of cells[variant.name].slice(2)) cell.textContent = "–";
  }
  let measurements = [];
  if (!device.gpu_software) {
    const able = job.variants.filter((variant) => checks.find((c) => c.variant === variant.name).scores);
    const plan = { ...job.plans[0], threads: 1 };
    measurements = await timed(able, "webgpu", [plan], cells, buffers).catch((failure) => {
      status(`WebGPU was not timed: ${text(failure)}`, "bad");
      return [];
    });
  }
  return { checks, measurements, kinds };
}

// Results that nobody is waiting for: a file, the clipboard, or what the system shares with.
function take(results) {
  const raw = JSON.stringify({ ...results, files: job.files, plans: job.plans, versions: job.versions });
  const name = `${job.bundle}-${device.name}`.replace(/[^\w-]+/g, "-").slice(0, 60) + ".json";
  const file = new File([raw], name, { type: "application/json" });
  at("command").textContent = job.take;
  at("text").value = raw;
  at("save").onclick = () => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  at("copy").onclick = async () => {
    const copied = navigator.clipboard?.writeText(raw).then(() => true).catch(() => false);
    if (!(await copied)) { at("text").focus(); at("text").select(); document.execCommand("copy"); }
    at("copy").textContent = "Copied";
  };
  at("share").hidden = !navigator.canShare?.({ files: [file] });
  at("share").onclick = () => navigator.share({ files: [file] }).catch(() => {});
  at("results").hidden = false;
}

async function main() {
  device = { ...device, ...(await describe()) };
  const told = JSON.parse(new TextDecoder().decode(await fetched("job.json")));
  job = told;
  const gpu = job.webgpu && device.gpu !== "";
  const lines = lacking(device, job.webgpu);
  at("missing").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  at("missing").hidden = lines.length === 0;
  at("bundle").textContent = job.bundle;
  at("images").textContent = `${job.images}`;
  document.title = `Edgewright: ${job.bundle} in this browser`;
  at("device").textContent = `${device.name}, ${device.browser}, ${device.cores || "unknown"} cores`;
  if (job.take) at("where").textContent = "Nothing is sent anywhere: the results stay on this page until you take them along.";
  await progress();
  const cells = Object.fromEntries(job.variants.map((variant) => [variant.name, row(variant, "wasm")]));
  const buffers = {};
  for (const variant of job.variants) {
    status(`Fetching ${variant.name}`);
    buffers[variant.model] = await fetched(variant.model, variant.sha256);
    buffers[variant.images] ??= await fetched(variant.images);
    buffers[variant.scores] = await fetched(variant.scores);
  }

  at("bar").max = 1 + job.plans.reduce((sum, plan) => sum + plan.processes, 0) + (gpu && !device.gpu_software ? job.plans[0].processes : 0);
  status("Checking the golden images");
  const first = await fresh();
  device.clock_step_ns = Math.round(first.work.clockStep() * 1e6);
  const kinds = {};
  let checks = await first.work.check(job, job.variants, "wasm", 3600, buffers, async (variant, found) => {
    if (variant) {
      kinds[variant.name] = show(cells[variant.name], variant, found, buffers);
      at("bar").value += 1 / job.variants.length;
    }
    await progress();
  });
  checks = JSON.parse(JSON.stringify(checks));
  first.end();

  const able = job.variants.filter((variant) => checks.find((c) => c.variant === variant.name).scores);
  let measurements = await timed(able, "wasm", job.plans, cells, buffers);
  if (gpu) {
    await post("results", { device, whole: false, checks, measurements }); // should the GPU take the page along
    const more = await onGpu(buffers);
    checks = [...checks, ...more.checks];
    measurements = [...measurements, ...more.measurements];
    for (const [name, kind] of Object.entries(more.kinds)) kinds[`${name} in WebGPU`] = kind;
  }
  status("Sending");
  const results = { device, whole: true, checks, measurements };
  await post("results", results);
  if (job.take) take(results);
  const names = Object.keys(kinds).filter((name) => kinds[name] !== "right");
  const done = job.take ? "take the results along" : "you may close this page";
  status(names.length ? `Done. Not as recorded: ${names.join(", ")}` : `Done. Every file answers as recorded; ${done}.`, names.some((name) => kinds[name] === "wrong") ? "bad" : "good");
}

main().catch(async (failure) => {
  const reason = text(failure);
  status(`It stopped: ${reason}`, "bad");
  await post("failed", { device, reason }).catch(() => {});
});
