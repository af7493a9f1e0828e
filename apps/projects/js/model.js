// Pictures in, labels out: the same in node and in browsers.
import { toPixels } from "./preprocess.js";
import { dequantized, ranked } from "./scores.js";

export class Model {
  // `run` takes pixels as the file does and gives its raw scores.
  constructor(contract, labels, run) {
    Object.assign(this, { contract, labels, run });
  }

  // Scores of raw pixels, a Uint8Array of height * width * channels.
  async scores(pixels) {
    const given = this.contract.dtype === "float32" ? Float32Array.from(pixels) : pixels;
    return dequantized(await this.run(given), this.contract.output);
  }

  // All labels, those that the picture has first, then the likeliest: { label, probability, decided }.
  async classify(picture) {
    const { head, threshold, input } = this.contract;
    if (head === "embedding") throw new Error("expected a model that has labels, got an embedding; take model.vector");
    const { shares, decided, order } = ranked(head, threshold, await this.scores(toPixels(picture, input)));
    return order.map((i) => ({ label: this.labels[i], probability: shares[i], decided: decided.includes(i) }));
  }

  // The scores as they are: of an embedding the vector.
  async vector(picture) {
    return this.scores(toPixels(picture, this.contract.input));
  }
}
