// Shows a picture to the files of a bundle, and what they say.
import { start } from "./engines.js";
import { sha256 } from "./sha256.js";
import { decoded, frame } from "./decode.js";
import { toPixels } from "./preprocess.js";
import { dequantized, ranked } from "./scores.js";
import { keep, lacking, needed } from "./offline.js";

const at = (id) => document.getElementById(id);
const KINDS = { uint8: Uint8Array, float32: Float32Array };
const SHOWN = 5, MOST_YES = 12; // labels of a file
const BLOCK_MS = 20, MOST_RUNS = 50; // that a still picture is run for
const say = (failure) => String(failure?.message ?? failure).split("\n")[0].slice(0, 300);

function made(tag, given = {}, ...children) {
  const element = Object.assign(document.createElement(tag), given);
  element.append(...children);
  return element;
}

const unit = (number, name) => `${number}\u00a0${name}`; // on one line
const size = (bytes) => (bytes < 1e6 ? unit((bytes / 1e3).toFixed(bytes < 1e5 ? 1 : 0), "kB") : unit((bytes / 1e6).toFixed(1), "MB"));
const ms = (time) => unit(time >= 100 ? time.toFixed(0) : time >= 1 ? time.toPrecision(3) : time.toFixed(2), "ms");
const percent = (share) => unit(share > 0.9995 && share < 1 ? ">\u00a099.9" : share < 0.0005 && share > 0 ? "<\u00a00.1" : (100 * share).toFixed(1), "%");

let page = null; // what page.json says
let current = null; // the picture that is shown
let watching = null, asking = false; // the camera's stream; whether it may be used is being asked
const engines = {}, files = {};

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

function told(...parts) {
  at("status").replaceChildren(...parts);
}

