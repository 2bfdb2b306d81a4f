"""The section on maps: of each descriptor, and of each kernel that the record holds."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count

from qperov.records.record import Record, slug, spaced_rows
from qperov.reports.figures.style import save
from qperov.reports.maps.drawing import draw_map, map_colours
from qperov.reports.maps.embedding import DescriptorMap, map_descriptor
from qperov.reports.maps.interactive import crystal_groups, interactive_map, script_and_style
from qperov.reports.maps.kernel_maps import KernelMap, map_kernel
from qperov.reports.maps.quality import measure_map, percent, what_not_to_read
from qperov.reports.page import embedded
from qperov.reports.words import findings as say

#: Crystals among which neighbours are counted.
MOST_MEASURED = 2000


def map_section(record: Record, figures: Path, *, seed: int = 0, first: str = "") -> list[dict[str, Any]]:
    """Draw the maps of a record into ``figures`` (PNG and SVG) and tell what the page needs of each.

    Parameters
    ----------
    record : Record
    figures : Path
        A directory that is there.
    seed : int
    first : str
        Descriptor whose map comes first.

    Returns
    -------
    list of dict
        For each map, descriptors before kernels:

        ``descriptor`` : what it is of, as a heading
        ``kind`` : "descriptor" or "kernel"
        ``file`` : name of the picture in ``figures``, without its ending
        ``problem`` : why there is no map, or ""; where there is one, nothing follows
        ``picture`` : it as a data: address: label, prediction and residual of the best models
        ``method``, ``distinct``, ``crystals`` : how it was made, and the numbers of its points and crystals
        ``trust`` : trustworthiness, or ""
        ``quality`` : sentences on how far to trust it, and what not to read from it
        ``interactive`` : HTML that is safe as it is; the last one ends with the script and the style sheet of them all
    """
    comparison = record.comparison
    names = [name for name in say.descriptor_names(comparison) if name in comparison.features]
    names.sort(key=lambda name: name != first)
    wanted = [(name, "descriptor", comparison.features[name]) for name in names]
    wanted += [(name, "kernel", K) for name, K in record.kernels.items()]
    about = comparison.table.set_index("model")
    with ThreadPoolExecutor(cpu_count()) as pool:  # t-SNE lets go of the interpreter's lock
        maps = list(pool.map(lambda item: _map(item[0], item[1], item[2], seed), wanted))
    entries: list[dict[str, Any]] = []
    for (name, kind, matrix), mapped in zip(wanted, maps, strict=True):
        heading = name if kind == "descriptor" else f"kernel of {name}"
        if kind == "kernel" and name in about.index:
            heading = f"kernel of {about.at[name, 'name']} on {about.at[name, 'descriptor']}"
        entry: dict[str, Any] = {"descriptor": heading, "kind": kind, "file": "", "problem": ""}
        if isinstance(mapped, str):
            entry["problem"] = mapped
        else:
            entry["file"] = "map-" + slug(heading, taken=[other["file"].removeprefix("map-") for other in entries])
            entry |= _pictures(record, mapped, figures / entry["file"], heading, *_models(record, name, kind))
            entry["quality"] = _quality(record, mapped, matrix, kind)
            entry["picture"] = embedded(entry["picture"], folded=any(not other["problem"] for other in entries))
        entries.append(entry)
    if shown := [entry for entry in entries if not entry["problem"]]:
        shown[-1]["interactive"] += script_and_style()
    return entries


def _map(name: str, kind: str, matrix: np.ndarray, seed: int) -> DescriptorMap | KernelMap | str:
    """The map, or why there is none."""
    try:
        return map_descriptor(name, matrix, seed=seed) if kind == "descriptor" else map_kernel(name, matrix, seed=seed)
    except ValueError as error:
        return str(error)


def _pictures(
    record: Record, mapped: DescriptorMap | KernelMap, file: Path, heading: str, shown: list[str], rest: list[str]
) -> dict[str, Any]:
    """A map drawn with some models, with the others, and with all of them to be asked."""
    comparison = record.comparison
    rows = spaced_rows(len(comparison.ids), len(mapped.points))
    colours = map_colours(comparison, [*shown, *rest])
    picture = save(draw_map(comparison, mapped.points, shown, rows=rows, colours=colours), file)["png"]
    return {
        "picture": picture,
        "method": mapped.method,
        "distinct": mapped.distinct,
        "crystals": len(mapped.points),
        "trust": "" if math.isnan(mapped.trustworthiness) else f"{mapped.trustworthiness:.3f}",
        "interactive": interactive_map(
            comparison, heading, mapped.points, colours, rows=rows, compositions=record.compositions
        ),
    }


def _models(record: Record, name: str, kind: str) -> tuple[list[str], list[str]]:
    """Models that the map's first picture shows, and those that another shows."""
    comparison = record.comparison
    if kind == "kernel":
        return [name] if name in set(comparison.table["model"]) else [], []
    table = say.scored_models(comparison)
    everything = table.loc[(table["descriptor"] == name) & (table["family"] != "baseline"), "model"].tolist()
    leaders = [say.best_of(comparison, name, *f) for f in (("classical", "reference"), ("quantum",))]
    shown = [str(row["model"]) for row in leaders if row is not None]
    return shown, [model for model in everything if model not in shown]


def _quality(record: Record, mapped: DescriptorMap | KernelMap, matrix: np.ndarray, kind: str) -> list[str]:
    """What a map keeps, in sentences."""
    rows = spaced_rows(len(record.comparison.ids), len(mapped.points))
    some = spaced_rows(len(rows), MOST_MEASURED)
    if isinstance(mapped, DescriptorMap):
        distances = mapped.distances(matrix[some])
    else:
        distances = mapped.distances[np.ix_(some, some)]
    crystals = rows[some]
    y, groups = np.asarray(record.comparison.y, dtype=float)[crystals], crystal_groups(record.comparison)[crystals]
    quality = measure_map(distances, mapped.points[some], y, groups)
    sentences = []
    if not math.isnan(mapped.trustworthiness):
        sentences.append(
            f"Trustworthiness {mapped.trustworthiness:.3f}: 1 if all neighbours on the map are also neighbours in the "
            f"{kind}, about 0.5 for random positions."
        )
    if not math.isnan(quality.kept):
        sentences.append(
            f"Of a point's {quality.neighbours} nearest neighbours in the {kind}, {percent(quality.kept)} are among "
            f"its nearest on the map; random positions would keep {percent(quality.by_chance)}."
        )
    one = say.samples(record.comparison).removesuffix("s")
    if not math.isnan(quality.r2_map):
        sentences.append(
            f"Predicting a {one}'s label by the mean of its {quality.neighbours} nearest neighbours in other groups "
            f"has R² {say.fixed(quality.r2_space, 2)} in the {kind} and {say.fixed(quality.r2_map, 2)} on the map."
        )
    return [*sentences, *what_not_to_read(quality, kind)]
