// What this browser needs of the page, what it cannot do here, and keeping the page for use without a network.

// A function with an instruction of WebAssembly's relaxed SIMD (i16x8.relaxed_q15mulr_s and the like, opcode fd 80 02):
// LiteRT.js has a file for browsers that know them and one for those that do not.
const RELAXED = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];
const relaxed = () => typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(RELAXED));

// Of an engine's files those that this browser loads.
export function needed(files) {
  const others = relaxed() ? "litert_wasm_compat_" : "litert_wasm_internal";
  return files.filter(({ path }) => !path.includes(others));
}

// What the page does without here, and why.
export function lacking() {
  const lines = [];
  if (!self.isSecureContext) {
    lines.push("The camera, installing, and use without a network: this page came by plain http from another machine, and browsers keep these for https and localhost. Choosing and dropping pictures works.");
  } else {
    if (!navigator.mediaDevices?.getUserMedia) lines.push("The camera: this browser gives pages none.");
    if (!("serviceWorker" in navigator)) lines.push("Use without a network: this browser keeps no pages (a private window, perhaps).");
  }
  if (typeof WebAssembly !== "object") lines.push("Everything: this browser has no WebAssembly, which runs the files.");
  return lines;
}

// Have the service worker keep these files too; gives how many it has.
export async function keep(names) {
  await navigator.serviceWorker.register("worker.js");
  const { active } = await navigator.serviceWorker.ready;
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => done(data);
    active.postMessage({ keep: names }, [port2]);
  });
}