// A file, opened once: `run` takes pixels and gives scores.
function opened(file) {
  files[file.path] ??= (async () => {
    const answer = await fetch(file.path);
    if (!answer.ok) throw new Error(`${file.path} cannot be fetched: ${answer.status}`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (sha256(bytes) !== file.sha256) throw new Error("it did not arrive whole: its SHA-256 is another; load the page again");
    engines[file.format] ??= start(file.format, 1);
    const open = await engines[file.format].catch((failure) => { delete engines[file.format]; throw failure; });
    const from = performance.now(), run = await open(bytes, file.input.shape);
    const load = performance.now() - from, kind = KINDS[file.input.dtype];
    await run(new kind(file.input.shape.reduce((all, side) => all * side, 1))); // the first run sets memory up
    return { load, run: async (pixels) => run(kind === Uint8Array ? pixels : kind.from(pixels)), scores: (raw) => dequantized(raw, file.output) };
  })().catch((failure) => { delete files[file.path]; throw failure; });
  return files[file.path];
}

// Scores for pixels and how long a run took: of a still picture the mean of several.
async function measured(file, pixels, several) {
  const { run, scores, load } = await opened(file);
  let from = performance.now();
  let raw = await run(pixels);
  let took = performance.now() - from, count = 1;
  if (several) {
    from = performance.now();
    for (count = 0; count < MOST_RUNS && performance.now() - from < BLOCK_MS; count++) raw = await run(pixels);
    took = (performance.now() - from) / count;
  }
  const found = scores(raw);
  if (!found.every(Number.isFinite)) throw new Error("its scores are not finite");
  return { ...ranked(page.head, page.threshold, found), scores: found, took, count, load };
}

const isSeveral = () => page.head.startsWith("sigmoid") && page.scores > 1;
const chosen = () => [at("first").value, at("second").value].filter((value) => value !== "").map((value) => page.files[Number(value)]);

function badges(file) {
  const found = [];
  if (!file.proven) found.push(made("span", { className: "badge doubt", title: "It was written though it was not proven equal enough to its model" }, "not proven"));
  return found;
}

function bars(found) {
  const yes = new Set(found.decided), turned = isSeveral() ? page.threshold : null;
  const count = Math.max(SHOWN, Math.min(MOST_YES, turned === null ? 0 : yes.size));
  return made("ol", { className: "bars" }, ...found.order.slice(0, count).map((label) => {
    const share = found.shares[label], fill = made("div", { className: "fill" });
    fill.style.width = `${Math.min(100, Math.max(0, 100 * share))}%`;
    const track = made("div", { className: "track" }, fill);
    track.setAttribute("aria-hidden", "true");
    if (turned !== null) {
      const mark = made("div", { className: "turn" });
      mark.style.left = `${100 * turned}%`;
      track.append(mark);
    }
    const line = made("div", { className: "line" }, made("bdi", {}, page.labels[label]), made("span", { className: "share" }, percent(share)));
    return made("li", { className: yes.has(label) ? "yes" : "" }, line, track);
  }));
}

function card(file, result) {
  const head = made("div", { className: "head" }, made("h3", {}, made("bdi", {}, file.name)), ...badges(file));
  const opening = result?.load === undefined ? "" : ` · opened in ${ms(result.load)}`;
  const fact = made("small", {}, `${size(file.bytes)} · ${page.engines[file.format].name}${opening}`);
  const out = made("article", { className: "card" }, head);
  if (result?.failure) {
    out.append(made("p", { className: "took" }, fact), made("p", { className: "trouble" }, `It does not run in this browser: ${result.failure}`));
  } else if (result) {
    const runs = result.count > 1 ? `a run, mean of ${result.count}` : "a run";
    out.append(made("p", { className: "took" }, made("span", {}, made("b", {}, ms(result.took)), ` ${runs}`), fact), bars(result));
  } else {
    out.append(made("p", { className: "took" }, fact));
  }
  return out;
}

const names = (result) => (result.decided.length ? result.decided.slice(0, MOST_YES).map((label) => page.labels[label]).join(", ") : "none of its labels");

// What the files say, in a sentence.
function sentence(results, live) {
  const told = results.filter(({ result }) => !result.failure);
  if (!told.length) return ["No file ran."];
  const [one, other] = told.map(({ result }) => names(result));
  const strong = (text) => made("strong", {}, made("bdi", {}, text));
  if (other === undefined) {
    const { result } = told[0], sure = live || isSeveral() ? "" : `, ${percent(result.shares[result.decided[0]])}`;
    return [strong(one), sure];
  }
  if (one === other) return ["Both say ", strong(one)];
  return ["They part: ", made("bdi", {}, told[0].file.name), " says ", strong(one), ", ", made("bdi", {}, told[1].file.name), " says ", strong(other)];
}

// The pixels that the model is given, for people to see.
function seen(pixels, took, note) {
  const { width, height, channels } = page.input, canvas = at("pixels");
  canvas.width = width;
  canvas.height = height;
  const shown = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) shown.data[4 * i + c] = pixels[channels === 1 ? i : 3 * i + c];
    shown.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
  at("seen-size").textContent = `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}`;
  at("seen-time").textContent = `made of the picture in ${ms(took)}`;
  at("seen-note").textContent = note ? `The file has ${note}: values may be a step or two from those of edgewright predict.` : "";
  at("seen").hidden = false;
}

let said = "", spoken = 0;

async function classify(picture, { live = false, note = "" } = {}) {
  if (!live) told(made("span", {}, "Looking…"));
  const from = performance.now(), pixels = toPixels(picture, page.input), took = performance.now() - from;
  seen(pixels, took, note);
  const results = [];
  for (const file of chosen()) {
    const result = await measured(file, pixels, !live).catch((failure) => ({ failure: say(failure) }));
    results.push({ file, result });
  }
  at("cards").replaceChildren(...results.map(({ file, result }) => card(file, result)));
  const answer = JSON.stringify(results.map(({ result }) => result.failure ?? result.decided));
  if (!live || (answer !== said && performance.now() - spoken > 1500)) { // a reader is not told every frame
    told(...sentence(results, live));
    [said, spoken] = [answer, performance.now()];
  }
}

