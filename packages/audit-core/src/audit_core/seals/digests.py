"""Digests: what stands for all that is sealed, to be kept where the owner of the database cannot reach.

A digest is a line of JSON with the number and the hash of a seal. It may be signed, with a key that never is in the
database, and have the time stamp of an authority. Who has the digest of a seal can tell a forged trail up to there.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .canonical import FORMAT, Seal, item
from .finding import SealFinding

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True)
class Digest:
    """What stands for a seal and all before it."""

    #: The number of the seal.
    seal: int
    hash: bytes
    #: When it was sealed, in ISO 8601 and UTC, by the clock of the database.
    sealed_at: str
    #: Which key signed it: the first 16 hexadecimal digits of the SHA-256 of the public key.
    key: str | None = None
    signature: bytes | None = None
    #: The answer of a time stamp authority, as RFC 3161 has it, in DER.
    timestamp: bytes | None = None

    @classmethod
    def of(cls, seal: Seal) -> Digest:
        """Return that of a seal."""
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
        sealed_at = epoch + dt.timedelta(microseconds=seal.sealed_at)
        return cls(seal.number, seal.hash, sealed_at.isoformat())

    @property
    def message(self) -> bytes:
        """What is signed and stamped."""
        return b"".join(map(item, ("audit-core digest", self.seal, self.hash)))

    def line(self) -> str:
        """Write it as a line."""
        said: dict[str, Any] = {
            "format": FORMAT,
            "seal": self.seal,
            "sealed_at": self.sealed_at,
            "hash": self.hash.hex(),
        }
        if self.signature is not None:
            said |= {"key": self.key, "signature": base64.b64encode(self.signature).decode()}
        if self.timestamp is not None:
            said["timestamp"] = base64.b64encode(self.timestamp).decode()
        return json.dumps(said) + "\n"

    @classmethod
    def read(cls, line: str) -> Digest:
        """Read a line.

        :raises ValueError: if it is not a digest.
        """
        said = json.loads(line)
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise ValueError(f"it is not a digest of format {FORMAT}")
        try:
            signature, timestamp = (
                None if said.get(name) is None else base64.b64decode(said[name], validate=True)
                for name in ("signature", "timestamp")
            )
            digest = cls(
                int(said["seal"]),
                bytes.fromhex(said["hash"]),
                str(said["sealed_at"]),
                said.get("key"),
                signature,
                timestamp,
            )
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(f"it lacks something: {error}") from None
        if len(digest.hash) != 32:
            raise ValueError("its hash does not have 32 bytes")
        return digest


@dataclass
class Digests:
    """The digests of a file, and what cannot be believed of it."""

    by_seal: dict[int, Digest] = field(default_factory=dict)
    findings: list[SealFinding] = field(default_factory=list)


def read_digests(path: Path, public_keys: Iterable[Path] = (), authorities: Iterable[Path] = ()) -> Digests:
    """Read a file of digests, each of which has to be signed and stamped if that can be verified.

    :param public_keys: files of PEM, with one key or several: those in use, and those that were.
    :param authorities: certificates in PEM of time stamp authorities that are trusted.
    :raises ConfigurationError: if a file cannot be read.
    """
    keys = dict(_public_keys(public_keys))
    verify_timestamp = _timestamp_verifier(list(authorities))
    found = Digests()
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            digest = Digest.read(line)
        except ValueError as error:
            found.findings.append(_finding(None, f"Line {number} of {path} cannot be read: {error}."))
            continue
        problem = None
        if keys:
            problem = _signature_problem(digest, keys)
        if problem is None and verify_timestamp is not None:
            problem = verify_timestamp(digest)
        known = found.by_seal.get(digest.seal)
        if problem is None and known is not None and known.hash != digest.hash:
            problem = "differs from another one of the same seal"
        if problem is None:
            found.by_seal[digest.seal] = digest
        else:
            found.findings.append(_finding(digest.seal, f"The digest of seal {digest.seal} {problem}."))
    return found


def sign(digest: Digest, private_key: Path) -> Digest:
    """Sign with an Ed25519 key in PEM, such as ``openssl genpkey -algorithm ed25519`` makes.

    :raises ConfigurationError: if the key cannot be used, or the extra ``audit-core[proof]`` is not installed.
    """
    serialization, ed25519 = (_imported(f"cryptography.hazmat.primitives.{name}") for name in _MODULES)
    try:
        key = serialization.load_pem_private_key(_text(private_key).encode(), None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{private_key} is not a private key in PEM without a password: {error}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigurationError(f"{private_key} is not an Ed25519 key. Run: openssl genpkey -algorithm ed25519")
    signature = key.sign(digest.message)
    return replace(digest, key=_fingerprint(key.public_key()), signature=signature)


def stamp(digest: Digest, url: str) -> Digest:
    """Have an authority say that the digest was there at its time.

    :raises ConfigurationError: if there is no answer, or none that can be used.
    """
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    client = _imported("rfc3161_client")
    query = client.TimestampRequestBuilder().data(digest.message).build()
    request = Request(url, query.as_bytes(), {"Content-Type": "application/timestamp-query"})
    try:
        with urlopen(request, timeout=30) as response:
            answer = response.read()
        status = client.PKIStatus(client.decode_timestamp_response(answer).status)
    except (URLError, OSError, ValueError) as error:
        raise ConfigurationError(f"The time stamp authority {url} did not answer as RFC 3161 has it: {error}") from None
    if status not in (client.PKIStatus.GRANTED, client.PKIStatus.GRANTED_WITH_MODS):
        raise ConfigurationError(f"The time stamp authority {url} refused: {status.name}.")
    return replace(digest, timestamp=answer)


_MODULES = ("serialization", "asymmetric.ed25519")


def _public_keys(paths: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    for path in paths:
        serialization, ed25519 = (_imported(f"cryptography.hazmat.primitives.{name}") for name in _MODULES)
        for pem in _blocks(path):
            try:
                key = serialization.load_pem_public_key(pem)
            except ValueError as error:
                raise ConfigurationError(f"{path} is not a public key in PEM: {error}") from None
            if not isinstance(key, ed25519.Ed25519PublicKey):
                raise ConfigurationError(f"{path} has a key that is not an Ed25519 key.")
            yield _fingerprint(key), key


def _blocks(path: Path) -> Iterator[bytes]:
    end = "-----END PUBLIC KEY-----"
    parts = _text(path).split(end)[:-1]
    if not parts:
        raise ConfigurationError(f"{path} has no public key in PEM.")
    for part in parts:
        yield f"{part.strip()}\n{end}\n".encode()


def _fingerprint(key: Any) -> str:
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def _signature_problem(digest: Digest, keys: Mapping[str, Any]) -> str | None:
    if digest.signature is None:
        return "is not signed"
    if digest.key is None or digest.key not in keys:
        return f"is signed with a key {digest.key} that was not given"
    invalid = _imported("cryptography.exceptions").InvalidSignature
    try:
        keys[digest.key].verify(digest.signature, digest.message)
    except invalid:
        return "has a signature that is not that of its key"
    return None


def _timestamp_verifier(authorities: list[Path]) -> Any:
    if not authorities:
        return None
    client, x509 = _imported("rfc3161_client"), _imported("cryptography.x509")
    builder = client.VerifierBuilder()
    for path in authorities:
        try:
            for certificate in x509.load_pem_x509_certificates(_text(path).encode()):
                builder = builder.add_root_certificate(certificate)
        except ValueError as error:
            raise ConfigurationError(f"{path} is not a certificate in PEM: {error}") from None
    verifier = builder.build()

    def problem(digest: Digest) -> str | None:
        if digest.timestamp is None:
            return "has no time stamp"
        try:
            verifier.verify_message(client.decode_timestamp_response(digest.timestamp), digest.message)
        except (client.VerificationError, ValueError) as error:
            return f"has a time stamp that is not valid: {error}"
        return None

    return problem


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def _finding(seal: int | None, message: str) -> SealFinding:
    return SealFinding("digest", seal, None, None, message)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        package = name.partition(".")[0]
        raise ConfigurationError(f'This needs {package!r}. Run: pip install "audit-core[proof]"') from None
