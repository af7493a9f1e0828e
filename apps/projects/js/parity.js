// The recorded images in this browser.
import { open } from "../src/browser.js";
import { check } from "./check.js";

const fetched = async (name) => (await fetch(`parity/${name}`)).arrayBuffer();
const status = document.getElementById("status");
try {
  const model = await open();
  const images = new Uint8Array(await fetched("golden-images.bin")), scores = new Float32Array(await fetched("golden-scores.bin"));
  const { images: count, most, others } = await check(model, images, scores);
  const right = most <= model.contract.tolerance && others === 0;
  status.textContent = `${right ? "right" : "wrong"}: ${count} images, scores at most ${most.toPrecision(2)} apart, ${others} other decisions`;
} catch (failure) {
  status.textContent = `failed: ${failure?.message ?? failure}`;
}
status.dataset.done = "true";