// The work on pictures, one after the other.
let last = Promise.resolve();
const queued = (work) => (last = last.then(work).catch((failure) => { told("It stopped."); trouble(say(failure)); }));

function view(kind) {
  at("empty").hidden = kind !== "";
  at("image").hidden = kind !== "image";
  at("video").hidden = kind !== "video";
  at("view").classList.toggle("full", kind !== "");
}

function unwatch() {
  for (const track of watching?.getTracks() ?? []) track.stop();
  watching = null;
  at("camera").setAttribute("aria-pressed", "false");
  at("camera").textContent = "Use the camera";
  at("take").hidden = true;
}

function put(blob, name) {
  unwatch();
  trouble("");
  return queued(async () => {
    let picture;
    try {
      picture = await decoded(blob);
    } catch (failure) {
      told("No picture.");
      trouble(`${name}: ${say(failure)}`);
      return;
    }
    current?.picture.close();
    current = { picture, note: picture.note };
    const image = at("image");
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    image.alt = name;
    image.classList.toggle("small", picture.width < 128 && picture.height < 128);
    view("image");
    await classify(picture, { note: picture.note });
  });
}

// Until the camera has another picture; a page that nobody sees gets none, and looks now and then.
const next = (video) => new Promise((done) => {
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(done);
  else requestAnimationFrame(done);
  setTimeout(done, 500);
});

async function watch() {
  trouble("");
  if (asking) return; // one question at a time
  asking = true;
  try {
    watching = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (failure) {
    const why = { NotAllowedError: "it was not allowed; allow it in the browser's settings of this page", NotFoundError: "there is none", NotReadableError: "another program uses it" };
    trouble(`The camera cannot be used: ${why[failure.name] ?? say(failure)}.`);
    return;
  } finally {
    asking = false;
  }
  const video = at("video"), stream = watching;
  video.srcObject = stream;
  await video.play();
  view("video");
  at("camera").setAttribute("aria-pressed", "true");
  at("camera").textContent = "Stop the camera";
  at("take").hidden = false;
  said = "";
  while (watching === stream) {
    await queued(async () => {
      if (watching !== stream || video.videoWidth === 0) return;
      const picture = await frame(video);
      current?.picture.close();
      current = { picture, note: "" };
      await classify(picture, { live: true });
    });
    await next(video);
  }
}

function off() {
  unwatch();
  queued(async () => {
    current?.picture.close();
    current = null;
    at("seen").hidden = true;
    view("");
    told("The camera is off.");
    again();
  });
}

function take() {
  const video = at("video"), canvas = made("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => { if (blob) put(blob, "The picture that was taken"); }, "image/png");
  at("choose").focus();
}

function dropped(event) {
  event.preventDefault();
  at("view").classList.remove("over");
  const data = event.dataTransfer ?? event.clipboardData;
  const file = [...(data?.files ?? [])].find((one) => one.type.startsWith("image/") || one.type === "");
  if (file) put(file, file.name || "The picture");
  else if (event.type === "drop") trouble("That is no picture; drop a JPEG, PNG, WebP or GIF file.");
}

function again() {
  if (current && !watching) queued(() => classify(current.picture, { note: current.note }));
  else if (!current) at("cards").replaceChildren(...chosen().map((file) => card(file)));
  weigh();
}

function weigh() {
  const shown = chosen(), formats = new Set(shown.map((file) => file.format));
  const sum = (list) => list.reduce((all, { bytes }) => all + bytes, 0);
  const engine = [...formats].map((format) => ({ name: page.engines[format].name, bytes: sum(needed(page.engines[format].files)) }));
  const tile = (bytes, what, note) => made("li", {}, made("b", {}, size(bytes)), ` ${what} `, made("small", {}, note));
  at("tiles").replaceChildren(
    tile(sum(shown), shown.length > 1 ? "models" : "model", shown.map((file) => file.name).join(", ")),
    tile(sum(engine), engine.length > 1 ? "engines" : "engine", engine.map(({ name }) => name).join(", ")),
    tile(page.own_bytes, "page", "markup, style, scripts, icons"),
    tile(sum(shown) + sum(engine) + page.own_bytes, "in all", "as files; a server that compresses sends less"),
  );
}

function listing() {
  const row = (name, bytes, what) => made("tr", {}, made("td", {}, name), made("td", { className: "number" }, bytes.toLocaleString("en")), made("td", {}, what));
  const models = page.files.map((file) => row(file.path, file.bytes, `the model's file ${file.name}`));
  const engine = Object.values(page.engines).flatMap(({ name, files: all }) => all.map((file) => row(file.path, file.bytes, needed([file]).length ? name : `${name}, for other browsers`)));
  at("files").replaceChildren(...models, ...engine, row("the page itself", page.own_bytes, "markup, style, scripts, icons"));
}

async function offline() {
  const missing = lacking();
  at("missing").replaceChildren(...missing.map((text) => made("li", {}, text)));
  at("missing-part").hidden = missing.length === 0;
  if (!navigator.mediaDevices?.getUserMedia) {
    at("camera").disabled = true;
    at("camera").title = "This page has no camera here: see below";
  }
  if (!("serviceWorker" in navigator)) {
    at("kept").textContent = "It is not kept: it needs the network each time.";
    return;
  }
  if (navigator.connection?.saveData) {
    at("kept").textContent = "It is not kept, as this browser is set to save data: it needs the network each time.";
    return;
  }
  const rest = [...page.files, ...Object.values(page.engines).flatMap((engine) => needed(engine.files))];
  at("kept").textContent = "It is being kept for use without a network…";
  const kept = await keep(rest.map(({ path }) => path)).catch(() => 0);
  at("kept").textContent = kept === rest.length ? `Kept in this browser, all ${size(rest.reduce((all, { bytes }) => all + bytes, page.own_bytes))} of it: it works without a network now.`
    : "Not all of it could be kept in this browser: without a network some files will not run.";
  at("kept").dataset.kept = String(kept === rest.length);
}

function installable() {
  let prompt = null;
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    prompt = event;
    at("install").hidden = false;
  });
  at("install").addEventListener("click", () => { prompt?.prompt(); at("install").hidden = true; });
}

