"""A real bundle is signed by the library of Model Signing; devices agree with it about what is whole."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cryptography", reason="pip install 'edgewright[verify]'")

from edgewright.export.exporter import Result
from edgewright.runtime import load, signing, verify
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, Manifest
from edgewright.runtime.errors import BundleError, InputError, SignatureError
from edgewright.runtime.signing import SIGNATURE, SignedBy, check, sign

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
Rewrite = Callable[..., Manifest]
Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]
Fresh = Callable[..., Any]

library = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None or importlib.util.find_spec("OpenSSL") is None,
    reason="pip install 'edgewright[sign]'",
)


@pytest.fixture(scope="module")
def made(
    exported: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory, keys: Mapping[str, Any]
) -> Path:
    """A bundle that the library has signed, its key and the public half beside it."""
    pytest.importorskip("model_signing", reason="pip install 'edgewright[sign]'")
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(exported[0], folder / "bundle")
    _write(keys["P-256"], folder / "key.pem")
    sign(folder / "bundle", key=folder / "key.pem")
    return folder


def _write(private: Any, path: Path, password: bytes | None = None) -> Path:
    from cryptography.hazmat.primitives import serialization as s

    hidden = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    path.write_bytes(private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, hidden))
    public = private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture
def key(made: Path) -> Path:
    return made / "key.pub"


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A signed bundle of this test's own."""
    return Path(shutil.copytree(made / "bundle", tmp_path / "bundle"))


def test_a_signed_bundle_opens_and_verifies(bundle: Path, key: Path, run: Run) -> None:
    with load(bundle, require_signature=key) as predictor:
        assert predictor.contract.labels
    status, out, err = run("verify", bundle, "--key", key)
    assert (status, err) == (0, "")
    assert "every file is as it was signed" in out
    assert "signature: said to be by the key with SHA-256" in run("inspect", bundle)[1]
    assert verify(bundle / "tflite-int8.tflite", require_signature=key)[0].status == "ok"


