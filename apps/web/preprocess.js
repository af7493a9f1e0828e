// From a decoded picture to the raw pixels a model file takes, as runtime/preprocess.py does it: over white where it
// is transparent, to RGB or grey, resized as the input contract says. Runs in browsers and in node.
//
// A picture is { width, height, jpeg, rows(top, count) }: `rows` gives so many rows of it, upright, as RGBA bytes that
// are not premultiplied; `jpeg` is null, or of a JPEG how many pixels share a colour across and down, [2, 2] of most:
// Python scales large ones down while it decodes them.
//
// Filters, their weights and their roundings are those of Pillow 13 (libImaging/Resample.c): across, then down, each with
// whole numbers of 22 bits behind the point, rounded to bytes in between; down first where the height shrinks by more
// than twice what the width does, which older ones do not. What libjpeg scales by 2 or 4 is the mean of squares of that
// side (jidctred.c), its colours those that the file has; it is resized in floating point, and only clipped in between.

const BITS = 22;
const MARGIN = 3; // times the model's size that is left of a JPEG which is scaled
const BAND = 2 ** 20; // pixels that are held at a time
const SMOOTH = ["bilinear", "bicubic", "lanczos"];

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const cubic = (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0);
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => cubic(Math.abs(x))],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

// To the nearest whole number, of a half to the even one, as Python rounds.
const rounded = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

// Which of `size` pixels, with which weights, make each of `count` pixels out of those from `from` to `to`:
// `taps` weights for each, of which the first `many[i]` count, for pixels from `first[i]` on.
function weighed(size, from, to, count, resample) {
  from = Math.fround(from);
  const span = Math.fround(Math.fround(to) - from), scale = span / count;
  if (resample === "nearest") {
    const first = new Int32Array(count);
    for (let i = 0, at = from + scale * 0.5; i < count; i++, at += scale) first[i] = Math.min(size - 1, Math.trunc(at));
    return { taps: 1, first, many: new Int32Array(count).fill(1), weights: new Float64Array(count).fill(1) };
  }
  const [reach, filter] = FILTERS[resample], stretch = Math.max(scale, 1), support = reach * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(count), many = new Int32Array(count), weights = new Float64Array(count * taps);
  for (let i = 0; i < count; i++) {
    const centre = from + (i + 0.5) * scale;
    first[i] = Math.max(0, Math.trunc(centre - support + 0.5));
    many[i] = Math.min(size, Math.trunc(centre + support + 0.5)) - first[i];
    let sum = 0;
    for (let k = 0; k < many[i]; k++) sum += weights[i * taps + k] = filter((k + first[i] - centre + 0.5) * (1 / stretch));
    if (sum !== 0) for (let k = 0; k < many[i]; k++) weights[i * taps + k] /= sum;
  }
  return { taps, first, many, weights };
}

// The same with whole numbers.
function whole(plan) {
  const weights = Int32Array.from(plan.weights, (w) => Math.trunc(w * 2 ** BITS + (w < 0 ? -0.5 : 0.5)));
  return { ...plan, weights };
}

const byte = (sum) => { const value = sum >> BITS; return value < 0 ? 0 : value > 255 ? 255 : value; };
const clipped = (sum) => (sum < 0 ? 0 : sum > 255 ? 255 : sum); // what a Float32Array rounds when it is put there
const HALF = 2 ** (BITS - 1);

// Rows of `width` pixels become rows of as many as the plan has, from row `at` of `out` on.
function across(rows, count, width, channels, plan, out, at) {
  const { taps, first, many, weights } = plan, wide = first.length;
  const start = weights instanceof Int32Array ? HALF : 0, end = start ? byte : clipped;
  for (let y = 0; y < count; y++) {
    for (let x = 0; x < wide; x++) {
      let from = (y * width + first[x]) * channels;
      const to = ((at + y) * wide + x) * channels, weight = x * taps, last = weight + many[x];
      if (channels === 1) {
        let sum = start;
        for (let k = weight; k < last; k++) sum += rows[from++] * weights[k];
        out[to] = end(sum);
      } else {
        let red = start, green = start, blue = start;
        for (let k = weight; k < last; k++, from += 3) {
          const w = weights[k];
          red += rows[from] * w;
          green += rows[from + 1] * w;
          blue += rows[from + 2] * w;
        }
        out[to] = end(red);
        out[to + 1] = end(green);
        out[to + 2] = end(blue);
      }
    }
  }
}

