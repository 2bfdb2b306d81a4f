"""The whole attack: cases in workers under limits of time and memory, then kills; their tables go into the docs."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attack import kills
from attack.crafted import CASES, failure
from attack.verdicts import VERDICTS, Verdict, judge

DOCS = Path(__file__).parents[2] / "docs" / "robustness.md"

#: Seconds a case may take, and MiB of memory that reading may hold; address space is limited a little above it.
PATIENCE = 30
MEMORY = 4096


def jobs(n_cases: int) -> list[str]:
    """Names of all cases: damaged ones by number, crafted ones by theirs."""
    return [*(f"damaged {i}" for i in range(n_cases)), *(f"crafted {i}" for i in range(len(CASES)))]


def attack(names: list[str], seed: int = 0) -> Iterator[dict]:
    """The verdict on each case; a worker that hangs or dies is replaced by another."""
    left = list(names)
    while left:
        with subprocess.Popen(
            [sys.executable, "-m", "attack", "--work", "--seed", str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            while left:
                worker.stdin.write(f"{left[0]}\n".encode())
                worker.stdin.flush()
                heard = select.select([worker.stdout], [], [], 4 * PATIENCE)[0]  # the first one imports everything
                line = worker.stdout.readline() if heard else b""
                if not line:
                    worker.kill()
                    about = {"verdict": "traceback", "detail": "the process died"} if heard else {"verdict": "hang"}
                    yield {"name": left.pop(0), "kind": "?", **about}
                    break
                yield json.loads(line)
                left.pop(0)


def work(seed: int) -> None:
    """Take names of cases from standard input and print a verdict on each."""
    resource.setrlimit(resource.RLIMIT_AS, ((MEMORY + 2048) << 20, resource.RLIM_INFINITY))
    for line in sys.stdin:
        kind, number = line.split()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
        started = time.process_time()  # of this process: the machine may have other work
        verdict = judge(int(number), seed) if kind == "damaged" else crafted(int(number))
        seconds = time.process_time() - started
        peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) >> 10
        outcome = "memory" if peak > MEMORY else "hang" if seconds > PATIENCE else verdict.verdict
        about = {"name": line.strip(), "kind": verdict.kind, "damage": verdict.damage, "verdict": outcome}
        print(json.dumps(about | {"detail": verdict.detail, "seconds": round(seconds, 2), "mib": peak}), flush=True)


def crafted(number: int) -> Verdict:
    """The verdict on a crafted case: said what must be said, or silent."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            wrong = failure(number, Path(folder))
        except Exception:
            return Verdict(number, "crafted", CASES[number][0], "traceback", traceback.format_exc()[-600:])
    return Verdict(number, "crafted", CASES[number][0], "silent" if wrong else "said", wrong)


def table(found: list[dict]) -> str:
    """Verdicts by kind of input, as Markdown."""
    kinds = Counter((row["kind"], row["verdict"]) for row in found)
    lines = [f"| input | cases | {' | '.join(VERDICTS)} |", "|---" * (len(VERDICTS) + 2) + "|"]
    for kind in [*dict.fromkeys(row["kind"] for row in found), ""]:
        counts = [sum(kinds[k, v] for k in {row["kind"] for row in found} if kind in ("", k)) for v in VERDICTS]
        lines.append(f"| {kind or 'all'} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    slowest, largest = (max((row.get(name, 0) for row in found), default=0) for name in ("seconds", "mib"))
    return "\n".join([*lines, "", f"The slowest case took {slowest:.0f} s, the largest {largest} MiB."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("attack-results"), help="Folder of the results so far.")
    parser.add_argument("--cases", type=int, default=1500, help="Damaged inputs, besides the crafted ones.")
    parser.add_argument("--kills", type=int, default=200, help="Kills, shared by all targets.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of damage and kills.")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.seed)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    bad = []
    if arguments.cases:
        names = jobs(arguments.cases)
        found = _continued(
            arguments.out / "cases.jsonl", len(names), lambda done: attack(_rest(names, done), arguments.seed)
        )
        _into_docs("cases", table(found))
        bad += [row for row in found if row["verdict"] in VERDICTS[3:]]
    if arguments.kills:
        killed = _continued(
            arguments.out / "kills.jsonl",
            arguments.kills,
            lambda done: kills.kill_all(arguments.kills, arguments.seed, done),
            weight="kills",
        )
        _into_docs("kills", kills.table(killed))
        bad += [row for row in killed if any(row[fault] for fault in kills.FAULTS)]
    for row in bad:
        print(row)
    sys.exit(1 if bad else 0)


def _rest(names: list[str], done: list[dict]) -> list[str]:
    there = {row["name"] for row in done}
    return [name for name in names if name not in there]


def _continued(path: Path, total: int, more: Callable[[list[dict]], Iterable[dict]], weight: str = "") -> list[dict]:
    """The lines of a file of results, and those still to come, each written as soon as it is known."""
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a") as stream:
        for row in more(list(done)):
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            done.append(row)
            count = sum(row[weight] for row in done) if weight else len(done)
            print(f"\r{path.stem}: {count} of {total}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return done


def _into_docs(mark: str, text: str) -> None:
    """Put a table where the page has its mark."""
    first, last = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    page = DOCS.read_text(encoding="utf-8")
    DOCS.write_text(f"{page.split(first)[0]}{first}{text}\n{last}{page.split(last)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
