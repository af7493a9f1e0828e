// The model in node: `open()`, `decoded(path or bytes)`. As a program it says what pictures show.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { looked } from "./decode.js";
import { engine } from "./engine.js";
import { Model } from "./model.js";

const read = (name) => readFile(new URL(name, import.meta.url));

export async function open() {
  const contract = JSON.parse(await read("contract.json")), labels = JSON.parse(await read("labels.json"));
  const { height, width, channels } = contract.input;
  const run = await engine(new Uint8Array(await read(contract.file)), [1, height, width, channels]);
  return new Model(contract, labels, run);
}

// A picture out of a file's path or bytes, upright, as RGBA, its colours as they are in the file.
export async function decoded(source) {
  const raw = typeof source === "string" ? await readFile(source) : source, { jpeg } = looked(raw);
  const { data, info } = await sharp(raw, { ignoreIcc: true }).autoOrient().toColourspace("srgb").ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info, line = 4 * width;
  return { width, height, jpeg, rows: (top, count) => data.subarray(top * line, (top + count) * line) };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const model = await open();
  for (const path of process.argv.slice(2)) {
    const found = await model.classify(await decoded(path));
    console.log(path);
    for (const { label, probability, decided } of found.slice(0, 5)) {
      console.log(`  ${decided ? "*" : " "} ${(100 * probability).toFixed(1).padStart(5)} %  ${label}`);
    }
  }
}