async function main() {
  installable();
  const raw = await (await fetch("page.json")).arrayBuffer();
  page = JSON.parse(new TextDecoder().decode(raw));
  page.own_bytes += raw.byteLength;
  const option = (file, place) => made("option", { value: String(place) }, file.proven ? file.name : `${file.name} (not proven)`);
  at("first").replaceChildren(...page.files.map(option));
  at("second").replaceChildren(made("option", { value: "" }, "no other"), ...page.files.map(option));
  at("second").parentElement.hidden = page.files.length < 2;
  for (const id of ["first", "second"]) at(id).addEventListener("change", again);
  at("choose").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => {
    const [file] = at("file").files;
    if (file) put(file, file.name);
    at("file").value = ""; // so that the same one can be chosen again
  });
  at("camera").addEventListener("click", () => {
    if (!watching) watch().catch((failure) => { unwatch(); trouble(say(failure)); });
    else off();
  });
  at("take").addEventListener("click", take);
  addEventListener("dragover", (event) => { event.preventDefault(); at("view").classList.add("over"); });
  addEventListener("dragleave", () => at("view").classList.remove("over"));
  addEventListener("drop", dropped);
  addEventListener("paste", dropped);
  again();
  listing();
  at("boot").hidden = true;
  at("main").hidden = false;
  document.documentElement.dataset.ready = "true";
  await offline();
}

main().catch((failure) => {
  at("boot").textContent = `This page did not start: ${say(failure)}`;
  at("boot").hidden = false;
});
