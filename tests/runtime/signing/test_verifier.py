"""What a device takes as signed: one form, one key, these files; all else ends in one line."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="pip install 'edgewright[verify]'")

from edgewright.runtime.errors import InputError, SignatureError
from edgewright.runtime.signing import SIGNATURE, SignedBy, check, described
from edgewright.runtime.signing.statement import MAX_BYTES

Json = dict[str, Any]
Fresh = Callable[..., Any]


def test_what_was_signed_is_given_back(signed: Any) -> None:
    assert sorted(check(signed.folder, signed.public)) == ["golden.npz", "manifest.json", "model.tflite"]
    assert "over 3 files" in described(signed.folder)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_each_curve_has_its_own_hash(signed: Any, keys: Mapping[str, Any], curve: str) -> None:
    from cryptography.hazmat.primitives import hashes

    other = signed.by(keys[curve])
    other.sign(hash_={"P-256": hashes.SHA256(), "P-384": hashes.SHA384(), "P-521": hashes.SHA512()}[curve])
    assert check(signed.folder, other.public)
    other.sign(hash_=hashes.SHA224())
    with pytest.raises(SignatureError, match="not by that key"):
        check(signed.folder, other.public)


@pytest.mark.parametrize("kind", ["k1", "rsa", "ed25519"])
def test_keys_that_the_format_does_not_have(signed: Any, keys: Mapping[str, Any], kind: str) -> None:
    with pytest.raises(InputError, match="on P-256, P-384 or P-521"):
        check(signed.folder, signed.by(keys[kind]).public)


def test_the_key_may_be_a_file_its_bytes_or_a_link(signed: Any, tmp_path: Path) -> None:
    public = signed.write_key(tmp_path / "key.pem").with_suffix(".pub")
    (tmp_path / "link.pem").symlink_to(public)
    for key in (public, str(public), tmp_path / "link.pem", signed.public, SignedBy(key=public)):
        assert check(signed.folder, key)


def test_no_key_where_one_should_be(signed: Any, tmp_path: Path) -> None:
    private = signed.write_key(tmp_path / "key.pem")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for key, told in {
        private: "expected a public key, got the private one",
        tmp_path / "none.pem": "No such file",
        tmp_path / "pipe": "expected a file",
        tmp_path: "expected a file",
        tmp_path / "empty": "expected a public key",
        signed.folder / SIGNATURE: "expected a public key",
    }.items():
        with pytest.raises(InputError, match=told):
            check(signed.folder, key)


@pytest.mark.parametrize(
    "asked",
    [{}, {"key": "a", "identity": "b", "issuer": "c"}, {"identity": "b"}, {"issuer": "c"}, {"key": ""}],
)
def test_a_policy_is_a_key_or_an_identity_with_its_issuer(asked: Json) -> None:
    with pytest.raises(InputError):
        SignedBy(**asked)


def test_another_key_is_not_that_one(signed: Any, keys: Mapping[str, Any]) -> None:
    with pytest.raises(SignatureError, match="expected a signature by the key with SHA-256"):
        check(signed.folder, signed.by(keys["other"]).public)
    hint = json.loads((signed.folder / SIGNATURE).read_bytes())["verificationMaterial"]
    signed.by(keys["other"]).sign(outside=lambda e: e.update(verificationMaterial=hint))
    with pytest.raises(SignatureError, match="not by that key"):
        check(signed.folder, signed.public)


def test_whatever_happens_to_the_files(signed: Any, tmp_path: Path) -> None:
    folder: Path = signed.folder

    def swapped() -> None:
        (folder / "model.tflite").write_bytes(b"A model")

    def linked() -> None:
        (folder / "model.tflite").rename(tmp_path / "elsewhere")
        (folder / "model.tflite").symlink_to(tmp_path / "elsewhere")

    def piped() -> None:
        (folder / "model.tflite").unlink()
        os.mkfifo(folder / "model.tflite")

    changes: dict[str, Callable[[], object]] = {
        "not as it was signed": swapped,
        "'extra' beside": (folder / "extra").touch,
        "'.hidden' beside": (folder / ".hidden").touch,
        "'inner' beside": (folder / "inner").mkdir,
        "'model.tflite', which was signed, .* got nothing": (folder / "model.tflite").unlink,
        "'renamed' beside": lambda: (folder / "golden.npz").rename(folder / "renamed"),
        "model.tflite, which is a link": linked,
        "expected a file, got .*model.tflite, which is a": piped,
        "'dangling' beside": lambda: (folder / "dangling").symlink_to("nowhere"),
    }
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for told, change in changes.items():
        change()
        with pytest.raises(SignatureError, match=told):
            check(folder, signed.public)
        assert "broken" in described(folder)
        for path in folder.iterdir():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, raw in whole.items():
            (folder / name).write_bytes(raw)
        assert check(folder, signed.public)


def resources(statement: Json) -> list[Json]:
    return list(statement["predicate"]["resources"])


WRONG_STATEMENTS: dict[str, Callable[[Json], object]] = {
    "no subject": lambda s: s.update(subject=[]),
    "two subjects": lambda s: s["subject"].append(s["subject"][0]),
    "a subject of another digest": lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "a subject of another algorithm": lambda s: s["subject"][0].update(digest={"sha512": "0" * 128}),
    "another type": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "another predicate": lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
    "no predicate": lambda s: s.pop("predicate"),
    "shards": lambda s: s["predicate"]["serialization"].update(method="shards"),
    "another hash": lambda s: s["predicate"]["serialization"].update(hash_type="blake3"),
    "links": lambda s: s["predicate"]["serialization"].update(allow_symlinks=True),
    "no files": lambda s: s["predicate"].update(resources=[]),
    "files that are no list": lambda s: s["predicate"].update(resources={}),
    "a file twice": lambda s: s["predicate"]["resources"].append(resources(s)[0]),
    "a path upwards": lambda s: resources(s)[0].update(name="../golden.npz"),
    "a path": lambda s: resources(s)[0].update(name="/etc/passwd"),
    "a backslash": lambda s: resources(s)[0].update(name="a\\b"),
    "the folder itself": lambda s: resources(s)[0].update(name="."),
    "a NUL": lambda s: resources(s)[0].update(name="a\0"),
    "no name": lambda s: resources(s)[0].update(name=""),
    "a file's other algorithm": lambda s: resources(s)[0].update(algorithm="md5"),
    "a digest in capitals": lambda s: resources(s)[0].update(digest=resources(s)[0]["digest"].upper()),
    "a short digest": lambda s: resources(s)[0].update(digest="00"),
    "a digest that is a number": lambda s: resources(s)[0].update(digest=1),
}


@pytest.mark.parametrize("wrong", WRONG_STATEMENTS)
def test_a_statement_of_another_form_does_not_count_though_it_is_signed(signed: Any, wrong: str) -> None:
    signed.sign(WRONG_STATEMENTS[wrong])
    with pytest.raises(SignatureError) as failure:
        check(signed.folder, signed.public)
    assert "\n" not in str(failure.value)
    assert str(failure.value).startswith("expected")


def with_root(change: Callable[[Json], object]) -> Callable[[Json], None]:
    """A change after which the digest of all digests is right."""

    def call(statement: Json) -> None:
        change(statement)
        digests = b"".join(bytes.fromhex(each["digest"]) for each in resources(statement))
        statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()

    return call


def test_a_file_elsewhere_is_no_part_of_a_bundle_though_it_is_signed(signed: Any, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"a model")
    more = {"algorithm": "sha256", "digest": hashlib.sha256(b"a model").hexdigest()}
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "./model.tflite"):
        signed.sign(with_root(lambda s, n=name: s["predicate"]["resources"].append({"name": n, **more})))
        with pytest.raises(SignatureError, match="expected 'name' to be the plain name"):
            check(signed.folder, signed.public)


def test_nothing_is_no_bundle_though_it_is_signed(signed: Any) -> None:
    for path in signed.folder.iterdir():
        path.unlink()
    signed.sign()
    with pytest.raises(SignatureError, match="'subject'"):
        check(signed.folder, signed.public)


def test_a_signature_of_a_megabyte_is_not_read(signed: Any) -> None:
    path = signed.folder / SIGNATURE
    path.write_bytes(path.read_bytes() + b" " * MAX_BYTES)
    with pytest.raises(SignatureError, match=f"at most {MAX_BYTES:,} bytes"):
        check(signed.folder, signed.public)


WRONG_ENVELOPES: dict[str, Callable[[Json], object]] = {
    "another medium": lambda e: e.update(mediaType="application/json"),
    "no material": lambda e: e.pop("verificationMaterial"),
    "neither key nor certificate": lambda e: e["verificationMaterial"].pop("publicKey"),
    "a hint that is no hash": lambda e: e["verificationMaterial"]["publicKey"].update(hint="x"),
    "a certificate": lambda e: e.update(verificationMaterial={"certificate": {"rawBytes": ""}}),
    "no envelope": lambda e: e.pop("dsseEnvelope"),
    "another payload type": lambda e: e["dsseEnvelope"].update(payloadType="text/plain"),
    "no signature": lambda e: e["dsseEnvelope"].update(signatures=[]),
    "two signatures": lambda e: e["dsseEnvelope"]["signatures"].append(e["dsseEnvelope"]["signatures"][0]),
    "an empty signature": lambda e: e["dsseEnvelope"]["signatures"][0].update(sig=""),
    "no base64": lambda e: e["dsseEnvelope"].update(payload="{}"),
    "base64 with a space": lambda e: e["dsseEnvelope"].update(payload=e["dsseEnvelope"]["payload"] + " "),
    "another payload": lambda e: e["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode()),
    "letters of no alphabet": lambda e: e["dsseEnvelope"].update(payload="é"),
}


@pytest.mark.parametrize("wrong", WRONG_ENVELOPES)
def test_an_envelope_of_another_form_does_not_count(signed: Any, wrong: str) -> None:
    signed.sign(outside=WRONG_ENVELOPES[wrong])
    with pytest.raises(SignatureError) as failure:
        check(signed.folder, signed.public)
    assert "\n" not in str(failure.value)


def test_json_that_two_readers_read_apart(signed: Any) -> None:
    path = signed.folder / SIGNATURE
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-1] + ', "dsseEnvelope": {}}', encoding="utf-8")
    with pytest.raises(SignatureError, match="twice"):
        check(signed.folder, signed.public)
    statement = json.dumps(signed.statement())
    signed.sign_bytes((statement[:-1] + ', "subject": []}').encode())
    with pytest.raises(SignatureError, match="twice"):
        check(signed.folder, signed.public)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff\xfe{}", b"[" * 10**5, b'{"a":' * 10**5, b"1" * 10**5),
        *(b'{"mediaType": ' + b"9" * 10**5 + b"}", b'{"a": "\\ud800"}', b"\0" * 100),
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_files_that_are_no_signature(signed: Any, raw: bytes) -> None:
    (signed.folder / SIGNATURE).write_bytes(raw)
    with pytest.raises(SignatureError) as failure:
        check(signed.folder, signed.public)
    assert len(str(failure.value)) < 1000
    assert described(signed.folder).startswith("unreadable")


def test_signature_files_that_are_no_files(signed: Any, tmp_path: Path) -> None:
    path: Path = signed.folder / SIGNATURE
    path.rename(tmp_path / SIGNATURE)
    with pytest.raises(SignatureError, match="expected a signed bundle"):
        check(signed.folder, signed.public)
    assert described(signed.folder) == "none"
    for make in (lambda: path.symlink_to(tmp_path / SIGNATURE), lambda: os.mkfifo(path), path.mkdir):
        make()
        with pytest.raises(SignatureError, match="expected a file"):
            check(signed.folder, signed.public)
        path.rmdir() if path.is_dir() else path.unlink()
    for folder in (signed.folder / "model.tflite", tmp_path / "none"):
        with pytest.raises(SignatureError, match="expected a bundle folder"):
            check(folder, signed.public)


def test_a_thousand_cuts_and_flips(signed: Any) -> None:
    path: Path = signed.folder / SIGNATURE
    whole = path.read_bytes()
    right = check(signed.folder, signed.public)
    for place in range(0, len(whole), 5):
        for raw in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            path.write_bytes(raw)
            try:
                assert check(signed.folder, signed.public) == right  # such as in 'keyid', which says nothing
            except SignatureError as failure:
                assert "\n" not in str(failure)


def test_without_cryptography_the_extra_is_named(signed: Any, fresh: Fresh) -> None:
    code = """
from edgewright.runtime.errors import MissingExtraError
from edgewright.runtime.signing import check
from pathlib import Path
try:
    check(Path(sys.argv[1]), b"-----BEGIN PUBLIC KEY-----")
except MissingExtraError as failure:
    print(failure)
"""
    done = fresh(signed.folder, code=code, blocked=["cryptography"])
    assert "pip install 'edgewright[verify]'" in done.stdout, done.stderr


def test_a_device_needs_cryptography_alone(signed: Any, fresh: Fresh, tmp_path: Path) -> None:
    public = signed.write_key(tmp_path / "key.pem").with_suffix(".pub")
    code = """
from edgewright.runtime.signing import check
from pathlib import Path
print(len(check(Path(sys.argv[1]), sys.argv[2])))
"""
    blocked = ["model_signing", "sigstore", "sigstore_models", "in_toto_attestation", "OpenSSL", "google"]
    done = fresh(signed.folder, public, code=code, blocked=blocked)
    assert done.stdout == "3\n", done.stderr
