// Serves this folder at http://localhost:8000, or the port that is given, to this machine alone.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };

const server = createServer(async (request, answer) => {
  try {
    let path = normalize(join(ROOT, decodeURIComponent(new URL(request.url, "http://localhost").pathname)));
    if (path.endsWith(sep)) path += "index.html";
    if (!path.startsWith(ROOT)) throw new Error("outside");
    const raw = await readFile(path);
    answer.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" }).end(raw);
  } catch {
    answer.writeHead(404).end("not found\n");
  }
});
server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => console.log(`http://localhost:${server.address().port}`));
