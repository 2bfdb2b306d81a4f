"""Seeded damage: to bytes, as disks and networks do it, and to lines and numbers, as people and programs do."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]

_NUMBER = re.compile(rb"-?\d+\.?\d*")
_ODD = (
    b"nan",
    b"inf",
    b"-inf",
    b"1e400",
    b"1_000",
    b"-1",
    b"0",
    b"999999999",
    b"",
    b"1,5",
    b"--3",
    b"0x1f",
    b"\xd9\xa3",
)


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for at in rng.integers(0, len(content), int(rng.choice([1, 1, 1, 8]))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def lose_block(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(0, len(content))), int(rng.choice([1, 16, 512]))
    return content[:start] + content[start + length :]


def zero_block(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(0, len(content))), int(rng.choice([4, 64, 512]))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def repeat_block(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(0, len(content))), int(rng.choice([8, 512]))
    return content[: start + length] + content[start:]


def insert_junk(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(content) + 1))
    return content[:at] + rng.bytes(int(rng.choice([1, 40]))) + content[at:]


def append_junk(content: bytes, rng: np.random.Generator) -> bytes:
    return content + rng.bytes(64)


def cut_at_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: int(rng.integers(0, len(lines)))])


def lose_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    del lines[int(rng.integers(len(lines)))]
    return b"".join(lines)


def repeat_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    return b"".join([*lines[: at + 1], *lines[at:]])


def odd_number(content: bytes, rng: np.random.Generator) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    hit = found[int(rng.integers(len(found)))]
    return content[: hit.start()] + _ODD[int(rng.integers(len(_ODD)))] + content[hit.end() :]


def one_word_more(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    separator = b"," if b"," in lines[at] else b" "
    lines[at] = lines[at].rstrip(b"\n") + separator + b"7\n"
    return b"".join(lines)


def other_encoding(content: bytes, rng: np.random.Generator) -> bytes:
    text = content.decode("latin-1")
    return [text.encode("utf-16"), text.encode("utf-8-sig"), text.replace("\n", "\r\n").encode("latin-1")][
        int(rng.integers(3))
    ]


BYTES: tuple[Damage, ...] = (flip_bits, flip_bits, cut, lose_block, zero_block, repeat_block, insert_junk, append_junk)
LINES: tuple[Damage, ...] = (cut_at_line, lose_line, repeat_line, odd_number, odd_number, one_word_more, other_encoding)
