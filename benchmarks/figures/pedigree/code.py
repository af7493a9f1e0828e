"""`code`: a hash of the sources that decide a figure, so that a row says what made it.

From the modules that make a row imports are followed as far as they can change the figure (`kinds.py`). Of
each module its syntax tree counts, without docstrings; so comments and formatting change nothing. Modules
that are named in a text, as for `python -m`, are imports too, and so are files beside a module that it names:
pages, JavaScript and C count by their bytes. A package's public names lead to where they live.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files
from edgewright.runtime.errors import EdgewrightError, InputError

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("runtime", "train", "apps", "export", "benchmarks", "tests/faults")
DIGITS = 16  # of a SHA-256: enough to tell editions of a project apart
CHANGED = "changed while it was made"
_OURS, _BESIDE = "edgewright.", "./"
_SUFFIXES = (".py", ".js", ".html", ".css", ".c", ".h", ".toml")
_MODULE = re.compile(r"edgewright(\.\w+)+")
_FILE = re.compile(rf"\w[\w-]*({'|'.join(map(re.escape, _SUFFIXES))})")
_CACHE = ROOT / ".cache" / "pedigree.json"
_FORM, _MOST = 1, 2000  # of what is kept there: its form, and of how many editions of modules


@dataclass(frozen=True, kw_only=True)
class Part:
    """Sources by which some rows are made, and how they are made again.

    `roots` are modules without `edgewright.`, `x.*` all sources of a package. Imports are followed into what
    begins with one of `within` and with none of `apart`.
    """

    name: str
    command: str
    roots: tuple[str, ...]
    within: tuple[str, ...]
    apart: tuple[str, ...] = ()

    def follows(self, module: str) -> bool:
        return _is_in(module, self.within) and not _is_in(module, self.apart)


def _is_in(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


class Tree:
    """The sources of a checkout as they are when it is made."""

    def __init__(self, root: Path = ROOT) -> None:
        self._raw: dict[str, bytes] = {}  # by module, else by path
        self._packages: set[str] = set()
        for folder in FOLDERS:
            for path in sorted((root / folder).rglob("*")):
                if path.suffix in _SUFFIXES and path.is_file():
                    name = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
                    if path.suffix != ".py":
                        name = path.relative_to(root).as_posix()
                    elif path.name == "__init__.py":
                        name = name.removesuffix(".__init__")
                        self._packages.add(name)
                    self._raw[name] = path.read_bytes()
        self._codes: dict[Part, str] = {}

    def code(self, part: Part) -> str:
        """The hash over the contents of all sources of a part; where a module lies, those say that import it.

        Raises:
            InputError: this tree has none of its roots.
        """
        if part not in self._codes:
            digests = sorted(self._digest(name) for name in self.closure(part))
            if not digests:
                raise InputError(f"expected sources of {part.name}, {' or '.join(part.roots)}, got none")
            self._codes[part] = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:DIGITS]
            _kept().write()
        return self._codes[part]

    def closure(self, part: Part) -> list[str]:
        """The sources of a part, sorted: modules, and paths of what is no Python."""
        todo = [name for root in part.roots for name in self._expanded(root)]
        found: set[str] = set()
        while todo:
            name = todo.pop()
            if name in found or name not in self._raw or "." not in name:
                continue  # of the five packages themselves, public names are looked up below
            if "/" not in name and not part.follows(name):
                continue
            found.add(name)
            if "/" not in name:
                todo += self._imports(name)
        return sorted(found)

    def modules(self, package: str) -> list[str]:
        """All that stand in a package and in those in it."""
        return [name for name in self._raw if "/" not in name and name.startswith(f"{package}.")]

    def _expanded(self, root: str) -> list[str]:
        package = root.removesuffix(".*")
        if package == root:
            return [root]
        folder = f"{package.replace('.', '/')}/"
        return [package, *self.modules(package), *(name for name in self._raw if name.startswith(folder))]

    def _digest(self, name: str) -> str:
        raw = self._raw[name]
        return hashlib.sha256(raw).hexdigest() if "/" in name else _kept().of(raw).digest

    def _imports(self, name: str) -> Iterator[str]:
        """The sources that a module names."""
        folder = name if name in self._packages else name.rpartition(".")[0]
        for word in _kept().of(self._raw[name]).imports:
            if word.startswith(_BESIDE):
                path = f"{folder.replace('.', '/')}/{word.removeprefix(_BESIDE)}"
                yield path.removesuffix(".py").replace("/", ".") if path.endswith(".py") else path
                continue
            module, _, attribute = word.partition(":")
            if f"{module}.{attribute}" in self._raw:
                yield f"{module}.{attribute}"
            elif module in self._packages and attribute:
                yield _kept().of(self._raw[module]).homes.get(attribute, module)
            else:
                yield module


_begun: Tree | None = None


def begin() -> None:
    """Remember the sources as they are: rows that are made from now on are made by these."""
    global _begun
    _begun = Tree()


def today(parts: Iterable[Part]) -> dict[Part, str]:
    """The code of each part; `CHANGED` of one that is another than when this program began, as nobody knows
    then what has made a row."""
    tree = Tree()
    found = {part: tree.code(part) for part in parts}
    return {p: one if _begun is None or _begun.code(p) == one else CHANGED for p, one in found.items()}


def now(part: Part) -> str:
    """The code of one part, as `today` gives it."""
    return today([part])[part]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What counts of a module: a hash of its syntax, what it names, and where its public names live."""

    digest: str
    imports: Sequence[str]
    homes: Mapping[str, str]


