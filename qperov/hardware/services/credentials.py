"""Accounts are kept by qiskit-ibm-runtime alone; here they are only looked for, and kept out of every text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from qperov.errors import AccountError, MissingDependencyError
from qperov.hardware.plan.measurement import INSTALL

#: Environment variables of qiskit-ibm-runtime whose values are nobody's business.
SECRET_VARIABLES = ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE")

#: Entries of a saved account that are.
SECRET_FIELDS = ("token", "instance")

#: The token that the cloud gives out for an hour: JSON in base 64, in three parts.
ACCESS_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+")

NO_ACCOUNT = (
    "no IBM account: save one once with QiskitRuntimeService.save_account(...) in Python, or set QISKIT_IBM_TOKEN and "
    "QISKIT_IBM_INSTANCE; the simulators (aer, fake_fez, …) need none"
)

#: Shorter values are not searched for: they would blot out ordinary words.
SHORTEST_SECRET = 6


def check_installed(service: str = "") -> None:
    """Raise MissingDependencyError, in one line, unless the extra ``ibm`` is installed; other services need Qiskit."""
    needed = ("qiskit",) if service else ("qiskit", "qiskit_aer", "qiskit_ibm_runtime")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"{INSTALL} (missing: {', '.join(missing)})")


def check_account() -> None:
    """Raise AccountError, in one line, if the account store and the environment hold no account."""
    if not os.environ.get("QISKIT_IBM_TOKEN") and not _saved():
        raise AccountError(NO_ACCOUNT)


def without_secrets(error: object) -> str:
    """The text of an error, on one line, with every token and instance that is known replaced by ``***``."""
    text = " ".join(str(error).split())
    secrets = _secrets()
    # addresses hold them with their colons and slashes encoded
    for secret in sorted(secrets | {quote(secret, safe="") for secret in secrets}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return ACCESS_TOKEN.sub("***", text)


def _secrets() -> set[str]:
    found = {os.environ.get(name, "") for name in SECRET_VARIABLES}
    # a store that cannot be read must not hide the error that is being told
    with suppress(AccountError, MissingDependencyError):
        for account in _saved().values():
            found |= {str(account.get(name) or "") for name in SECRET_FIELDS}
            found |= set(_texts(account.get("proxies")))
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def _texts(value: Any) -> Iterator[str]:
    """All texts of nested dictionaries: a proxy's addresses may hold its password."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _saved() -> dict[str, dict]:
    """Accounts of the store of qiskit-ibm-runtime."""
    check_installed()
    from qiskit_ibm_runtime import QiskitRuntimeService

    try:
        return QiskitRuntimeService.saved_accounts()
    except Exception as error:
        # a damaged store is reported by its kind alone: its text may hold what it could not parse
        raise AccountError(f"the account store of qiskit-ibm-runtime cannot be read ({type(error).__name__})") from None
