// What a file's scores mean, as runtime/contract/heads.py has it: raw scores to probabilities, and to a decision.

// Numbers as they are, out of quantized ones.
export function dequantized(raw, { scale, zero_point: zero }) {
  if (!scale) return Array.from(raw);
  const step = Math.fround(scale);
  return Array.from(raw, (value) => Math.fround((value - zero) * step));
}

const isSigmoid = (head) => head.startsWith("sigmoid");
const sigmoid = (score) => 0.5 * (1 + Math.tanh(0.5 * score)); // does not overflow

// A probability for each label; one score of a sigmoid is that of the second of two labels.
export function probabilities(head, scores) {
  if (head === "logits") {
    const most = Math.max(...scores), powers = scores.map((score) => Math.exp(score - most));
    const sum = powers.reduce((all, power) => all + power, 0);
    return powers.map((power) => power / sum);
  }
  const found = head === "sigmoid-logits" ? scores.map(sigmoid) : scores;
  return isSigmoid(head) && found.length === 1 ? [1 - found[0], found[0]] : found;
}

// Which labels a picture has, by their numbers, the likeliest first: one where classes exclude each other, of equal
// scores the first; of several labels those above the threshold, which may be none.
export function decided(head, threshold, scores) {
  if (!isSigmoid(head)) {
    let best = 0;
    for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
    return [best];
  }
  const turn = Math.fround(head === "sigmoid-logits" ? Math.log(threshold / (1 - threshold)) : threshold);
  const yes = (score) => Math.fround(score - turn) > 0;
  if (scores.length === 1) return [yes(scores[0]) ? 1 : 0];
  return [...scores.keys()].filter((i) => yes(scores[i])).sort((a, b) => scores[b] - scores[a] || a - b);
}

// All labels by their numbers, those that were decided first, then the likeliest.
export function ranked(head, threshold, scores) {
  const shares = probabilities(head, scores), first = decided(head, threshold, scores);
  const others = shares.map((_, i) => i).filter((i) => !first.includes(i)).sort((a, b) => shares[b] - shares[a] || a - b);
  return { shares, decided: first, order: [...first, ...others] };
}