def test_a_valid_signature_opens_directly(
    bundle: Path, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What this machine has never seen is not tried out in another process first, nor listed."""
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    entry = Bundle.open(bundle).variant("onnx-float32").file
    with load(bundle, variant="onnx-float32", require_signature=key) as predictor:
        assert type(predictor.session).__name__ != "IsolatedSession"
    assert [path for path in (tmp_path / "cache").rglob("*") if entry.sha256 in path.name] == []
    with load(bundle, variant="onnx-float32", require_signature=key, isolate=True) as predictor:
        assert type(predictor.session).__name__ == "IsolatedSession"


def test_what_is_edited_by_hand_is_caught(bundle: Path, key: Path, edit: Edit, refused: Refused) -> None:
    """The manifest is right in itself, and does not say what was proven."""

    def looser(data: dict[str, Any]) -> None:
        data["variants"][0]["tolerance"].update(max_abs=1e9, max_abs_elsewhere=1e9)

    def better(data: dict[str, Any]) -> None:
        data["variants"][0]["parity"].update(accuracy=1.0, drop=-0.1)

    whole = (bundle / MANIFEST).read_bytes()
    for change in (looser, better):
        edit(bundle, change)
        assert "manifest.json is not as it was signed" in refused("verify", bundle, "--key", key)
        with pytest.raises(SignatureError):
            load(bundle, require_signature=key)
        load(bundle, variant="onnx-float32").close()  # the stamp is right: nothing else would have told
        (bundle / MANIFEST).write_bytes(whole)
    for name in ("golden.npz", "evidence.npz", "labels.txt"):
        raw = (bundle / name).read_bytes()
        (bundle / name).write_bytes(raw + b"\n")
        assert f"{name} is not as it was signed" in refused("verify", bundle, "--key", key)
        (bundle / name).write_bytes(raw)
    assert verify(bundle, require_signature=key)


def test_a_manifest_that_is_swapped_after_the_check(
    bundle: Path, key: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was verified is what is read."""
    whole = signing.check

    def swap(path: Path, policy: Any) -> Mapping[str, str]:
        found = whole(path, policy)
        edit(bundle, lambda data: data.update(name="other"))
        return found

    monkeypatch.setattr(signing, "check", swap)
    for open_ in (load, verify):
        with pytest.raises(BundleError, match="not as it was signed"):
            open_(bundle, require_signature=key)
        (bundle / MANIFEST).write_bytes((key.parent / "bundle" / MANIFEST).read_bytes())


def test_a_signature_is_of_a_bundle(bundle: Path, key: Path, tmp_path: Path, refused: Refused) -> None:
    with pytest.raises(SignatureError, match="expected a bundle folder"):
        load(bundle / "tflite-int8.tflite", require_signature=key)
    model = bundle / "tflite-int8.tflite"
    assert "no signature covers" in refused("verify", model, "--golden", bundle / "golden.npz", "--key", key)
    assert "with its issuer" in refused("verify", bundle, "--identity", "me@example.org")
    assert "with its issuer" in refused("verify", bundle, "--issuer", "https://example.org")
    assert "verify it with --key" in refused(
        "verify", bundle, "--identity", "me@example.org", "--issuer", "https://example.org"
    )
    (bundle / SIGNATURE).unlink()
    assert "edgewright sign" in refused("verify", bundle, "--key", key)


@library
def test_the_command_signs(bundle: Path, made: Path, run: Run, keys: Mapping[str, Any]) -> None:
    before = (bundle / SIGNATURE).read_bytes()
    (bundle / "LICENCE").write_text("as you like\n")
    status, out, err = run("sign", bundle, "--key", made / "key.pem")
    assert (status, err) == (0, "")
    assert "edgewright verify" in out
    assert (bundle / SIGNATURE).read_bytes() != before
    assert "LICENCE" in check(bundle, made / "key.pub")
    held = {path.name for path in (made / "bundle").iterdir()}
    assert {path.name for path in bundle.iterdir()} == {*held, "LICENCE"}


@library
def test_a_key_with_a_password(
    bundle: Path, tmp_path: Path, keys: Mapping[str, Any], refused: Refused
) -> None:
    key = _write(keys["P-384"], tmp_path / "hidden.pem", b"open")
    assert "expected a terminal" in refused("sign", bundle, "--key", key)
    with pytest.raises(InputError, match="this password does not open"):
        sign(bundle, key=key, password=b"shut")
    sign(bundle, key=key, password=b"open")
    assert check(bundle, key.with_suffix(".pub"))


@library
def test_what_cannot_be_signed(bundle: Path, made: Path, tmp_path: Path, refused: Refused, keys: Any) -> None:
    before = (bundle / SIGNATURE).read_bytes()
    key = made / "key.pem"
    for wrong, told in {
        made / "key.pub": "got the public one",
        tmp_path / "none": "No such file",
        _write(keys["k1"], tmp_path / "k1.pem"): "on P-256, P-384 or P-521",
        _write(keys["rsa"], tmp_path / "rsa.pem"): "on P-256, P-384 or P-521",
    }.items():
        assert told in refused("sign", bundle, "--key", wrong)
    assert "expected a bundle" in refused("sign", tmp_path, "--key", key)
    for name, make in {
        "inner": Path.mkdir,
        "link": lambda path: path.symlink_to(key),
        ".hidden": Path.touch,
        "pipe": os.mkfifo,
    }.items():
        make(bundle / name)
        assert name in refused("sign", bundle, "--key", key)
        (bundle / name).rmdir() if name == "inner" else (bundle / name).unlink()
    (bundle / "golden.npz").write_bytes(b"")
    assert "damaged" in refused("sign", bundle, "--key", key)
    assert (bundle / SIGNATURE).read_bytes() == before


@library
def test_files_that_git_ignores_are_signed_too(bundle: Path, made: Path, tmp_path: Path) -> None:
    (bundle / ".gitignore").touch()
    with pytest.raises(SignatureError, match=r"'\.gitignore' beside"):
        check(bundle, made / "key.pub")


def test_without_the_library_the_extra_is_named(bundle: Path, made: Path, fresh: Fresh) -> None:
    done = fresh("sign", bundle, "--key", made / "key.pem", blocked=["model_signing"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'edgewright[sign]'" in done.stderr
    done = fresh("sign", bundle, "--key", made / "key.pem", blocked=["OpenSSL"])
    assert "pip install 'edgewright[sign]'" in done.stderr
    assert done.stderr.count("\n") == 1


@library
@pytest.mark.slow
def test_an_export_over_a_signed_bundle_says_that_its_signature_is_gone(
    bundle: Path, made: Path, trained: Path, run: Run
) -> None:
    status, out, err = run("export", trained, "--out", bundle, "--overwrite", "--variants", "tflite-float32")
    assert status == 0, err
    assert "sign it again" in out
    assert not (bundle / SIGNATURE).exists()
    again = run("export", trained, "--out", bundle, "--overwrite", "--variants", "tflite-float32")
    assert "sign it again" not in again[1]


# Without a key: what can be tried where Sigstore is out of reach.


def _token(**claims: Any) -> str:
    import base64

    now = int(time.time())
    body = {
        "aud": "sigstore",
        "sub": "me",
        "iat": now,
        "exp": now + 60,
        "iss": "https://example.org",
        **claims,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, body)
    packed = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*packed, "AAAA"])


@library
def test_keyless_asks_sigstore_for_who_is_signed_in(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    import sigstore.models

    asked = []

    def production(offline: bool = False) -> Any:
        asked.append(offline)
        raise ConnectionError("no way to the network")

    monkeypatch.setattr(sigstore.models.ClientTrustConfig, "production", production)
    before = (bundle / SIGNATURE).read_bytes()
    assert "no way to the network" in refused("sign", bundle, "--keyless")
    assert asked == [False]
    assert (bundle / SIGNATURE).read_bytes() == before


@library
def test_an_identity_counts_if_sigstore_says_so(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, run: Run, edit: Edit
) -> None:
    """What Sigstore's library says of certificate and log is believed, of the files what we see."""
    import sigstore.models
    import sigstore.verify

    raw = json.loads((bundle / SIGNATURE).read_bytes())
    raw["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    (bundle / SIGNATURE).write_text(json.dumps(raw))
    policies = []

    class Verifier:
        @staticmethod
        def production() -> Any:
            return Verifier()

        def verify_dsse(self, found: bytes, policy: Any) -> tuple[str, bytes]:
            import base64

            policies.append((policy._identity, policy._issuer._value))
            if policy._identity != "me@example.org":
                raise ValueError("another identity")
            payload = json.loads(found)["dsseEnvelope"]["payload"]
            return "application/vnd.in-toto+json", base64.b64decode(payload)

    monkeypatch.setattr(sigstore.verify, "Verifier", Verifier)
    monkeypatch.setattr(sigstore.models.Bundle, "from_json", lambda raw: raw)
    asked = ("--identity", "me@example.org", "--issuer", "https://example.org")
    status, out, _ = run("verify", bundle, *asked)
    assert (status, policies) == (0, [("me@example.org", "https://example.org")])
    assert "signed by me@example.org" in out
    load(bundle, require_signature=SignedBy(identity="me@example.org", issuer="https://example.org")).close()
    assert "another identity" in refused(
        "verify", bundle, "--identity", "you@example.org", "--issuer", "https://example.org"
    )
    assert "by an identity" in refused("verify", bundle, "--key", _public(bundle))
    edit(bundle, lambda data: data.update(name="other"))
    assert "not as it was signed" in refused("verify", bundle, *asked)


def _public(bundle: Path) -> Path:
    from cryptography.hazmat.primitives.asymmetric import ec

    return _write(ec.generate_private_key(ec.SECP256R1()), bundle.parent / "new.pem").with_suffix(".pub")


@library
def test_a_certificate_that_is_none(bundle: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sigstore's own library, its own errors: one line."""
    import sigstore.verify

    raw = json.loads((bundle / SIGNATURE).read_bytes())
    raw["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    (bundle / SIGNATURE).write_text(json.dumps(raw))
    monkeypatch.setattr(sigstore.verify.Verifier, "production", lambda: None)
    asked = ("--identity", "me@example.org", "--issuer", "https://example.org")
    assert "was not verified" in refused("verify", bundle, *asked)


@library
@pytest.mark.slow
def test_the_library_and_a_device_agree(bundle: Path, made: Path, keys: Any, tmp_path: Path) -> None:
    """On good and bad folders and signatures; a device is stricter on what the library leaves out."""
    from model_signing import hashing, verifying
    from model_signing import signing as their_signing

    def theirs(public: Path) -> bool:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public)
        try:
            config.verify(bundle, bundle / SIGNATURE)
        except Exception:
            return False
        return True

    def ours(public: Path) -> bool:
        try:
            check(bundle, public)
        except SignatureError:
            return False
        return True

    public = made / "key.pub"
    other = _write(keys["other"], tmp_path / "other.pem").with_suffix(".pub")
    assert (ours(public), theirs(public)) == (True, True)
    assert (ours(other), theirs(other)) == (False, False)
    whole = (bundle / SIGNATURE).read_text(encoding="utf-8")
    rng = np.random.default_rng(0)
    for name in (MANIFEST, "onnx-int8.onnx", "golden.npz"):
        raw = bytearray((bundle / name).read_bytes())
        kept = bytes(raw)
        raw[rng.integers(len(raw))] ^= 1
        (bundle / name).write_bytes(raw)
        assert (ours(public), theirs(public)) == (False, False), name
        (bundle / name).unlink()
        assert (ours(public), theirs(public)) == (False, False), name
        (bundle / name).write_bytes(kept)
    (bundle / "more").touch()
    assert (ours(public), theirs(public)) == (False, False)
    (bundle / "more").unlink()
    data = json.loads(whole)
    for place in ("payload", "sig"):
        changed = json.loads(whole)
        where = changed["dsseEnvelope"] if place == "payload" else changed["dsseEnvelope"]["signatures"][0]
        text = where[place]
        where[place] = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
        (bundle / SIGNATURE).write_text(json.dumps(changed))
        assert (ours(public), theirs(public)) == (False, False), place
    del data["verificationMaterial"]["publicKey"]
    (bundle / SIGNATURE).write_text(json.dumps(data))
    assert not ours(public)
    (bundle / SIGNATURE).unlink()
    # What its own command line makes, which signs as it likes, is taken too.
    for curve in ("P-256", "P-384", "P-521"):
        key = _write(keys[curve], tmp_path / "their.pem")
        config = hashing.Config().set_ignored_paths(paths=[bundle / SIGNATURE])
        signer = their_signing.Config().set_hashing_config(config)
        signer.use_elliptic_key_signer(private_key=key).sign(bundle, bundle / SIGNATURE)
        assert (ours(key.with_suffix(".pub")), theirs(key.with_suffix(".pub"))) == (True, True), curve
    (bundle / ".gitignore").touch()
    assert (ours(key.with_suffix(".pub")), theirs(key.with_suffix(".pub"))) == (False, True)
