"""Fetching crystals: every page once, through failures of the service, with nothing dropped in silence and no key told.

The answers are not recordings: they were written by hand after the published descriptions of the services (OPTIMADE
specification 1.1 and 1.2, source of mp-api 0.46, layout of JARVIS' archives), since tests use no network.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_service import Answer, LocalService, local_service
from perovskites import perovskite
from pymatgen.core import Lattice, Structure

from qperov.datasets.databases import fetching, http
from qperov.datasets.databases.fetching import About, FetchedCrystal, Page, fetch
from qperov.datasets.databases.folder import Folder
from qperov.datasets.databases.http import HttpClient, check_onward, check_url
from qperov.datasets.databases.jarvis import Jarvis, json_items
from qperov.datasets.databases.materials_project import MaterialsProject, redact_key
from qperov.datasets.databases.optimade import PROVIDERS, Optimade
from qperov.datasets.databases.optimade_structure import structure_of
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.store import Store
from qperov.errors import (
    AtomCountError,
    DuplicateIdError,
    EmptyDatasetError,
    FetchError,
    FileFormatError,
    ImplausibleCellError,
    InvalidLabelError,
    MissingDependencyError,
    MissingLabelError,
    ReadingError,
    StoreError,
    UnknownElementError,
    UnreadableFileError,
)

KEY = "k3y+of/32=characters.nobody.sees"
QUOTED_KEY = "k3y%2Bof%2F32%3Dcharacters.nobody.sees"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def service() -> Iterator[LocalService]:
    with local_service() as running:
        yield running


def patient(waits: list[float] | None = None, attempts: int = 4) -> HttpClient:
    """A client that does not really wait."""
    return HttpClient(timeout=5, attempts=attempts, sleep=(waits if waits is not None else []).append)


# --- the shapes of the services -----------------------------------------------------------------


def attributes(edge: float = 3.9, **changes: Any) -> dict[str, Any]:
    """Cubic SrTiO₃ as OPTIMADE describes it."""
    half = edge / 2
    return {
        "lattice_vectors": [[edge, 0, 0], [0, edge, 0], [0, 0, edge]],
        "cartesian_site_positions": [[0, 0, 0], [half] * 3, [half, half, 0], [half, 0, half], [0, half, half]],
        "species": [{"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in ("Sr", "Ti", "O")],
        "species_at_sites": ["Sr", "Ti", "O", "O", "O"],
        "structure_features": [],
        "dimension_types": [1, 1, 1],
    } | changes


def entry(entry_id: str, **changes: Any) -> dict[str, Any]:
    return {"id": entry_id, "type": "structures", "attributes": attributes(**changes)}


def page(*entries: Any, following: Any = None, total: int | None = None, **meta: Any) -> dict[str, Any]:
    return {
        "data": list(entries),
        "links": {"next": following},
        "meta": {"api_version": "1.1.0", "more_data_available": following is not None, "data_returned": total} | meta,
    }


def info(**said: Any) -> dict[str, Any]:
    return {
        "data": {"type": "info", "id": "/", "attributes": {"api_version": "1.1.0"} | said},
        "meta": {
            "api_version": "1.1.0",
            "provider": {"name": "Test base", "prefix": "test"},
            "implementation": {"version": "9.8"},
        },
    }


def provider(service: LocalService, *pages: Answer, **said: Any) -> Optimade:
    """A provider whose first page is ``pages[0]``, and so on; links lead to /v1/structures?page=1, 2, …."""
    service.on("/v1/info", Answer(info(**said)))
    for number, answer in enumerate(pages):
        service.on("/v1/structures" if number == 0 else f"/v1/structures?page={number}", answer)
    return Optimade(service.url, client=patient())


def link(service: LocalService, number: int) -> str:
    return f"{service.url}/v1/structures?page={number}"


# --- OPTIMADE: pages ----------------------------------------------------------------------------


def test_all_pages_are_fetched_with_origin_and_licence(service: LocalService, tmp_path: Path) -> None:
    asked = provider(
        service,
        Answer(page(entry("a", edge=3.8), entry("b"), following=link(service, 1), total=4)),
        Answer(page(entry("c", edge=4.0), following={"href": link(service, 2)}, total=4)),
        Answer(page(entry("d", edge=4.1), total=4)),
        license="https://example.org/terms",
    )
    seen: list[tuple[int, int | None, str]] = []
    report = fetch(asked, tmp_path / "s.db", "sto", progress=lambda *step: seen.append(step))
    assert (report.added, report.structures, report.record.pages, report.issues) == (4, 4, 3, ())
    assert report.record.complete
    assert seen == [(2, 4, "page 1"), (3, 4, "page 2"), (4, 4, "page 3")]
    assert report.record.source == f"Test base ({service.url}/v1)"
    assert (report.record.version, report.record.licence) == (
        "OPTIMADE 1.1.0, server 9.8",
        "licence: https://example.org/terms",
    )
    assert report.record.begun == datetime.now(UTC).date().isoformat()
    with Store(tmp_path / "s.db") as store:
        data = store.load("sto")
        assert store.fetch_record("sto") == report.record
        assert store.fetch_record("another") is None
    assert data.ids == ("a", "b", "c", "d")
    assert data.structures[1] == perovskite_sto()
    first = service.asked[1]
    assert "page_limit=100" in first
    assert "response_fields=lattice_vectors%2Ccartesian_site_positions%2Cspecies" in first
    assert all(headers["User-Agent"].startswith("qperov/") for headers in service.headers)


def perovskite_sto() -> Structure:
    return Structure(Lattice.cubic(3.9), ["Sr", "Ti", "O", "O", "O"], [
        [0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5],
    ])  # fmt: skip


def test_a_stopped_fetch_goes_on_with_the_next_page(service: LocalService, tmp_path: Path) -> None:
    asked = provider(
        service,
        Answer(page(entry("a", edge=3.8), following=link(service, 1))),
        Answer(page(entry("b"), following=link(service, 2))),
        Answer({"errors": [{"detail": "database on holiday"}]}, 403),
    )
    with pytest.raises(FetchError, match=r"HTTP 403.*database on holiday"):
        fetch(asked, tmp_path / "s.db", "sto")
    with Store(tmp_path / "s.db") as store:
        record = store.fetch_record("sto")
        assert store.info("sto").structures == 2
    assert record is not None
    assert not record.complete
    assert (record.pages, record.next) == (2, link(service, 2))
    assert "not complete" in record.sentence
    service.on("/v1/structures?page=2", Answer(page(entry("c", edge=4.0))))
    before = len(service.asked)
    report = fetch(asked, tmp_path / "s.db", "sto")
    assert service.asked[before:] == ["/v1/info", "/v1/structures?page=2"]
    assert (report.added, report.structures, report.record.pages) == (1, 3, 3)
    before = len(service.asked)
    again = fetch(asked, tmp_path / "s.db", "sto")
    assert service.asked[before:] == [], "what is complete asks for nothing"
    assert (again.added, again.structures) == (0, 3)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5), stops=st.lists(st.integers(0, 5), max_size=4))
def test_whatever_stops_it_every_entry_comes_once(
    sizes: list[int], stops: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pages = [[f"{number}-{i}" for i in range(size)] for number, size in enumerate(sizes)]

    class Stopping:
        """Breaks off before the pages of ``stops``, once each."""

        target = None

        def __init__(self) -> None:
            self.stops = list(stops)
            self.given: list[int] = []

        def query(self) -> dict[str, Any]:
            return {}

        def about(self) -> About:
            return About("test", "1", "none")

        def page(self, token: str | None) -> Page:
            number = int(token or 0)
            if number in self.stops:
                self.stops.remove(number)
                raise FetchError("stopped")
            self.given.append(number)
            items = tuple(FetchedCrystal(name, perovskite(edge=5 + 0.01 * k)) for k, name in enumerate(pages[number]))
            return Page(items, str(number + 1) if number + 1 < len(pages) else None)

    path = tmp_path_factory.mktemp("stores") / "s.db"
    stopping = Stopping()
    expected = [name for names in pages for name in names]
    while True:
        try:
            fetch(stopping, path, "all")
            break
        except FetchError:
            continue
        except EmptyDatasetError:
            assert not expected
            break
    assert stopping.given == list(range(len(pages))), "no page twice"
    with Store(path) as store:
        assert list(store.load("all").ids) == expected


def test_most_cuts_a_page_and_the_next_call_takes_the_rest(service: LocalService, tmp_path: Path) -> None:
    entries = [entry(name, edge=3.8 + 0.1 * number) for number, name in enumerate("abcd")]
    asked = provider(service, Answer(page(*entries[:3], following=link(service, 1))), Answer(page(entries[3])))
    report = fetch(asked, tmp_path / "s.db", "sto", most=2)
    assert (report.structures, report.record.complete) == (2, False)
    report = fetch(asked, tmp_path / "s.db", "sto")
    assert (report.added, report.structures, report.record.complete, report.record.repeated) == (2, 4, True, 2)
    with Store(tmp_path / "s.db") as store:
        assert store.load("sto").ids == tuple("abcd")
    with pytest.raises(ValueError, match="most must be positive"):
        fetch(asked, tmp_path / "s.db", "sto", most=0)


def test_a_restart_adds_what_is_new(service: LocalService, tmp_path: Path) -> None:
    asked = provider(service, Answer(page(entry("a"))))
    fetch(asked, tmp_path / "s.db", "sto")
    service.on("/v1/structures", Answer(page(entry("a"), entry("b", edge=4.2))))
    report = fetch(asked, tmp_path / "s.db", "sto", restart=True)
    assert (report.added, report.structures, report.record.repeated) == (1, 2, 1)


def test_names_are_not_shared_between_queries(service: LocalService, tmp_path: Path) -> None:
    asked = provider(service, Answer(page(entry("a"))))
    fetch(asked, tmp_path / "s.db", "sto")
    with pytest.raises(StoreError, match="another query"):
        fetch(Optimade(service.url, filter="nelements=3"), tmp_path / "s.db", "sto")
    with Store(tmp_path / "s.db") as store:
        store.add(CrystalDataset(name="mine", structures=(perovskite(),), ids=("x",)))
    with pytest.raises(StoreError, match="not fetched"):
        fetch(asked, tmp_path / "s.db", "mine")


def test_links_in_a_circle_end_the_fetch(service: LocalService, tmp_path: Path) -> None:
    asked = provider(
        service,
        Answer(page(entry("a"), following=link(service, 1))),
        Answer(page(entry("b", edge=4.0), following=link(service, 1))),
    )
    with pytest.raises(FetchError, match="circles"):
        fetch(asked, tmp_path / "s.db", "sto")


def test_endless_pages_end_the_fetch_and_keep_what_came(
    service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [Answer(page(following=link(service, number + 1))) for number in range(fetching.MOST_EMPTY_PAGES + 5)]
    asked = provider(service, Answer(page(entry("a"), following=link(service, 1))), *pages[1:])
    with pytest.raises(FetchError, match=r"10 pages in a row without an entry.*goes on"):
        fetch(asked, tmp_path / "s.db", "sto")
    assert len(service.asked) == 1 + 1 + fetching.MOST_EMPTY_PAGES
    more = [Answer(page(entry(f"e{n}", edge=4 + n / 100), following=link(service, n + 1))) for n in range(6)]
    asked = provider(service, *more)
    monkeypatch.setattr(fetching, "MOST_PAGES", 3)
    with pytest.raises(FetchError, match=r"after 3 pages.*the same call goes on"):
        fetch(asked, tmp_path / "s.db", "more")
    monkeypatch.setattr(fetching, "MOST_SECONDS", 0.0)
    with pytest.raises(FetchError, match=r"after 1 pages.*the same call goes on"):
        fetch(asked, tmp_path / "s.db", "more")
    with Store(tmp_path / "s.db") as store:
        assert store.load("more").ids == ("e0", "e1", "e2", "e3")


@pytest.mark.parametrize(
    "following",
    [
        "http://localhost.example/v1/structures",
        "file:///etc/passwd",
        "http://user:pass@example.org/v1/structures",
        "ftp://x/y",
    ],
)
def test_links_out_of_the_web_are_refused(service: LocalService, tmp_path: Path, following: str) -> None:
    asked = provider(service, Answer(page(entry("a"), following=following)))
    with pytest.raises(FetchError, match="leads on is unusable"):
        fetch(asked, tmp_path / "s.db", "sto")


def test_a_relative_link_and_a_pause_are_minded(service: LocalService, tmp_path: Path) -> None:
    service.on("/v1/info", Answer(info()))
    service.on("/v1/structures", Answer(page(entry("a"), following="/v1/structures?page=1", request_delay=0.5)))
    service.on("/v1/structures?page=1", Answer(page(entry("b", edge=4.0), request_delay=0.5)))
    waits: list[float] = []
    report = fetch(Optimade(service.url, client=patient(waits)), tmp_path / "s.db", "sto")
    assert report.structures == 2
    assert waits == [0.5], "no pause after the last page"


def test_a_link_with_an_unquoted_filter_is_followed(service: LocalService, tmp_path: Path) -> None:
    asked = provider(
        service, Answer(page(entry("a"), following=f'{service.url}/v1/structures?filter=elements HAS "Sr"&page=%2F'))
    )
    service.on("/v1/structures?filter=elements%20HAS%20%22Sr%22&page=%2F", Answer(page(entry("b", edge=4.0))))
    assert fetch(asked, tmp_path / "s.db", "sto").structures == 2


def test_nothing_found_says_so(service: LocalService, tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError, match="nothing usable"):
        fetch(provider(service, Answer(page())), tmp_path / "s.db", "sto")
    bad = provider(service, Answer(page(entry("a", species=None))))
    with pytest.raises(EmptyDatasetError, match="species are missing"):
        fetch(bad, tmp_path / "t.db", "sto")


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ({"available_licenses": ["CC-BY-4.0"]}, "licence: CC-BY-4.0"),
        ({"license": {"href": "https://x.org"}}, "licence: https://x.org"),
        ({"license": None}, "licence not stated by the service: ask before you share"),
    ],
)
def test_licences_are_told_as_the_provider_states_them(service: LocalService, said: dict, licence: str) -> None:
    assert provider(service, **said).about().licence == licence


def test_base_urls() -> None:
    assert Optimade("oqmd").root == "https://oqmd.org/optimade/v1"
    assert Optimade("https://x.org/optimade/v1.1/").root == "https://x.org/optimade/v1.1"
    for url in PROVIDERS.values():
        check_url(url)
    for bad in ("file:///etc/passwd", "x.org", "https://me:secret@x.org"):
        with pytest.raises(ValueError) as caught:
            Optimade(bad)
        assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="page_size"):
        Optimade("oqmd", page_size=0)


# --- OPTIMADE: labels and entries ---------------------------------------------------------------


def test_labels_come_with_unit_and_provenance(service: LocalService, tmp_path: Path) -> None:
    entries = [entry(name, edge=3.8 + i / 10, _t_e=value) for i, (name, value) in enumerate([
        ("a", -3.5), ("b", None), ("c", -99999), ("d", "many"), ("e", float("nan")), ("f", "-1.25"),
    ])]  # fmt: skip
    provider(service, Answer(page(*entries)), license="https://x.org")
    service.on("/v1/info/structures", Answer({"data": {"properties": {"_t_e": {"unit": "eV/atom"}}}}))
    report = fetch(Optimade(service.url, target="_t_e", client=patient()), tmp_path / "s.db", "sto")
    kinds = {issue.path: type(issue) for issue in report.issues}
    assert kinds == {"b": MissingLabelError, "c": MissingLabelError, "d": InvalidLabelError, "e": InvalidLabelError}
    with Store(tmp_path / "s.db") as store:
        data = store.load("sto")
    assert (data.target, data.unit) == ("_t_e", "eV/atom")
    np.testing.assert_array_equal(data.y, [-3.5, -1.25])
    today = datetime.now(UTC).date().isoformat()
    assert data.provenance[0] == (
        f"Test base ({service.url}/v1), OPTIMADE 1.1.0, server 9.8: a, _t_e, fetched {today}; licence: https://x.org"
    )
    assert {(type(issue), issue.path) for issue in data.issues} == {(kind, path) for path, kind in kinds.items()}


def test_a_target_within_an_object(service: LocalService) -> None:
    provider(service, Answer(page(entry("a", _mp_stability={"gga_gga+u": {"energy_above_hull": 0.02}}))))
    asked = Optimade(service.url, target="_mp_stability.gga_gga+u.energy_above_hull", client=patient())
    (item,) = asked.page(None).items
    assert isinstance(item, FetchedCrystal)
    assert item.value == 0.02
    assert "_mp_stability&" in service.asked[-1]
    assert asked.about().unit is None


def test_disorder_and_vacancies_become_occupancies() -> None:
    species = [
        {"name": "A", "chemical_symbols": ["Sr", "vacancy"], "concentration": [0.9, 0.1]},
        {"name": "B", "chemical_symbols": ["Ti", "Zr"], "concentration": [0.7504, 0.25]},
        {"name": "O", "chemical_symbols": ["O"], "concentration": [1.0]},
        {"name": "gone", "chemical_symbols": ["vacancy"], "concentration": [1.0]},
    ]
    found = structure_of(
        attributes(species=species, species_at_sites=["A", "B", "O", "O", "gone"], structure_features=["disorder"]), "x"
    )
    assert len(found) == 4
    assert found[0].species.as_dict() == {"Sr": 0.9}
    assert found[1].species.as_dict() == pytest.approx({"Ti": 0.7504 / 1.0004, "Zr": 0.25 / 1.0004})


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"species": None}, UnknownElementError, "species are missing"),
        ({"species": []}, UnknownElementError, "Sr, Ti, O of its sites are not described"),
        ({"species": [{"name": "Sr"}]}, FileFormatError, "malformed"),
        ({"species": "SrTiO3"}, UnknownElementError, "missing"),
        (
            {"species": [{"name": n, "chemical_symbols": ["X"], "concentration": [1]} for n in ("Sr", "Ti", "O")]},
            UnknownElementError,
            "'X', which is no element",
        ),
        (
            {"species": [{"name": "Sr", "chemical_symbols": ["Sr"], "concentration": [1, 2]}]},
            FileFormatError,
            "malformed",
        ),
        (
            {"species": [{"name": "Sr", "chemical_symbols": ["Sr", "Ba"], "concentration": [1, 1]}]},
            FileFormatError,
            "no shares",
        ),
        (
            {"species": [{"name": "C", "chemical_symbols": ["C"], "concentration": [1], "attached": ["H"]}]},
            FileFormatError,
            "attached",
        ),
        ({"structure_features": ["disorder", "assemblies"]}, FileFormatError, "exclude each other"),
        ({"structure_features": ["implicit_atoms"]}, FileFormatError, "without a position"),
        ({"dimension_types": [1, 1, 0]}, FileFormatError, "not periodic"),
        ({"lattice_vectors": None}, FileFormatError, "lattice_vectors"),
        ({"lattice_vectors": [[3, 0, 0], [0, 3, 0], [None, None, None]]}, FileFormatError, "gaps"),
        ({"lattice_vectors": [[3, 0, 0], [0, 3, 0], [3, 3, 0]]}, ImplausibleCellError, "in a plane"),
        ({"cartesian_site_positions": [[0, 0, 0]]}, AtomCountError, "1 positions, but 5"),
        ({"cartesian_site_positions": [[0, 0, 0], [None] * 3, [0] * 3, [0] * 3, [0] * 3]}, FileFormatError, "gaps"),
        ({"cartesian_site_positions": [[0, 0]] * 5}, FileFormatError, "shape"),
        ({"cartesian_site_positions": [[0, 0, 0]] * 5}, ImplausibleCellError, "Å apart"),
        ({"cartesian_site_positions": [], "species_at_sites": []}, ImplausibleCellError, "without atoms"),
        ({"edge": 0.5}, ImplausibleCellError, "Å³ an atom"),
    ],
)
def test_entries_without_crystal_are_named_with_their_reason(
    service: LocalService, tmp_path: Path, changes: dict, error: type[ReadingError], words: str
) -> None:
    asked = provider(service, Answer(page(entry("bad", **changes), entry("good"))))
    report = fetch(asked, tmp_path / "s.db", "sto")
    (issue,) = report.issues
    assert (type(issue), issue.path) == (error, "bad")
    assert words in issue.reason
    assert report.structures == 1
    with pytest.raises(error, match="bad"):
        fetch(asked, tmp_path / "strict.db", "sto", strict=True)


@pytest.mark.parametrize("bad", [None, "text", {"type": "structures"}, {"id": "x"}, {"id": ["x"]}])
def test_entries_without_id_or_attributes_are_listed(service: LocalService, tmp_path: Path, bad: Any) -> None:
    report = fetch(provider(service, Answer(page(bad, entry("good")))), tmp_path / "s.db", "sto")
    assert [type(issue) for issue in report.issues] == [FileFormatError]


def test_repeated_id_is_counted_if_equal_and_listed_if_not(service: LocalService, tmp_path: Path) -> None:
    asked = provider(
        service,
        Answer(page(entry("a"), entry("b", edge=4.0), entry("a"), following=link(service, 1))),
        Answer(page(entry("b", edge=4.1), entry("c", edge=4.2))),
    )
    report = fetch(asked, tmp_path / "s.db", "sto")
    assert report.record.repeated == 1
    assert [(type(issue), issue.path) for issue in report.issues] == [(DuplicateIdError, "b")]
    with Store(tmp_path / "s.db") as store:
        data = store.load("sto")
    assert data.ids == ("a", "b", "c")
    assert data.structures[1].lattice.a == 4.0, "the first was kept"


@pytest.mark.parametrize("answer", [[], "text", {"data": {}}, {"meta": {}}, {"errors": [{"detail": "bad filter"}]}])
def test_answers_of_another_kind_end_the_fetch(service: LocalService, tmp_path: Path, answer: Any) -> None:
    with pytest.raises(FetchError, match=r"OPTIMADE provider\?|bad filter"):
        fetch(provider(service, Answer(answer)), tmp_path / "s.db", "sto")


# --- a service in trouble -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(b"", 429),
        Answer(b"<html>gateway</html>", 503),
        Answer(b'{"data": [', 200),
        Answer(b"<html>maintenance</html>", 200),
        Answer(b'{"data": []', 200, missing=40),
        Answer(b"\xff\xfe", 200),
    ],
)
def test_trouble_that_passes_is_waited_for(service: LocalService, tmp_path: Path, trouble: Answer) -> None:
    service.on("/v1/info", Answer(info()))
    service.on("/v1/structures", trouble, trouble, Answer(page(entry("a"))))
    waits: list[float] = []
    report = fetch(Optimade(service.url, client=patient(waits)), tmp_path / "s.db", "sto")
    assert report.structures == 1
    assert waits == [1.0, 2.0]


def test_trouble_that_stays_is_told(service: LocalService) -> None:
    service.on("/x", Answer(b"nonsense"))
    waits: list[float] = []
    with pytest.raises(FetchError, match=r"not JSON.*given up after 4 attempts"):
        patient(waits).get_json(f"{service.url}/x")
    assert waits == [1.0, 2.0, 4.0]
    assert len(service.asked) == 4


def test_a_service_is_not_asked_before_the_time_that_it_names(service: LocalService) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    service.on(
        "/x", Answer(b"", 429, {"Retry-After": "17"}), Answer(b"", 503, {"Retry-After": later}), Answer({"ok": 1})
    )
    waits: list[float] = []
    assert patient(waits).get_json(f"{service.url}/x") == {"ok": 1}
    assert waits[0] == 17
    assert 40 < waits[1] <= 50
    service.on("/y", Answer(b"", 429, {"Retry-After": "86400"}))
    with pytest.raises(FetchError, match="asks to wait 86400 s"):
        patient().get_json(f"{service.url}/y")
    service.on("/z", Answer(b"", 503, {"Retry-After": "soon"}), Answer([]))
    assert patient().get_json(f"{service.url}/z") == []


def test_a_way_to_another_host_is_an_error(service: LocalService) -> None:
    service.on("/x", Answer(b"", 302, {"Location": "/y"}))
    service.on("/y", Answer({"ok": 1}))
    assert patient().get_json(f"{service.url}/x") == {"ok": 1}
    service.on("/x", Answer(b"", 302, {"Location": "http://localhost:9/y"}))
    with pytest.raises(FetchError, match=r"localhost:9/y is on another host; if you trust it, give its address"):
        patient().get_json(f"{service.url}/x")
    service.on("/x", Answer(b"", 302, {"Location": "file:///etc/passwd"}))
    with pytest.raises(FetchError, match="not an https"):
        patient().get_json(f"{service.url}/x")
    assert service.asked == ["/x", "/y", "/x", "/x"]
    with pytest.raises(FetchError, match="not encrypted"):
        check_onward("https://x.org/a", "http://x.org/a")
    check_onward("http://x.org/a", "https://x.org/a")
    check_onward("https://x.org", "https://s3.store.com/a", ("store.com",))
    with pytest.raises(FetchError, match="another host"):
        check_onward("https://x.org", "https://badstore.com/a", ("store.com",))


def test_an_archive_may_be_sent_on_to_the_hosts_named(service: LocalService, tmp_path: Path) -> None:
    with local_service() as other:
        other.on("/file", Answer(b"content"))
        service.on("/x", Answer(b"", 302, {"Location": f"{other.url}/file".replace("127.0.0.1", "localhost")}))
        patient().download(f"{service.url}/x", tmp_path / "a", ("localhost",))
    assert (tmp_path / "a").read_bytes() == b"content"


def test_what_trickles_in_is_given_up(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.on("/x", Answer(b" " * 200_000 + b"[]"))
    hurried = replace(patient(), most_seconds=0.0)
    with pytest.raises(FetchError, match=r"not whole after 0 s; given up after 4 attempts"):
        hurried.get_json(f"{service.url}/x")
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    with pytest.raises(FetchError, match="ask for smaller pages"):
        patient().get_json(f"{service.url}/x")


def test_refusals_are_not_repeated(service: LocalService) -> None:
    service.on("/x", Answer(b"plain text", 400))
    with pytest.raises(FetchError, match="HTTP 400"):
        patient().get_json(f"{service.url}/x")
    assert len(service.asked) == 1
    with pytest.raises(FetchError, match="no such page"):
        patient().get_json(f"{service.url}/nowhere")


def test_a_service_that_is_not_there() -> None:
    with local_service() as gone:
        url = gone.url
    with pytest.raises(FetchError, match=r"cannot be reached.*given up after 2 attempts"):
        patient(attempts=2).get_json(f"{url}/v1/info")
    with pytest.raises(ValueError, match="not an https"):
        patient().get_json("file:///etc/passwd")


# --- Materials Project --------------------------------------------------------------------------


class FakeSearch:
    """``materials.summary.search`` of mp-api without document models: dictionaries of the fields asked for."""

    def __init__(self, documents: dict[str, dict], trouble: list[Exception]) -> None:
        self.documents = documents
        self.trouble = trouble
        self.calls: list[dict[str, Any]] = []

    def search(self, *, fields: list[str], all_fields: bool, material_ids: list[str] | None = None, **criteria: Any):
        self.calls.append({"fields": fields, "material_ids": material_ids, "criteria": criteria})
        if self.trouble:
            raise self.trouble.pop(0)
        wanted = self.documents if material_ids is None else [i for i in material_ids if i in self.documents]
        return [{name: self.documents[i].get(name) for name in fields} for i in wanted]


@pytest.fixture
def materials(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeSearch]:
    """Install a fake of mp-api that holds the documents."""

    def install(documents: dict[str, dict], trouble: list[Exception] | None = None) -> FakeSearch:
        search = FakeSearch(documents, trouble or [])

        class MPRester:
            db_version = "2025.09.25"

            def __init__(self, api_key: str, *, use_document_model: bool, mute_progress_bars: bool) -> None:
                assert (api_key, use_document_model, mute_progress_bars) == (KEY, False, True)
                self.materials = SimpleNamespace(summary=search)

        client = ModuleType("mp_api.client")
        client.MPRester = MPRester  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "mp_api", ModuleType("mp_api"))
        monkeypatch.setitem(sys.modules, "mp_api.client", client)
        monkeypatch.setenv("MP_API_KEY", KEY)
        return search

    return install


def material(number: int, **changes: Any) -> dict[str, Any]:
    structure = perovskite(edge=5.5 + 0.01 * number)
    structure.add_site_property("magmom", [0.1] * len(structure))
    return {
        "material_id": f"mp-{number}",
        "structure": structure.as_dict(),
        "formation_energy_per_atom": -1.0 - number / 100,
    } | changes


def documents(count: int) -> dict[str, dict]:
    return {f"mp-{number}": material(number) for number in range(1, count + 1)}


def test_materials_come_in_batches_and_go_on_after_a_stop(materials: Callable[..., FakeSearch], tmp_path: Path) -> None:
    search = materials(documents(5))
    asked = MaterialsProject({"formula": "ABX3"}, "formation_energy_per_atom", page_size=2, client=patient())
    report = fetch(asked, tmp_path / "s.db", "mp", most=2)
    assert [call["material_ids"] for call in search.calls] == [None, ["mp-1", "mp-2"]]
    assert search.calls[0]["criteria"] == {"formula": "ABX3"}
    search.documents["mp-11"] = material(11)  # sorted before mp-2: not met any more by this fetch
    report = fetch(
        MaterialsProject({"formula": "ABX3"}, "formation_energy_per_atom", page_size=2, client=patient()),
        tmp_path / "s.db",
        "mp",
    )
    assert [call["material_ids"] for call in search.calls[3:]] == [["mp-3", "mp-4"], ["mp-5"]]
    assert (report.structures, report.record.complete) == (5, True)
    with Store(tmp_path / "s.db") as store:
        data = store.load("mp")
    assert (data.unit, data.target) == ("eV/atom", "formation_energy_per_atom")
    np.testing.assert_allclose(data.y, [-1.01, -1.02, -1.03, -1.04, -1.05])
    assert data.structures[0].site_properties == {}
    assert "Materials Project, database 2025.09.25: mp-1" in data.provenance[0]
    assert "CC BY 4.0" in data.provenance[0]


def test_materials_that_are_damaged_or_missing_are_listed(materials: Callable[..., FakeSearch], tmp_path: Path) -> None:
    held = documents(1) | {
        "mp-20": material(20, structure=None),
        "mp-21": material(21, structure={"lattice": "gone"}),
        "mp-22": material(22, formation_energy_per_atom=None),
        "mp-23": material(23, formation_energy_per_atom="low"),
    }
    search = materials(held)

    def forgetful(**what: Any) -> list[dict]:
        found = FakeSearch.search(search, **what)
        return found if what.get("material_ids") is None else [d for d in found if d["material_id"] != "mp-24"]

    search.documents["mp-24"] = material(24)
    search.search = forgetful  # type: ignore[method-assign]
    asked = MaterialsProject(target="formation_energy_per_atom", client=patient())
    report = fetch(asked, tmp_path / "s.db", "mp")
    assert {issue.path: type(issue) for issue in report.issues} == {
        "mp-20": FileFormatError, "mp-21": FileFormatError, "mp-22": MissingLabelError,
        "mp-23": InvalidLabelError, "mp-24": FileFormatError,
    }  # fmt: skip
    assert report.structures == 1


def test_the_key_is_told_nowhere(
    materials: Callable[..., FakeSearch], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaky = RuntimeError(
        f"query failed on URL https://api.example.org/?k3y={KEY} and k3y%2Bof%2F32%3Dcharacters.nobody.sees"
    )
    search = materials(documents(2), [leaky])
    asked = MaterialsProject(client=patient())
    with pytest.raises(FetchError) as caught:
        fetch(asked, tmp_path / "s.db", "mp")
    told = "".join(traceback.format_exception(caught.value)) + repr(asked) + repr(asked.query()) + caplog.text
    assert "***" in str(caught.value)
    for secret in (KEY, QUOTED_KEY):
        assert secret not in told
    search.trouble = [ConnectionError(f"broken {KEY}"), TimeoutError(KEY), RuntimeError(f"error status code 503 {KEY}")]
    waits: list[float] = []
    report = fetch(MaterialsProject(client=patient(waits)), tmp_path / "s.db", "mp")
    assert report.structures == 2
    assert waits == [1.0, 2.0, 4.0]
    search.trouble = [ConnectionError(KEY) for _ in range(9)]
    with pytest.raises(FetchError, match="given up") as caught:
        fetch(MaterialsProject(client=patient()), tmp_path / "s.db", "mp", restart=True)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in content
    assert KEY not in repr(report)


def test_without_key_or_client_one_line_says_what_to_do(
    materials: Callable[..., FakeSearch], monkeypatch: pytest.MonkeyPatch
) -> None:
    materials(documents(1))
    monkeypatch.setenv("MP_API_KEY", " ")
    with pytest.raises(FetchError, match="environment variable MP_API_KEY"):
        MaterialsProject().about()
    assert redact_key("nothing to hide") == "nothing to hide"
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        MaterialsProject().about()


# --- JARVIS -------------------------------------------------------------------------------------


def jarvis_entry(number: int, **changes: Any) -> dict[str, Any]:
    """SrTiO₃ as an entry of JARVIS' archives."""
    return {
        "jid": f"JVASP-{number}",
        "formula": "SrTiO3",
        "formation_energy_peratom": -3.0 - number / 100,
        "mbj_bandgap": "na",
        "atoms": {
            "lattice_mat": [[3.9 + number / 100, 0, 0], [0, 3.9, 0], [0, 0, 3.9]],
            "coords": [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            "elements": ["Sr", "Ti", "O", "O", "O"],
            "abc": [3.9, 3.9, 3.9],
            "angles": [90.0] * 3,
            "cartesian": False,
            "props": [""] * 5,
        },
    } | changes


def archive(path: Path, entries: list[Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("d3.json", json.dumps(entries))
    return path


def test_an_archive_is_read_page_by_page(tmp_path: Path) -> None:
    path = archive(tmp_path / "d3.json.zip", [jarvis_entry(i) for i in range(5)])
    asked = Jarvis(str(path), target="formation_energy_peratom", page_size=2)
    report = fetch(asked, tmp_path / "s.db", "jarvis", most=3)
    assert (report.structures, report.record.next) == (3, "2")
    report = fetch(Jarvis(str(path), target="formation_energy_peratom", page_size=2), tmp_path / "s.db", "jarvis")
    assert (report.structures, report.record.complete) == (5, True)
    with Store(tmp_path / "s.db") as store:
        data = store.load("jarvis")
    assert data.unit == "eV/atom"
    np.testing.assert_allclose(data.y, [-3.0, -3.01, -3.02, -3.03, -3.04])
    assert data.structures[0] == perovskite_sto()


def test_entries_of_jarvis_that_cannot_be_used(tmp_path: Path) -> None:
    good = jarvis_entry(0)["atoms"]
    entries = [
        jarvis_entry(0),
        jarvis_entry(1, formation_energy_peratom="na"),
        jarvis_entry(2, formation_energy_peratom="unknown"),
        jarvis_entry(3, atoms=None),
        jarvis_entry(4, atoms=good | {"elements": ["Sr", "Ti", "O", "O", "Q"]}),
        jarvis_entry(5, atoms=good | {"elements": ["Sr"]}),
        jarvis_entry(6, atoms=good | {"lattice_mat": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}),
        jarvis_entry(7, atoms=good | {"coords": [[0, 0, 0]] * 5}),
        {"formula": "?"},
    ]
    asked = Jarvis(str(archive(tmp_path / "d3.json.zip", entries)), target="formation_energy_peratom")
    report = fetch(asked, tmp_path / "s.db", "jarvis")
    assert report.structures == 1
    assert [type(issue) for issue in report.issues] == [
        MissingLabelError, InvalidLabelError, FileFormatError, UnknownElementError, AtomCountError, FileFormatError,
        ImplausibleCellError, FileFormatError,
    ]  # fmt: skip


def test_a_published_archive_is_downloaded_once_and_resumed(
    service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qperov.datasets.databases import jarvis

    whole = archive(tmp_path / "source.zip", [jarvis_entry(i) for i in range(3)]).read_bytes()
    service.on("/file", Answer(whole[:200], missing=len(whole) - 200), Answer(whole))
    monkeypatch.setitem(jarvis.ARCHIVES, "dft_3d", jarvis.Archive(f"{service.url}/file", "1-1-2000", "10.1/x"))
    report = fetch(Jarvis("dft_3d", tmp_path, client=patient()), tmp_path / "s.db", "jarvis")
    assert report.structures == 3
    assert report.record.sentence.startswith("JARVIS-DFT dft_3d (doi:10.1/x), release 1-1-2000, fetched ")
    assert [headers.get("Range") for headers in service.headers] == [None, "bytes=200-"]
    fetch(Jarvis("dft_3d", tmp_path, client=patient()), tmp_path / "s.db", "again")
    assert len(service.asked) == 2, "the archive is there already"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"<html>"])
def test_a_broken_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d3.json.zip").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"d3\.json\.zip"):
        Jarvis(str(tmp_path / "d3.json.zip")).page(None)
    with pytest.raises(UnreadableFileError):
        Jarvis(str(tmp_path / "nowhere.json")).page(None)


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=3), max_size=8),
    piece=st.integers(1, 9),
    indent=st.sampled_from([None, 1]),
)
def test_lists_are_read_in_pieces_as_json_reads_them(items: list[dict], piece: int, indent: int | None) -> None:
    text = json.dumps(items, indent=indent)

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(0 if size == 0 else piece)

    assert list(json_items(Slow(text.encode()), "x")) == items
    with pytest.raises(FileFormatError):
        list(json_items(Slow(text[:-1].encode()), "x"))


def test_what_is_no_list_is_refused() -> None:
    for text in ("", "{}", '[{"a": 1} ; 2]'):
        with pytest.raises(FileFormatError):
            list(json_items(io.BytesIO(text.encode()), "x"))


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_of_cifs_is_a_service_too(tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    folder.mkdir()
    for number in range(3):
        perovskite(edge=5.8 + 0.1 * number).to(str(folder / f"c{number}.cif"), fmt="cif")
    (folder / "bad.cif").write_text("data_nothing\n")
    report = fetch(Folder(folder), tmp_path / "s.db", "mine")
    assert (report.structures, len(report.issues)) == (3, 1)
    assert report.record.source == f"files in {folder}"
    with Store(tmp_path / "s.db") as store:
        assert store.load("mine").ids == ("c0", "c1", "c2")
