"""``qperov data fetch`` on the command line: what it takes, what it says, and what ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from local_service import Answer, LocalService, local_service
from perovskites import perovskite
from test_fetching import archive, entry, info, jarvis_entry, link, page
from typer.testing import CliRunner

from qperov.commands.fetch import fetch, find_database
from qperov.datasets.databases.jarvis import Jarvis
from qperov.datasets.databases.materials_project import MaterialsProject
from qperov.datasets.databases.optimade import Optimade
from qperov.datasets.store import Store
from qperov.errors import FileFormatError, StoreError


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalService]:
    monkeypatch.setenv("no_proxy", "*")
    with local_service() as running:
        running.on("/v1/info", Answer(info(available_licenses=["CC-BY-4.0"])))
        yield running


def run(*arguments: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(fetch)
    return CliRunner().invoke(app, list(arguments))


def test_a_provider_is_fetched_and_what_is_left_out_is_told(service: LocalService, tmp_path: Path) -> None:
    service.on("/v1/structures", Answer(page(entry("a"), entry("b", species=None), following=link(service, 1))))
    service.on("/v1/structures?page=1", Answer(page(entry("c", edge=4.1), entry("a"))))
    store = tmp_path / "s.db"
    done = run(service.url, "--filter", 'elements HAS "Sr"', "--name", "sto", "--store", str(store))
    assert done.exit_code == 0, done.output
    assert "dataset 'sto', 2 new crystals, 2 in all" in done.output
    assert "licence: CC-BY-4.0" in done.output
    assert "left out: b: species are missing" in done.output
    assert "1 entries came more than once" in done.output
    assert "filter=elements+HAS+%22Sr%22" in service.asked[1]
    again = run(service.url, "--filter", 'elements HAS "Sr"', "--name", "sto", "--store", str(store))
    assert "0 new crystals, 2 in all" in again.output
    other = run(service.url, "--name", "sto", "--store", str(store))
    assert isinstance(other.exception, StoreError)


def test_a_fetch_that_is_cut_short_says_how_to_go_on(service: LocalService, tmp_path: Path) -> None:
    service.on("/v1/structures", Answer(page(*[entry(f"e{i}", edge=3.8 + i / 50) for i in range(5)])))
    arguments = (service.url, "--name", "sto", "--store", str(tmp_path / "s.db"), "--page-size", "7")
    done = run(*arguments, "--most", "3")
    assert "3 new crystals, 3 in all" in done.output
    assert "the same command goes on" in done.output
    assert "page_limit=7" in service.asked[1]
    assert "2 new crystals, 5 in all" in run(*arguments).output


def test_many_bad_entries_are_counted_by_kind(service: LocalService, tmp_path: Path) -> None:
    bad = [entry(f"b{i}", structure_features=["assemblies"]) for i in range(12)]
    service.on("/v1/structures", Answer(page(entry("a"), *bad)))
    done = run(service.url, "--name", "x", "--store", str(tmp_path / "s.db"))
    assert "left out: 12 × FileFormatError, first: b0: sites exclude each other" in done.output
    assert "b11" not in done.output
    done = run(service.url, "--name", "y", "--store", str(tmp_path / "s.db"), "--all")
    assert "b11" in done.output
    strict = run(service.url, "--name", "z", "--store", str(tmp_path / "s.db"), "--strict")
    assert isinstance(strict.exception, FileFormatError)


def test_files_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "my cifs"
    folder.mkdir()
    perovskite().to(str(folder / "one.cif"), fmt="cif")
    store = tmp_path / "s.db"
    assert "dataset 'my-cifs', 1 new crystals" in run(str(folder), "--store", str(store)).output
    path = archive(tmp_path / "d3.json.zip", [jarvis_entry(i) for i in range(3)])
    done = run(f"jarvis:{path}", "--target", "formation_energy_peratom", "--name", "j", "--store", str(store))
    assert "3 new crystals" in done.output, done.output
    with Store(store) as opened:
        assert opened.load("j").unit == "eV/atom"


def test_sources_by_name(tmp_path: Path) -> None:
    mp = find_database("mp", json.dumps({"formula": "ABO3"}), "band_gap", None, 50)
    assert mp == MaterialsProject({"formula": "ABO3"}, "band_gap", None, 50)
    assert find_database("optimade:oqmd", "nelements=3") == Optimade("oqmd", "nelements=3")
    assert find_database("https://x.org/o", target="_x_e", unit="eV") == Optimade("https://x.org/o", "", "_x_e", "eV")
    jarvis = find_database("jarvis", folder=tmp_path)
    assert isinstance(jarvis, Jarvis)
    assert (jarvis.archive, jarvis.folder) == ("dft_3d", tmp_path)


@pytest.mark.parametrize(
    ("source", "filter", "words"),
    [
        ("nowhere", "", "neither a file or folder"),
        ("optimade:nobody", "", "no OPTIMADE provider 'nobody'"),
        ("optimade:ftp://x", "", "not an https"),
        ("mp", "formula=ABO3", "is JSON"),
        ("mp", "[1]", "JSON object"),
        ("jarvis", "nelements=3", "taken whole"),
        ("jarvis:dft_4d", "", "no file, and no archive"),
    ],
)
def test_sources_that_are_none_say_what_there_is(source: str, filter: str, words: str) -> None:
    done = run(source, "--filter", filter)
    assert isinstance(done.exception, ValueError)
    assert words in str(done.exception)
