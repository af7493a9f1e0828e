// The model in a browser: `open()`, `decoded(blob)`, `frame(video)`.
import { engine } from "./engine.js";
import { Model } from "./model.js";

export { decoded, frame } from "./decode.js";

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} cannot be fetched: ${answer.status}`);
  return answer;
}

export async function open() {
  const contract = await (await fetched("contract.json")).json(), labels = await (await fetched("labels.json")).json();
  const { height, width, channels } = contract.input;
  const bytes = new Uint8Array(await (await fetched(contract.file)).arrayBuffer());
  return new Model(contract, labels, await engine(bytes, [1, height, width, channels]));
}
