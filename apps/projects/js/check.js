// The recorded images run again: how far the scores are from the recorded ones, and on how many it decides otherwise.
import { decided } from "../src/scores.js";

export async function check(model, images, scores) {
  const { input, head, threshold, scores: count } = model.contract, size = input.height * input.width * input.channels;
  let most = 0, others = 0;
  for (let i = 0; i < images.length / size; i++) {
    const got = await model.scores(images.slice(i * size, (i + 1) * size));
    const expected = Array.from(scores.subarray(i * count, (i + 1) * count));
    if (got.length !== count || !got.every(Number.isFinite)) throw new Error(`expected ${count} scores, got ${got.join(", ").slice(0, 100)}`);
    for (let k = 0; k < count; k++) most = Math.max(most, Math.abs(got[k] - expected[k]));
    const same = head === "embedding" || String(decided(head, threshold, got)) === String(decided(head, threshold, expected));
    if (!same) others++;
  }
  return { images: images.length / size, most, others };
}
