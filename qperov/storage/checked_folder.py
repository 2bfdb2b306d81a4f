"""A folder of files with a JSON index that holds their checksums and its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from qperov.errors import RecordError
from qperov.storage.plain_values import decode, encode
from qperov.storage.versions import check_version


def write_index(folder: Path, name: str, body: Mapping[str, Any], files: Collection[str]) -> None:
    """Write the index of files that are in the folder already.

    Raises
    ------
    RecordError
        A value has no plain JSON form.
    """
    content = encode(body, name) | {"files": {file: sha256(folder / file) for file in sorted(files)}}
    content["digest"] = digest(content)
    (folder / name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_index(folder: Path, name: str, schema: int, known: Collection[str]) -> dict[str, Any]:
    """The body of an index, after a look at the checksums of all its files.

    Files are looked for by the names ``known``, inside the folder alone: a path in the index leads nowhere.

    Raises
    ------
    RecordError
        A file is missing, cannot be read, was changed, or is not of ``known``; or the index is of another schema.
    """
    try:
        body = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(
            f"{folder}: no {name} here; name the folder of a stored model, or the run that it is in"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{folder}: {name} cannot be read ({error}); copy the model again") from error
    check_version(body.get("schema") if isinstance(body, dict) else None, schema, f"{folder}: model schema")
    if body.pop("digest", None) != digest(body):
        raise RecordError(f"{folder}: {name} was changed after it was written; copy the model again")
    files = body.pop("files", None)
    if not isinstance(files, dict):
        raise RecordError(f"{folder}: {name} lists no files")
    for file, checksum in files.items():
        if file not in known:
            raise RecordError(f"{folder}: {name} names the file {file!r}, which is no part of a model")
        path = folder / file
        if path.is_symlink() or not path.is_file():
            raise RecordError(f"{folder}: {file} is missing; copy the model again, whole")
        if sha256(path) != checksum:
            raise RecordError(f"{folder}: {file} was changed after it was written; copy the model again")
    return {**decode(body), "files": tuple(files)}


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON document without its key ``digest``."""
    plain = {key: value for key, value in body.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def sha256(file: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
