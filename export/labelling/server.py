"""Shows the page for labelling, on this machine and to whoever has its address only.

One page and what it asks for, below a token that is new each time; anything else is not found. A request has
to name this server as its host, and one that changes something has to come from the page: other sites that a
browser has open can do neither. What is posted is checked like any input.
"""

from __future__ import annotations

import base64
import hmac
import io
import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from PIL import Image

from edgewright.export.labelling.session import Question, Session, texts
from edgewright.runtime.disk.jsonio import JsonObject, parse
from edgewright.runtime.errors import InputError

_MOST_BYTES = 4096  # of a request's body
_SECONDS = 30  # a request that takes longer to come is none
_HOST = "127.0.0.1"


class Server:
    """Serves one session in threads of its own. Use it in `with`."""

    def __init__(self, session: Session) -> None:
        """Raises `OSError`: no port is free."""
        self._session, self._lock = session, threading.Lock()
        self.finished, self._told = threading.Event(), threading.Event()
        self._token = secrets.token_urlsafe(24)
        owner = self

        class Handler(_Handler):
            server_of = owner

        self._http = ThreadingHTTPServer((_HOST, 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1})

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def told(self) -> None:
        """The page knows that it is finished."""
        self._told.set()

    def wait_for_page(self) -> None:
        """Give the page the time to hear that it is finished."""
        self._told.wait(2)

    def __exit__(self, *unused: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        return f"http://{_HOST}:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"{self.origin}/{self._token}/"

    def is_allowed(self, path: str) -> str | None:
        """What is asked for below the token; None if it is not that."""
        token, slash, rest = path.removeprefix("/").partition("/")
        right = hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())
        return rest if right and slash else None

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        with self._lock:
            session, question = self._session, self._session.next()
            return {
                "answered": session.answered,
                "total": len(session),
                "settled": session.is_settled(),
                "finished": self.finished.is_set(),
                "question": None if question is None else self._shown(question),
            }

    def _shown(self, question: Question) -> dict[str, Any]:
        questions = self._session.kept.questions
        image = questions.images[question.place]
        memory = io.BytesIO()
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(memory, "PNG")
        return {
            "number": self._session.number(question),
            "candidates": texts(self._session.kept.manifest.labels, question.candidates),
            "image": f"data:image/png;base64,{base64.b64encode(memory.getvalue()).decode()}",
        }

    def do(self, what: str, asked: JsonObject) -> str:
        """Do what the page asks for; what is wrong with it, or nothing. Raises `InputError`."""
        if self.finished.is_set():
            return "labelling is finished"
        with self._lock:
            if what == "finish":
                self.finished.set()
            elif what == "undo":
                self._session.undo()
            elif not self._session.answer(asked.integer("number"), asked.integer("choice")):
                return "this is not the picture that is asked for; load the page again"
        return ""


class _Handler(BaseHTTPRequestHandler):
    """One request at a time."""

    server_of: Server
    server_version, sys_version = "edgewright", ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        what = self._what()
        if what == "":
            self._page()
        elif what == "state":
            self._json(self.server_of.state())
        else:
            self._text(HTTPStatus.NOT_FOUND, "not found")

    def do_POST(self) -> None:
        what, size = self._what(), self.headers.get("Content-Length", "")
        self.close_connection = True
        if what not in ("answer", "undo", "finish"):
            return self._text(HTTPStatus.NOT_FOUND, "not found")
        if self.headers.get("Origin") != self.server_of.origin:
            return self._text(HTTPStatus.FORBIDDEN, "only the page itself may answer")
        if self.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            return self._text(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON")
        if not (size.isascii() and size.isdecimal()) or len(size) > 6 or int(size) > _MOST_BYTES:
            return self._text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {_MOST_BYTES} bytes")
        try:
            wrong = self.server_of.do(what, parse(self.rfile.read(int(size)), "the request", InputError))
        except InputError as failure:
            return self._text(HTTPStatus.BAD_REQUEST, str(failure))
        except OSError as failure:
            return self._text(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"the answer cannot be kept: {failure.strerror}"
            )
        if wrong:
            return self._text(HTTPStatus.CONFLICT, wrong)
        self._json(self.server_of.state())
        if what == "finish":
            self.server_of.told()
        return None

    def _what(self) -> str | None:
        """What is asked for; None if nobody may have it."""
        if self.headers.get("Host") != self.server_of.origin.removeprefix("http://"):
            return None
        return self.server_of.is_allowed(self.path)

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = resources.files("edgewright.export.labelling").joinpath("page.html").read_text("utf-8")
        policy = (
            f"default-src 'none'; img-src data:; connect-src 'self'; style-src 'nonce-{nonce}'; "
            f"script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        raw = page.replace("NONCE", nonce).encode()
        self._answer(HTTPStatus.OK, "text/html; charset=utf-8", raw, ("Content-Security-Policy", policy))

    def _json(self, told: dict[str, Any]) -> None:
        self._answer(HTTPStatus.OK, "application/json", json.dumps(told).encode())

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", text.encode())

    def _answer(self, status: HTTPStatus, kind: str, raw: bytes, *more: tuple[str, str]) -> None:
        self.send_response(status)
        fixed = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(raw))), *fixed, *more):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *unused: Any) -> None:
        """The library prints nothing."""
