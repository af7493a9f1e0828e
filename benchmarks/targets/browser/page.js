// Asks for the work, has frames do it, shows how far it is, posts what came of it.
import { sha256 } from "./sha256.js";

const at = (id) => document.getElementById(id);
const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
const median = (list) => { const s = [...list].sort((a, b) => a - b), m = s.length >> 1; return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2; };
const shown = (ns) => { const ms = ns / 1e6; return ms >= 100 ? ms.toFixed(0) : ms.toPrecision(3); };
let device = { key, name: "unknown", browser: "unknown", system: "unknown", user_agent: navigator.userAgent, cores: 0, clock_step_ns: 0, isolated: false, secure: false, mobile: false };

function status(text, kind = "") {
  at("status").textContent = text;
  at("status").className = kind;
}

async function post(name, body) {
  const answer = await fetch(name, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the computer answers ${answer.status}`);
}

let last = 0;
async function progress(variant = "") {
  if (!variant && performance.now() - last < 2000) return;
  last = performance.now();
  await post("progress", { device, variant }).catch(() => {});
}

function browserOf(agent) {
  for (const [name, pattern] of [["Edge", /Edg\w*\/(\d+)/], ["Opera", /OPR\/(\d+)/], ["Samsung Internet", /SamsungBrowser\/(\d+)/], ["Firefox", /(?:Firefox|FxiOS)\/(\d+)/], ["Chrome", /(?:Chrome|CriOS|HeadlessChrome)\/(\d+)/], ["Safari", /Version\/(\d+[.\d]*).*Safari/]]) {
    const found = agent.match(pattern);
    if (found) return `${name} ${found[1]}`;
  }
  return "unknown browser";
}

async function describe() {
  const agent = navigator.userAgent, hints = navigator.userAgentData;
  const told = (await hints?.getHighEntropyValues?.(["model", "platformVersion", "architecture"]).catch(() => null)) ?? {};
  const brand = hints?.brands?.find((b) => !/Not.?A.?Brand|Chromium/i.test(b.brand)) ?? hints?.brands?.find((b) => b.brand === "Chromium");
  const iPad = /Macintosh/.test(agent) && navigator.maxTouchPoints > 1;
  const mobile = /Android|iPhone|iPad|iPod/.test(agent) || iPad || hints?.mobile === true;
  const android = agent.match(/Android ([\d.]+)(?:; ([^;)]+))?/);
  const system = android ? `Android ${told.platformVersion || android[1]}`
    : iPad ? "iPadOS" : (agent.match(/(?:iPhone|CPU) OS ([\d_]+)/)?.[1].replaceAll("_", ".").replace(/^/, "iOS "))
    ?? [told.platform ?? hints?.platform ?? agent.match(/Windows|Macintosh|CrOS|Linux/)?.[0] ?? "unknown", told.platformVersion, told.architecture].filter(Boolean).join(" ");
  const model = told.model || (android && android[2] && android[2].trim() !== "K" ? android[2].replace(/ Build\/.*/, "").trim() : "");
  const name = model || (android ? "Android device" : iPad || /iPad/.test(agent) ? "iPad" : /iPhone/.test(agent) ? "iPhone" : `${system} computer`);
  const isolated = self.crossOriginIsolated === true;
  return { ...device, name, system, mobile, isolated, secure: self.isSecureContext === true, cores: navigator.hardwareConcurrency ?? 0, browser: brand ? `${brand.brand} ${brand.version}` : browserOf(agent) };
}

// What this page does without, and why.
function lacking() {
  const lines = [];
  if (!self.isSecureContext) {
    lines.push("This page came by plain http from another machine, so the browser gives it no threads, no WebGPU and a clock with steps of 0.1 ms or more. One thread of WebAssembly is measured.");
  } else if (!self.crossOriginIsolated) {
    lines.push("The browser does not isolate this page: one thread only, and a coarse clock.");
  }
  at("missing").replaceChildren(...lines.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  at("missing").hidden = lines.length === 0;
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

function row(variant) {
  const cells = Array.from({ length: 5 }, () => document.createElement("td"));
  cells[0].append(variant.name, Object.assign(document.createElement("small"), { textContent: `${(variant.bytes / 1000).toLocaleString("en", { maximumFractionDigits: 0 })} kB` }));
  for (const cell of cells.slice(1)) cell.textContent = "…";
  const line = document.createElement("tr");
  line.append(...cells);
  at("rows").append(line);
  return cells;
}

function judge(variant, found, recorded, job) {
  if (found.refused) return ["wrong", `not run: ${found.refused}`];
  let most = 0;
  const labels = new Set();
  const best = (from, list) => { let k = from; for (let j = from; j < from + job.classes; j++) if (list[j] > list[k]) k = j; return k; };
  for (let i = 0; i < recorded.length; i++) most = Math.max(most, Math.abs(found.scores[i] - recorded[i]));
  for (let i = 0; i < job.images; i++) if (best(i * job.classes, found.scores) !== best(i * job.classes, recorded)) labels.add(i);
  const off = most === 0 ? "equal" : `within ${most.toPrecision(2)}`;
  if (most <= variant.right) return ["right", off];
  if (most <= variant.tolerated && labels.size === 0) return ["differs", `${off}, same labels`];
  return ["wrong", `off by ${most.toPrecision(2)}; other labels: ${labels.size} of ${job.images}`];
}

async function main() {
  device = await describe();
  lacking();
  const job = JSON.parse(new TextDecoder().decode(await fetched("job.json")));
  at("bundle").textContent = job.bundle;
  at("images").textContent = `${job.images}`;
  document.title = `Edgewright: ${job.bundle} in this browser`;
  at("device").textContent = `${device.name}, ${device.browser}, ${device.cores || "unknown"} cores`;
  await progress();
  const cells = Object.fromEntries(job.variants.map((variant) => [variant.name, row(variant)]));
  const buffers = {};
  for (const variant of job.variants) {
    status(`Fetching ${variant.name}`);
    buffers[variant.model] = await fetched(variant.model, variant.sha256);
    buffers[variant.images] ??= await fetched(variant.images);
    buffers[variant.scores] = await fetched(variant.scores);
  }

  const frames = job.plans.reduce((sum, plan) => sum + plan.processes, 0);
  at("bar").max = frames + 1;
  status("Checking the golden images");
  const first = await fresh();
  device.clock_step_ns = Math.round(first.work.clockStep() * 1e6);
  const verdicts = {};
  const checks = await first.work.check(job, buffers, async (variant, found) => {
    const [kind, text] = (verdicts[variant.name] = judge(variant, found, new Float32Array(buffers[variant.scores]), job));
    cells[variant.name][1].className = kind;
    cells[variant.name][1].textContent = kind === "right" ? `right: ${text}` : `${kind}: ${text}`;
    if (found.refused) for (const cell of cells[variant.name].slice(2)) cell.textContent = "–";
    at("bar").value += 1 / job.variants.length;
    await progress();
  });
  first.end();

  const able = job.variants.filter((variant) => !checks.find((c) => c.variant === variant.name).refused);
  const measurements = [];
  let frame = 0;
  for (let turn = 0; able.length && turn < Math.max(...job.plans.map((plan) => plan.processes)); turn++) {
    for (const plan of job.plans.filter((p) => turn < p.processes)) {
      if (plan.threads > 1 && !self.crossOriginIsolated) throw new Error(`${plan.threads} threads were asked for, and this browser gives this page one`);
      status(`Measuring, frame ${frame + 1} of ${frames}`);
      const { work, end } = await fresh();
      const done = await work.measure(job, able, plan, buffers, turn, async (share) => {
        at("bar").value = 1 + frame + share;
        await progress();
      });
      end();
      frame++;
      at("bar").value = 1 + frame;
      for (const m of done) {
        measurements.push(JSON.parse(JSON.stringify(m)));
        await progress(m.variant);
        const mine = measurements.filter((one) => one.variant === m.variant && one.threads === job.plans[0].threads);
        const each = (stage) => shown(median(mine.map((one) => median(one.samples_ns[stage]))));
        if (mine.length) ["load", "first_run", "warm_run"].forEach((stage, i) => { cells[m.variant][2 + i].textContent = each(stage); });
      }
    }
  }
  status("Sending");
  await post("results", { device, checks, measurements });
  const names = Object.keys(verdicts).filter((name) => verdicts[name][0] !== "right");
  status(names.length ? `Done. Not as recorded: ${names.join(", ")}` : "Done. Every file answers as recorded; you may close this page.", names.some((name) => verdicts[name][0] === "wrong") ? "bad" : "good");
}

main().catch(async (failure) => {
  const reason = String(failure?.message ?? failure).slice(0, 300);
  status(`It stopped: ${reason}`, "bad");
  await post("failed", { device, reason }).catch(() => {});
});
