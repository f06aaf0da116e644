"""DSSE envelopes, and the keys that sign them and verify them (Ed25519, in PEM files)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.errors import UserError
from evalkit.systems import shown_path

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_NOT_HERE = "Signatures need a package more: pip install 'pytest-evalkit[attest]'."


class UntrustedError(Exception):
    """An envelope that does not carry what a key signed; says why in one line."""


def new_key(private: Path) -> Path:
    """Write a new private key, for its owner's eyes alone, and the public one beside it.

    Returns the public key's file.

    Raises:
        UserError: there is a key already, or the package for it is lacking.
    """
    _check_installed()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

    public = private.with_suffix(".pub")
    if there := next((path for path in (private, public) if path.exists()), None):
        raise UserError(f"{there} is there already, and a key is not replaced. Name another file.")
    signer = CryptoSigner.generate_ed25519()
    private.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(signer.private_bytes)
    key = signer.public_key._crypto_key()
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(statement: Mapping[str, Any], private: Path) -> str:
    """Put a statement into an envelope with a signature; JSON.

    Raises:
        UserError: the file holds no private key without a password, or the package is lacking.
    """
    _check_installed()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

    try:
        signer = CryptoSigner(load_pem_private_key(_read(private, _MAKE), None))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{private} holds no private key that can be used ({error}). "
            "`evalkit attest --new-key --key FILE` makes one."
        ) from error
    envelope = Envelope(json.dumps(statement, sort_keys=True).encode(), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), indent=2) + "\n"


def verified(envelope: Path, public: Path) -> object:
    """The statement in an envelope, once a key has verified it, of whatever shape it is.

    Raises:
        UserError: a file is not there, the key is none, or the package for it is lacking.
        UntrustedError: the envelope is broken, or carries no signature of that key.
    """
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    try:
        key = SSlibKey.from_crypto(load_pem_public_key(_read(public, _MAKE)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{public} holds no public key ({error}).") from error
    try:
        found = Envelope.from_dict(json.loads(_read(envelope, _ATTEST)))
        found.verify([key], 1)
        statement: object = json.loads(found.payload)
    except VerificationError as error:
        raise UntrustedError(f"{envelope.name} carries no signature of this key") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UntrustedError(f"{envelope.name} is not a signed statement.{_ATTEST}") from error
    if found.payload_type != PAYLOAD_TYPE:
        raise UntrustedError(f"{envelope.name} is of another kind: {found.payload_type}")
    return statement


_MAKE = " `evalkit attest --new-key` makes a pair: evalkit.key and evalkit.pub."
_ATTEST = " `evalkit attest RUN` writes it, once a run was judged."


def _read(path: Path, otherwise: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"There is no {shown_path(path)}.{otherwise}") from error
    except OSError as error:
        raise UserError(f"{shown_path(path)} cannot be read: {error.strerror}.") from error


def _check_installed() -> None:
    if not (find_spec("cryptography") and find_spec("securesystemslib")):
        raise UserError(_NOT_HERE)
