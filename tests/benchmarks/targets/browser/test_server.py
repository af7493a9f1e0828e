"""Nothing is served but what is listed, to nobody but who knows the token; what is posted is kept short."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from edgewright.benchmarks.targets.browser import tls
from edgewright.benchmarks.targets.browser.server import MOST_POSTED, Server

Ask = Callable[..., tuple[int, dict[str, str], bytes]]
DEVICE = {
    "key": "0123456789ab",
    "name": "a phone",
    "browser": "Chrome 156",
    "system": "Android 14",
    "user_agent": "x",
    "cores": 8,
    "clock_step_ns": 5000,
    "isolated": True,
    "secure": True,
    "mobile": True,
    "gpu": "",
    "gpu_software": False,
}


def test_page_is_served_isolated_and_with_a_nonce(server: Server, ask: Ask) -> None:
    status, headers, body = ask("GET", f"/{server.token}/")
    assert status == 200
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert body == f"<p nonce={server.nonce}>".encode()
    assert f"'nonce-{server.nonce}'" in headers["Content-Security-Policy"]
    assert ask("GET", f"/{server.token}/assets/engine.wasm")[2] == b"\0asm" * 10


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/page.html",
        "/{short}/",
        "/{token}x/page.html",
        "//page.html",
        "/{token}/secret",
        "/{token}/../secret",
        "/{token}/assets/../secret",
        "/{token}/%2e%2e/secret",
        "/{token}/assets/..%2fsecret",
        "/{token}//etc/passwd",
        "/{token}/assets/",
        "/{token}/progress",
        "/\xff/page.html",
    ],
)
def test_server_gives_nothing_without_its_token_or_that_is_not_listed(
    server: Server, ask: Ask, path: str
) -> None:
    asked = path.format(token=server.token, short=server.token[:-1])
    if not asked.isascii():
        with socket.create_connection(("127.0.0.1", int(server.port)), 10) as raw:
            raw.sendall(f"GET {asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
            assert raw.recv(100).split()[1] == b"404"
        return
    status, _, body = ask("GET", asked)
    assert (status, body) == (404, b"not found\n")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/{token}/progress", {"device": DEVICE, "variant": ""}, {}, 204),
        ("/{token}/progress", {"device": DEVICE, "variant": "tflite-int8"}, {}, 204),
        ("/{token}/progress", {"device": DEVICE, "variant": "another"}, {}, 400),
        ("/{token}/progress", {"device": {**DEVICE, "key": "../../etc"}, "variant": ""}, {}, 400),
        ("/{token}/progress", {"device": {**DEVICE, "cores": 1e9}, "variant": ""}, {}, 400),
        ("/{token}/progress", {"device": {**DEVICE, "name": "x" * 70_000}, "variant": ""}, {}, 400),
        ("/{token}/progress", b"[" * 100_000, {}, 400),
        ("/{token}/progress", b"\xff\xfe", {}, 400),
        ("/{token}/progress", [], {}, 400),
        ("/{token}/progress", b"", {"Content-Length": str(MOST_POSTED + 1)}, 413),
        ("/{token}/progress", b"", {"Content-Length": "9" * 5000}, 413),
        ("/{token}/progress", b"", {"Content-Length": "-1"}, 411),
        ("/{token}/progress", b"", {"Content-Length": "²"}, 411),
        ("/{token}/progress", b"", {"Content-Length": "0", "Transfer_Encoding": "chunked"}, 411),
        ("/{token}/results", {}, {}, 404),
        ("/{token}/page.html", {}, {}, 404),
        ("/wrong/progress", {"device": DEVICE, "variant": ""}, {}, 404),
    ],
)
def test_posts_are_heard_only_if_they_are_as_they_should_be(
    server: Server, ask: Ask, heard: list[Any], path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    got, _, said = ask("POST", path.format(token=server.token), body, **headers)
    assert got == status
    assert len(heard) == (status == 204)
    if status == 204:
        assert heard[0][2] is True  # it came from this machine
    else:
        assert said.count(b"\n") == 1
    assert ask("GET", f"/{server.token}/page.html")[0] == 200  # it goes on


def test_post_that_breaks_off_is_not_heard_and_holds_nobody_up(
    server: Server, ask: Ask, heard: list[Any]
) -> None:
    with socket.create_connection(("127.0.0.1", int(server.port)), 10) as raw:
        raw.sendall(
            f"POST /{server.token}/progress HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode()
        )
    start = time.monotonic()
    assert ask("GET", f"/{server.token}/page.html")[0] == 200
    assert time.monotonic() - start < 5
    assert heard == []


def test_certificate_is_the_one_whose_fingerprint_is_told_and_others_do_not_hold_it_up() -> None:
    pytest.importorskip("cryptography")
    own = tls.certificate("127.0.0.1")
    made = Server({"page.html": b"<p>"}, frozenset(), lambda name, raw, here: None, "127.0.0.1", own.context)
    assert made.url.startswith("https://127.0.0.1:")
    place = ("127.0.0.1", int(made.port))
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with made.serving(), socket.create_connection(place, 10):  # says nothing
        with socket.create_connection(place, 10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"HTTP")
        with trusting.wrap_socket(socket.create_connection(place, 10)) as found:
            raw = found.getpeercert(binary_form=True)
            assert raw is not None
            digest = hashlib.sha256(raw).hexdigest().upper()
            assert own.fingerprint == ":".join(digest[i : i + 2] for i in range(0, 64, 2))
            pem = ssl.DER_cert_to_PEM_cert(raw)
        knowing = ssl.create_default_context(cadata=pem)
        connection = http.client.HTTPSConnection(*place, context=knowing, timeout=10)
        connection.request("GET", f"/{made.token}/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"<p>")
        connection.close()


def test_server_is_gone_when_its_block_ends(server: Server) -> None:
    other = Server({}, frozenset(), lambda name, raw, here: None, "127.0.0.1")
    assert other.token != server.token
    with other.serving():
        pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(other.port)), 2)