class _Kept:
    """What was found of sources by the hash of their bytes, kept in a file too: parsing takes long."""

    def __init__(self) -> None:
        self._known: dict[str, _Source] = {}
        self._new = False
        try:
            told = json.loads(_CACHE.read_bytes())
            if told["form"] == _FORM:
                self._known = {key: _Source(**value) for key, value in told["sources"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # it is made anew

    def of(self, raw: bytes) -> _Source:
        key = hashlib.sha256(raw).hexdigest()
        if key not in self._known:
            self._known[key] = _parsed(raw)
            self._new = True
        return self._known[key]

    def write(self) -> None:
        if self._new:
            newest = list(self._known.items())[-_MOST:]
            told = {"form": _FORM, "sources": {key: vars(value) for key, value in newest}}
            with contextlib.suppress(OSError, EdgewrightError):  # a folder that takes no file only costs time
                _CACHE.parent.mkdir(parents=True, exist_ok=True)
                files.write_file(_CACHE, json.dumps(told).encode())
            self._new = False


@functools.cache
def _kept() -> _Kept:
    return _Kept()


def _parsed(raw: bytes) -> _Source:
    tree = ast.parse(raw)
    homes = dict(_homes(tree))
    imports = dict.fromkeys(_named(tree, {*homes.values()}))
    written = "".join(_written(tree))
    return _Source(digest=hashlib.sha256(written.encode()).hexdigest(), imports=tuple(imports), homes=homes)


def _homes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that a package imports when they are asked for (`plugins.lazy`), with their modules."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOME":
            for module, names in ast.literal_eval(node.value).items():
                yield from ((name.partition(" as ")[2] or name, module.removeprefix(_OURS)) for name in names)


def _named(node: ast.AST, homes: Iterable[str]) -> Iterator[str]:
    """Our modules that are imported, as `module` or `module:name`, or named in a text; files as `./name`."""
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (name.name.removeprefix(_OURS) for name in node.names if name.name.startswith(_OURS))
    elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OURS):
        yield from (f"{(node.module or '').removeprefix(_OURS)}:{name.name}" for name in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
        if _MODULE.fullmatch(text) and text.removeprefix(_OURS) not in homes:
            yield text.removeprefix(_OURS)
        elif _FILE.fullmatch(text):
            yield f"{_BESIDE}{text}"
    for child in ast.iter_child_nodes(node):
        yield from _named(child, homes)


_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_LEFT_OUT = ("ctx", "kind", "type_comment", "type_ignores")  # no more than is said elsewhere


def _written(node: Any) -> Iterator[str]:
    """A syntax tree as a text, the same for every Python: what is empty is left out, as some have more
    fields."""
    if isinstance(node, ast.AST):
        documented = isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, False) is not None
        yield f"({type(node).__name__}"
        for field in node._fields:
            value: Any = getattr(node, field, None)
            if field == "body" and documented:
                value = value[1:]
            if field not in _LEFT_OUT and value is not None and value != []:
                yield f" {field}="
                yield from _written(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for one in node:
            yield from _written(one)
            yield ","
        yield "]"
    else:
        yield repr(node)
