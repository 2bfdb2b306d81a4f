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
from collections.abc import Iterator
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


def attack(names: list[str]) -> Iterator[dict]:
    """The verdict on each case; a worker that hangs or dies is replaced by another."""
    left = list(names)
    while left:
        with subprocess.Popen(
            [sys.executable, "-m", "attack", "--work"],
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


def work() -> None:
    """Take names of cases from standard input and print a verdict on each."""
    resource.setrlimit(resource.RLIMIT_AS, ((MEMORY + 2048) << 20, resource.RLIM_INFINITY))
    for line in sys.stdin:
        kind, number = line.split()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
        started = time.process_time()  # of this process: the machine may have other work
        verdict = judge(int(number)) if kind == "damaged" else crafted(int(number))
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


def table(found: list[dict], killed: list[dict]) -> str:
    """Both tables, as Markdown."""
    kinds = Counter((row["kind"], row["verdict"]) for row in found)
    lines = [f"| input | cases | {' | '.join(VERDICTS)} |", "|---" * (len(VERDICTS) + 2) + "|"]
    for kind in [*dict.fromkeys(row["kind"] for row in found), ""]:
        counts = [sum(kinds[k, v] for k in {row["kind"] for row in found} if kind in ("", k)) for v in VERDICTS]
        lines.append(f"| {kind or 'all'} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    slowest, largest = (max((row.get(name, 0) for row in found), default=0) for name in ("seconds", "mib"))
    lines += ["", f"The slowest case took {slowest:.0f} s, the largest {largest} MiB.", ""]
    lines += ["| killed | kills | of two at once | left as an undisturbed run |", "|---|---|---|---|"]
    for name in dict.fromkeys(row["name"] for row in killed):
        rows = [row for row in killed if row["name"] == name]
        counts = [len(rows), sum(row["two"] for row in rows), sum(row["equal"] for row in rows)]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("attack-results"), help="Folder of the results so far.")
    parser.add_argument("--cases", type=int, default=1500, help="Damaged inputs, besides the crafted ones.")
    parser.add_argument("--kills", type=int, default=40, help="Kills of each of the five targets.")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = _continued(arguments.out / "cases.jsonl", lambda done: attack(_rest(jobs(arguments.cases), done)))
    killed = _continued(arguments.out / "kills.jsonl", lambda done: kills.kill_all(arguments.kills, done))
    marks = "<!-- results -->\n", "<!-- end of results -->"
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(marks[0])[0], text.split(marks[1])[1]
    DOCS.write_text(f"{before}{marks[0]}{table(found, killed)}\n{marks[1]}{after}", encoding="utf-8")
    bad = [row for row in found if row["verdict"] in VERDICTS[3:]] + [row for row in killed if not row["equal"]]
    for row in bad:
        print(row)
    sys.exit(1 if bad else 0)


def _rest(names: list[str], done: list[dict]) -> list[str]:
    there = {row["name"] for row in done}
    return [name for name in names if name not in there]


def _continued(path: Path, more: object) -> list[dict]:
    """The lines of a file of results, and those still to come, each written as soon as it is known."""
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a") as stream:
        for row in more(list(done)):  # type: ignore[operator]
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            done.append(row)
    return done


if __name__ == "__main__":
    main()
