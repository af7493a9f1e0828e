"""The server of the page, on the standard library: what is listed, below a token, to whoever knows that.

A path is looked up among names, never on the disk. What is posted is as long as it says, not longer than
`MOST_POSTED`, and handed on as bytes: nothing here believes it.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgewright.runtime.errors import EdgewrightError, TargetError

MOST_POSTED = 16 * 2**20
_MOST_AT_ONCE = 64  # connections
_SECONDS = 30.0  # that a connection may be silent
_CHUNK = 2**20
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
# What a page may do; its inline parts are those that `{inline}` names.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "script-src 'self' 'wasm-unsafe-eval' blob: {inline}; worker-src 'self' blob:; "
    "connect-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
# They let pages share memory between threads and read a finer clock (HTML, "cross-origin isolated").
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HEADERS = {
    **ISOLATED,
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'self'".replace("{inline}", "'nonce-{nonce}'"),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, max-age=3600",
}

# What was posted: which path, the bytes, and whether it came from this machine. Raises `EdgewrightError`.
Hear = Callable[[str, bytes, bool], None]


class Server:
    """Serves `files` by their names below a token and hands what is posted to `posts` to `hear`, in threads
    of its own. `token` is in `url`, and `NONCE` in a page becomes what its inline parts are allowed by. With
    a `context` it speaks TLS alone."""

    NONCE = b"{{nonce}}"

    def __init__(
        self,
        files: Mapping[str, bytes | Path],
        posts: frozenset[str],
        hear: Hear,
        host: str,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.token, self.nonce = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self.files, self.posts, self.hear, self.context = files, posts, hear, context
        self.places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        try:
            self._server = _Listening((host, 0), self)
        except OSError as failure:
            raise TargetError(f"cannot listen on {host}: {failure.strerror}") from failure
        self.host, self.port = self._server.server_address[:2]

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://{self.host!s}:{self.port}/{self.token}/"

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], owner: Server) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.owner.places.acquire(blocking=False):  # of too many at once the last are turned away
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if self.owner.context:  # here, so that nobody waits for one who does not shake hands
                request.settimeout(_SECONDS)
                try:
                    request = self.owner.context.wrap_socket(request, server_side=True)
                except OSError:
                    self.shutdown_request(request)
                    return
            super().process_request_thread(request, client_address)
        finally:
            self.owner.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is nobody's fault here; the library prints nothing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "edgewright", ""
    timeout = _SECONDS
    server: _Listening

    def do_GET(self) -> None:
        name = self._name()
        found = self.server.owner.files.get(name or "page.html") if name is not None else None
        if found is None:
            self._answer(404, b"not found\n")
            return
        kind = _TYPES.get(Path(name or "page.html").suffix, "application/octet-stream")
        if isinstance(found, bytes):
            if kind.startswith("text/html"):
                found = found.replace(Server.NONCE, self.server.owner.nonce.encode())
            self._answer(200, found, kind)
            return
        try:
            with found.open("rb") as file:
                size = found.stat().st_size
                self._begin(200, size, kind)
                while size > 0 and (chunk := file.read(min(size, _CHUNK))):
                    self.wfile.write(chunk)
                    size -= len(chunk)
                self.close_connection |= size > 0
        except OSError:
            self.close_connection = True

    def do_POST(self) -> None:
        name = self._name()
        if name is None or name not in self.server.owner.posts:
            self._refuse(404, "not found")
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdecimal()):
            self._refuse(411, "expected a Content-Length")
        elif len(length) > 9 or int(length) > MOST_POSTED:
            self._refuse(413, f"expected at most {MOST_POSTED} bytes")
        else:
            raw = self.rfile.read(int(length))
            if len(raw) < int(length):
                self.close_connection = True
                return
            here = self.connection.getsockname()[0] == self.client_address[0]
            try:
                self.server.owner.hear(name, raw, here)
            except EdgewrightError as failure:
                self._refuse(400, str(failure))
            else:
                self._answer(204, b"")

    def _name(self) -> str | None:
        """What is asked for below the token; None without that."""
        _, token, *rest = (self.path.partition("?")[0] + "/").split("/", 2)
        if not rest or not secrets.compare_digest(token.encode(), self.server.owner.token.encode()):
            return None
        return rest[0].removesuffix("/")

    def _refuse(self, status: int, why: str) -> None:
        """Answer without having read what was sent, or read and not believed it."""
        self.close_connection = True
        self._answer(status, f"{why}\n".encode("utf-8", "replace"))

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self._begin(status, len(body), kind)
        self.wfile.write(body)

    def _begin(self, status: int, size: int, kind: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value.replace("{nonce}", self.server.owner.nonce))
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(size))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the library never prints."""


def lan_address() -> str:
    """The address of this machine in its network. Raises `TargetError`: it is in none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.connect(("192.0.2.1", 9))  # kept for documents (RFC 5737): nothing is sent
            address = str(sending.getsockname()[0])
    except OSError:
        address = "0.0.0.0"
    if address.startswith(("127.", "0.")):
        raise TargetError("expected a network for --lan, got none that this machine is in; leave --lan out")
    return address
