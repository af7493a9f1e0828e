// Pictures as `preprocess.js` takes them, out of files and of what a browser shows: upright, colours as they are in the
// file, and none of them changed by a profile.

// A canvas in memory, not on a graphics card, from which pixels come back as they were drawn.
function surface(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("this browser has no memory left for a picture");
  context.imageSmoothingEnabled = false;
  context.globalCompositeOperation = "copy"; // transparent pixels replace what was there
  return context;
}

// The picture of an ImageBitmap, canvas, image or video element of that size.
export function shown(source, width, height, jpeg = null) {
  let context = null;
  return {
    width, height, jpeg, source,
    rows(top, count) {
      if (context === null || context.canvas.height < count) context = surface(width, count);
      context.drawImage(source, 0, -top);
      return context.getImageData(0, 0, width, count).data;
    },
    close() {
      source.close?.();
      context = null;
    },
  };
}

// The same image element for browsers that know no such bitmap; they turn it as EXIF says too.
function element(blob) {
  return new Promise((done, failed) => {
    const image = new Image(), url = URL.createObjectURL(blob);
    image.onload = () => { URL.revokeObjectURL(url); done(image); };
    image.onerror = () => { URL.revokeObjectURL(url); failed(new Error("no picture")); };
    image.src = url;
  });
}

const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));

// What a file says of itself in its first bytes (of a WebP in all of them): `jpeg` as a picture has it, the EXIF
// orientation, and what browsers make of it otherwise than Edgewright does, or do not read.
export function looked(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpegOf(bytes);
  const found = { jpeg: null, orientation: 1, note: "" };
  if (text(bytes, 1, 4) === "PNG") return { ...found, note: bytes[24] === 16 ? "16 bits a channel" : "" };
  if (text(bytes, 8, 12) === "WEBP") return { ...found, webp: true, orientation: webpOrientation(bytes) };
  if (["II*\0", "MM\0*"].includes(text(bytes, 0, 4))) return { ...found, unread: "TIFF" };
  if (text(bytes, 4, 8) === "ftyp" && /^(hei|hev|mif1)/.test(text(bytes, 8, 12))) return { ...found, unread: "HEIC" };
  return found;
}

function jpegOf(bytes) {
  const found = { jpeg: [1, 1], orientation: 1, note: "" };
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff;) {
    const kind = bytes[at + 1], size = 2 + bytes[at + 2] * 256 + bytes[at + 3];
    if (kind === 0xff) { at++; continue; }
    if (kind === 0xe1 && text(bytes, at + 4, at + 8) === "Exif") found.orientation = orientation(bytes.subarray(at + 10, at + size));
    if (kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind)) {
      const count = bytes[at + 9], [first, second] = [bytes[at + 11], bytes[at + 14]];
      if (count === 4) found.note = "CMYK";
      if (count === 3) {
        const shared = [(first >> 4) / (second >> 4), (first & 15) / (second & 15)];
        found.jpeg = found.orientation > 4 ? shared.toReversed() : shared;
      }
      return found;
    }
    at += size;
  }
  return found;
}

function webpOrientation(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true), start = at + 8;
    if (text(bytes, at, at + 4) === "EXIF") {
      return orientation(bytes.subarray(start + (text(bytes, start, start + 4) === "Exif" ? 6 : 0), start + size));
    }
    at = start + size + (size % 2);
  }
  return 1;
}

// The orientation in EXIF's TIFF part, 1 to 8; 1 is upright.
function orientation(bytes) {
  if (bytes.length < 8) return 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), little = bytes[0] === 0x49;
  const table = view.getUint32(4, little);
  const count = table + 2 <= bytes.length ? view.getUint16(table, little) : 0;
  for (let at = table + 2; at < table + 2 + 12 * count && at + 12 <= bytes.length; at += 12) {
    if (view.getUint16(at, little) !== 0x0112) continue;
    const value = view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

// A WebP of 2 by 1 pixels that EXIF says to turn: some browsers do not.
const TURNED = "UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=";
let turnsWebp = null;

async function opened(blob) {
  try {
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" });
    return { source: bitmap, width: bitmap.width, height: bitmap.height };
  } catch {
    const image = await element(blob);
    return { source: image, width: image.naturalWidth, height: image.naturalHeight };
  }
}

// A canvas with the picture turned as `orientation` says, for browsers that do not.
function upright({ source, width, height }, orientation) {
  const [w, h] = [width, height], turns = [[1, 0, 0, 1, 0, 0], [-1, 0, 0, 1, w, 0], [-1, 0, 0, -1, w, h], [1, 0, 0, -1, 0, h]];
  turns.push([0, 1, 1, 0, 0, 0], [0, 1, -1, 0, h, 0], [0, -1, -1, 0, h, w], [0, -1, 1, 0, 0, w]);
  const context = orientation > 4 ? surface(h, w) : surface(w, h);
  context.setTransform(...turns[orientation - 1]);
  context.drawImage(source, 0, 0);
  source.close?.();
  return { source: context.canvas, width: context.canvas.width, height: context.canvas.height };
}

// The picture in a file. `note` of it says what is not quite as Edgewright reads it, or is empty.
export async function decoded(blob) {
  let found = looked(new Uint8Array(await blob.slice(0, 2 ** 18).arrayBuffer()));
  if (found.webp) found = looked(new Uint8Array(await blob.arrayBuffer()));
  let shot;
  try {
    shot = await opened(blob);
  } catch {
    const what = found.unread ? `, which is ${found.unread}` : "";
    throw new Error(`this browser cannot read that file${what}; take a JPEG, PNG, WebP or GIF`);
  }
  if (found.webp && found.orientation !== 1) {
    turnsWebp ??= opened(new Blob([Uint8Array.from(atob(TURNED), (c) => c.charCodeAt(0))])).then(({ width }) => width === 1);
    if (!(await turnsWebp)) shot = upright(shot, found.orientation);
  }
  return { ...shown(shot.source, shot.width, shot.height, found.jpeg), note: found.note };
}

// The picture that a video shows now.
export async function frame(video) {
  const bitmap = await createImageBitmap(video, { colorSpaceConversion: "none" });
  return shown(bitmap, bitmap.width, bitmap.height);
}
