// This machine gives what was recorded where the model was made: npm test
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import sharp from "sharp";
import { decoded, open } from "../src/node.js";
import { toPixels } from "../src/preprocess.js";
import { check } from "./check.js";

const read = async (name) => {
  const raw = await readFile(new URL(`parity/${name}`, import.meta.url));
  return raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength);
};

test("golden images get their scores", async () => {
  const model = await open();
  const images = new Uint8Array(await read("golden-images.bin")), scores = new Float32Array(await read("golden-scores.bin"));
  const { images: count, most, others } = await check(model, images, scores);
  assert.ok(count > 0);
  assert.ok(most <= model.contract.tolerance, `scores differ by ${most}`);
  assert.equal(others, 0);
});

test("pictures become the same pixels", async () => {
  const { contract: { input } } = await open();
  const raw = await read("pictures.bin"), size = input.height * input.width * input.channels;
  for (let place = 0; place < raw.byteLength;) {
    const [width, height, orientation] = new Int32Array(raw.slice(place, place + 12));
    const rgba = new Uint8Array(raw, place + 12, 4 * width * height);
    const expected = new Uint8Array(raw, place + 12 + rgba.length, size);
    place += 12 + rgba.length + size;
    const file = await sharp(rgba, { raw: { width, height, channels: 4 } }).withMetadata({ orientation }).png().toBuffer();
    const got = toPixels(await decoded(file), input);
    let most = 0;
    for (let i = 0; i < size; i++) most = Math.max(most, Math.abs(got[i] - expected[i]));
    assert.ok(most <= 1, `${width}x${height}, turned ${orientation}: ${most} apart`);
  }
});
