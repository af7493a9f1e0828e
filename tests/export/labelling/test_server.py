"""The page's server: what it gives, to whom, and what it does with what it should not be sent."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgewright.export.labelling.kept import ANSWERS, Kept
from edgewright.export.labelling.server import Server
from edgewright.export.labelling.session import Session

Ask = Callable[..., tuple[int, str, dict[str, str]]]


@pytest.fixture
def server(opened: Kept) -> Iterator[Server]:
    with Server(Session(opened, 1)) as found:
        yield found


@pytest.fixture
def ask(server: Server) -> Ask:
    """Status, body and headers of a request as the page makes it, changed as said."""

    def call(
        what: str,
        body: Any = None,
        *,
        path: str = "",
        method: str = "",
        raw: bytes | None = None,
        **headers: str | None,
    ) -> tuple[int, str, dict[str, str]]:
        place = server.origin.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=10)
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent: dict[str, str | None] = {"Host": place}
        if data is not None:
            sent |= {"Origin": server.origin, "Content-Type": "application/json"}
            sent["Content-Length"] = str(len(data))
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        token = server.url.removeprefix(server.origin)
        connection.putrequest(
            method or ("GET" if data is None else "POST"),
            path or token + what,
            skip_host=True,
            skip_accept_encoding=True,
        )
        for key, value in sent.items():
            if value is not None:
                connection.putheader(key, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())

    return call


def test_page_needs_nothing_from_elsewhere(ask: Ask) -> None:
    status, page, headers = ask("")
    assert status == 200
    assert not re.search(r"""\b(src|href)=|https?://|@import|url\(""", page)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:")
    (nonce,) = {*re.findall(r'nonce="([^"]+)"', page)}
    assert f"script-src 'nonce-{nonce}'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert nonce not in ask("")[1]


def test_answers_undo_and_finish_are_done_and_kept(ask: Ask, server: Server, opened: Kept) -> None:
    state = json.loads(ask("state")[1])
    assert (state["answered"], state["finished"]) == (0, False)
    question = state["question"]
    assert question["image"].startswith("data:image/png;base64,")
    assert {*question} == {"number", "candidates", "image"}  # nothing tells who said what
    status, body, _ = ask("answer", {"number": question["number"], "choice": 1})
    assert (status, json.loads(body)["answered"]) == (200, 1)
    assert json.loads((opened.folder / ANSWERS).read_bytes())["shown"]
    assert ask("answer", {"number": question["number"], "choice": 1})[0] == 409  # a second click
    assert json.loads(ask("undo", {})[1])["question"]["number"] == question["number"]
    assert not server.finished.is_set()
    assert json.loads(ask("finish", {})[1])["finished"] is True
    assert server.finished.is_set()
    assert ask("undo", {})[0] == 409


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Host": "evil.example"}, 404),
        ({"Host": "localhost:80"}, 404),
        ({"path": "/"}, 404),
        ({"path": "/state"}, 404),
        ({"path": "/wrong-token/state"}, 404),
        ({"what": "../state"}, 404),
        ({"what": "pool.json"}, 404),
        ({"method": "PUT"}, 501),
    ],
)
def test_nothing_else_is_served(ask: Ask, changes: dict[str, str], status: int) -> None:
    found, body, _ = ask(**{"what": "state", **changes})
    assert found == status
    assert "candidates" not in body


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": None}, 403),
        ({"Host": "evil.example"}, 404),
        ({"Content_Type": "text/plain"}, 415),
        ({"raw": b"[1, 2]"}, 400),
        ({"raw": b"{" * 3000}, 400),
        ({"raw": b"\xff\xfe"}, 400),
        ({"raw": b" " * 5000}, 413),
        ({"Content_Length": "-5"}, 413),
        ({"Content_Length": None}, 413),
        ({"body": {}}, 400),
        ({"body": {"number": "0", "choice": 1}}, 400),
        ({"body": {"number": 0, "choice": -1}}, 400),
        ({"body": {"number": 0, "choice": 99}}, 409),
        ({"body": {"number": 10**6, "choice": 0}}, 409),
        ({"body": {"number": 0, "choice": True}}, 400),
        ({"what": "state"}, 404),
    ],
)
def test_what_is_posted_is_checked(ask: Ask, opened: Kept, changes: dict[str, Any], status: int) -> None:
    asked = {"what": "answer", "body": {"number": 0, "choice": 0}, **changes}
    assert ask(asked.pop("what"), asked.pop("body"), **asked)[0] == status
    assert not (opened.folder / ANSWERS).exists()
    assert ask("state")[0] == 200
