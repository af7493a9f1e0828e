// The service worker: what the page is made of is kept where it was first loaded, and comes from there afterwards.
const FILES = <<files>>, MARK = `edgewright ${registration.scope} `, KEPT = MARK + "<<digest>>";
const FIRST = <<first>>;

self.addEventListener("install", (event) => {
  const whole = FIRST.map((name) => new Request(name, { cache: "reload" })); // not an older one of the browser's own
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(whole)));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith(MARK) && name !== KEPT) await caches.delete(name);
    await clients.claim();
  })());
});

const named = (url) => (url.startsWith(registration.scope) ? url.slice(registration.scope.length).replace(/[?#].*$/, "") : null);

self.addEventListener("fetch", (event) => {
  const name = named(event.request.url);
  if (event.request.method !== "GET" || name === null) return;
  event.respondWith((async () => {
    const cache = await caches.open(KEPT), wanted = name === "index.html" ? "./" : name || "./";
    const kept = await cache.match(new URL(wanted, registration.scope).href, { ignoreVary: true });
    if (kept) return kept;
    const answer = await fetch(event.request);
    if (answer.status === 200 && FILES.includes(name)) await cache.put(event.request.url, answer.clone());
    return answer;
  })());
});

// The page says what this browser needs of the rest; the answer is how many of them are kept now.
self.addEventListener("message", (event) => {
  const [port] = event.ports, names = event.data?.keep;
  if (!port || !Array.isArray(names)) return;
  event.waitUntil((async () => {
    const cache = await caches.open(KEPT);
    let count = 0;
    for (const name of names.filter((one) => FILES.includes(one))) {
      const url = new URL(name, registration.scope).href;
      try {
        if (!(await cache.match(url, { ignoreVary: true }))) await cache.add(url);
        count++;
      } catch { /* no network, or no room: the page says how many are missing */ }
    }
    port.postMessage(count);
  })());
});