// Rows of `line` values, of which `rows` has those from `top` on, become as many as the plan has.
function down(rows, line, top, plan, out) {
  const { taps, first, many, weights } = plan, exact = weights instanceof Int32Array;
  for (let y = 0; y < first.length; y++) {
    const from = (first[y] - top) * line;
    for (let x = 0; x < line; x++) {
      let sum = exact ? HALF : 0;
      for (let k = 0; k < many[y]; k++) sum += rows[from + x + k * line] * weights[y * taps + k];
      out[y * line + x] = exact ? byte(sum) : Math.min(255, Math.max(0, Math.trunc(Math.fround(sum) + 0.5)));
    }
  }
}

// RGBA over white, to RGB or grey; the roundings are those of Pillow's alpha_composite and convert.
function flattened(rgba, channels, out) {
  const over = (value, alpha) => {
    const sum = value * alpha * 128 + 255 * (255 - alpha) * 128 + 16384;
    return (((sum >> 8) + sum) >> 8) >> 7;
  };
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3];
    let red = rgba[from], green = rgba[from + 1], blue = rgba[from + 2];
    if (alpha !== 255) {
      red = over(red, alpha);
      green = over(green, alpha);
      blue = over(blue, alpha);
    }
    if (channels === 1) {
      out[to++] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
    } else {
      out[to++] = red;
      out[to++] = green;
      out[to++] = blue;
    }
  }
  return out;
}

function opaque(picture, top, count, channels) {
  return flattened(picture.rows(top, count), channels, new Uint8Array(picture.width * count * channels));
}

// Which pixels, from where on, give the colour that a file has for the square of `factor` pixels: a decoder has spread
// it as (3 near + far) / 4. Otherwise their mean.
function colours(factor, shared) {
  if (shared === 2 && factor === 4) return { from: 1, weights: [0.5, 0.5] };
  if (shared === 2 && factor === 2) return { from: -1, weights: [-0.25, 0.75, 0.75, -0.25] };
  return { from: 0, weights: new Array(factor).fill(1 / factor) };
}

// `count` rows of a picture scaled by `factor`, from row `top` on: brightness is the mean of each square, and of colours
// what the file has.
function shrunk(picture, top, count, channels, factor) {
  const { width, height, jpeg } = picture, wide = width / factor, out = new Float32Array(wide * count * channels);
  const from = Math.max(0, top * factor - 1), to = Math.min(height, (top + count) * factor + 1), line = width * channels;
  const rows = opaque(picture, from, to - from, channels);
  const across = colours(factor, jpeg[0]), along = colours(factor, jpeg[1]), share = 1 / (factor * factor);
  const plain = channels === 1 || (jpeg[0] === 1 && jpeg[1] === 1);
  for (let y = 0, put = 0; y < count; y++) {
    const above = (top + y) * factor - from;
    for (let x = 0; x < wide; x++, put += channels) {
      for (let dy = 0, at = above * line + x * factor * channels; dy < factor; dy++, at += line) {
        for (let k = 0; k < factor * channels; k += channels) {
          out[put] += rows[at + k];
          if (channels === 3) {
            out[put + 1] += rows[at + k + 1];
            out[put + 2] += rows[at + k + 2];
          }
        }
      }
      for (let c = 0; c < channels; c++) out[put + c] *= share;
      if (plain) continue;
      let red = 0, green = 0, blue = 0;
      for (let dy = 0; dy < along.weights.length; dy++) {
        const row = Math.min(to - from - 1, Math.max(0, above + along.from + dy)) * line;
        for (let dx = 0; dx < across.weights.length; dx++) {
          const at = row + 3 * Math.min(width - 1, Math.max(0, x * factor + across.from + dx));
          const weight = along.weights[dy] * across.weights[dx];
          red += weight * rows[at];
          green += weight * rows[at + 1];
          blue += weight * rows[at + 2];
        }
      }
      const brighter = 0.299 * (out[put] - red) + 0.587 * (out[put + 1] - green) + 0.114 * (out[put + 2] - blue);
      out[put] = clipped(red + brighter);
      out[put + 1] = clipped(green + brighter);
      out[put + 2] = clipped(blue + brighter);
    }
  }
  return out;
}

// By how much a JPEG is scaled down before it is resized.
function factorOf(picture, input) {
  if (!picture.jpeg || !SMOOTH.includes(input.resample)) return 1;
  const least = Math.min(picture.width, picture.height), side = MARGIN * Math.max(input.height, input.width);
  for (const factor of [4, 2]) {
    if (least >= factor * side && picture.width % factor === 0 && picture.height % factor === 0) return factor;
  }
  return 1;
}

// Of a picture the part of the model's shape, in the middle: left, top, right, bottom.
function middle(width, height, ratio) {
  const wide = width / height >= ratio ? ratio * height : width, high = width / height >= ratio ? height : width / ratio;
  const left = (width - wide) * 0.5, top = (height - high) * 0.5;
  return [left, top, left + wide, top + high];
}

// `box` of a picture, in the pixels it has once it is scaled by `factor`, as `wide` times `high` pixels.
function resized(picture, factor, channels, wide, high, box, resample) {
  const [width, height] = [picture.width / factor, picture.height / factor];
  const [left, top, right, bottom] = box.map(Math.fround);
  const as = factor > 1 ? (plan) => plan : whole, bytes = factor > 1 ? Float32Array : Uint8Array;
  const isAcross = wide !== width || left !== 0 || right !== wide, isDown = high !== height || top !== 0 || bottom !== high;
  const columns = isAcross ? as(weighed(width, left, right, wide, resample)) : null;
  const lines = isDown ? as(weighed(height, top, bottom, high, resample)) : null;
  const begin = lines ? lines.first[0] : 0, end = lines ? lines.first[high - 1] + lines.many[high - 1] : height;
  const line = wide * channels, band = Math.max(1, Math.floor(BAND / (picture.width * factor)));
  const downFirst = columns && lines && factor === 1 && high < height && height - high > 2 * (width - wide);
  const kept = downFirst ? width * channels : line, between = new bytes((end - begin) * kept);
  for (let y = begin; y < end; y += band) {
    const count = Math.min(band, end - y);
    const rows = factor > 1 ? shrunk(picture, y, count, channels, factor) : opaque(picture, y, count, channels);
    if (columns && !downFirst) across(rows, count, width, channels, columns, between, y - begin);
    else between.set(rows, (y - begin) * kept);
  }
  if (!lines && factor === 1) return between;
  const out = new Uint8Array(high * line);
  if (downFirst) {
    const low = new Uint8Array(high * kept);
    down(between, kept, begin, lines, low);
    across(low, high, width, channels, columns, out, 0);
  } else {
    down(between, line, begin, lines ?? weighed(height, 0, height, high, "nearest"), out);
  }
  return out;
}

// The pixels of a picture, a Uint8Array of height * width * channels, for an input contract { height, width, channels,
// fit, resample }.
export function toPixels(picture, input) {
  const { width, height, channels, fit, resample } = input;
  if (!(picture.width > 0 && picture.height > 0)) throw new Error("expected a picture, got one without pixels");
  const factor = factorOf(picture, input);
  const given = [picture.width / factor, picture.height / factor], all = [0, 0, ...given];
  const same = given[0] === width && given[1] === height;
  if (fit === "letterbox" && !same) {
    const scale = Math.min(width / given[0], height / given[1]);
    const inner = given.map((side) => Math.max(1, rounded(side * scale)));
    const left = rounded((width - inner[0]) / 2), top = rounded((height - inner[1]) / 2);
    const found = resized(picture, factor, channels, ...inner, all, resample);
    const out = new Uint8Array(width * height * channels), line = inner[0] * channels;
    for (let y = 0; y < inner[1]; y++) {
      out.set(found.subarray(y * line, (y + 1) * line), ((top + y) * width + left) * channels);
    }
    return out;
  }
  const box = fit === "crop" && !same ? middle(...given, width / height) : all;
  return resized(picture, factor, channels, width, height, box, resample);
}
