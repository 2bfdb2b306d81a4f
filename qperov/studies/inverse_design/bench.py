"""A section of a report: what was sampled, judged on the bench beside its baselines, and a gallery."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from qperov.generative.bench.comparison import PERTURBATION, SUBSTITUTION, BenchReport
from qperov.records.study import Chart, Study
from qperov.reports.words.introduction import listed
from qperov.studies.inverse_design.gallery import IN_GALLERY, chosen_for_gallery, gallery_frame
from qperov.studies.inverse_design.results import BASELINE, Generation, Sample, Target

TITLE = "Generated crystals on the bench"
#: Criteria in the table of shares and their headings, as far as the bench asked them.
SHOWN = {
    "decodable": "decoded",
    "distance": "0.5 Å kept",
    "covalent_distance": "radii kept",
    "charge_neutral": "charges balance",
    "valid": "valid",
    "unique": "unique",
    "novel": "novel",
    "valid_unique_novel": "valid, unique, novel",
    "octahedra": "octahedra",
    "corner_sharing": "corners shared",
    "dissimilar": "dissimilar",
}
#: The two that decide.
DECISIVE = {"valid": "valid", "valid_unique_novel": "valid, unique and novel"}


def bench_study(target: Target, generation: Generation) -> Study:
    """Shares of valid, unique, novel, … crystals of each sample beside the baselines, and a gallery."""
    models = [sample for sample in generation.samples if sample.model != BASELINE]
    shares = shares_table(generation)
    bars = pd.DataFrame(
        [
            (row["sample"], DECISIVE[row["criterion"]], row["share"])
            for row in generation.bench.table.to_dict(orient="records")
            if row["criterion"] in DECISIVE
        ],
        columns=["sample", "criterion", "share"],
    )
    charts = [
        Chart(
            "Valid, and valid, unique and novel", "bars", "bars", "share", "sample", series="criterion",
            x_label="share of all that was sampled",
            caption="The last two are the baselines: training crystals with random displacements, strain and exchanged "
            "elements; and training crystals with ions replaced by similar ones.",
        )
    ]  # fmt: skip
    gallery = gallery_frame(chosen_for_gallery(target, generation))
    if len(gallery):
        charts.append(
            Chart(
                "Gallery", "crystals", "gallery", "x", "y", series="element", panels="crystal",
                caption=f"Of each model up to {IN_GALLERY} valid, unique and novel crystals whose predicted "
                f"{target.name} is nearest to {target.with_unit(target.value)}, as generated; the last number is the "
                "prediction. Balls at 0.45 of the covalent radii in Jmol's colours.",
            )
        )  # fmt: skip
    return Study(
        TITLE,
        (
            "Valid: decoded, no two atoms closer than 0.5 Å or 0.7 of their covalent radii, at least 0.1 Å³ an atom, "
            "and charges that can balance. Novel: no training crystal is the same (StructureMatcher). All shares are "
            "of all that was sampled, what did not decode included. Intervals: 95 %, Wilson's of shares, Newcombe's of "
            "differences; not corrected for the number of samples.",
            *(f"Sampling: {note}" for note in generation.notes),
            *_validity_sentences(generation, models),
            "A high share of valid crystals is worth little alone: copies of the training crystals are valid, too.",
        ),
        tables={
            **{
                f"{said.capitalize()}, beside {PERTURBATION}; differences in percentage points": decisive_table(
                    generation.bench, criterion
                )
                for criterion, said in DECISIVE.items()
            },
            "Shares by criterion, %": shares,
        },
        charts=tuple(charts),
        data={"bars": bars, "gallery": gallery},
        decimals={"share, %": 1, "difference": 1, **dict.fromkeys(SHOWN.values(), 1)},
    )


# --- tables -------------------------------------------------------------------------------------


def decisive_table(bench: BenchReport, criterion: str) -> pd.DataFrame:
    """How many of each sample meet a criterion, and the difference to random perturbation."""
    rows = []
    for row in bench.table[bench.table["criterion"] == criterion].to_dict(orient="records"):
        baseline = row["sample"] == PERTURBATION
        between = _percent_interval(row["difference_low"], row["difference_high"])
        rows.append(
            {
                "sample": row["sample"],
                "count": f"{row['count']} of {row['out_of']}",
                "share, %": 100 * row["share"],
                "share: 95 %": _percent_interval(row["low"], row["high"]),
                "difference": np.nan if baseline else 100 * row["difference"],
                "difference: 95 %": "–" if baseline else between,
                "verdict": "the baseline" if baseline else row["verdict"],
            }
        )
    return pd.DataFrame(rows)


def shares_table(generation: Generation) -> pd.DataFrame:
    """Each sample with its shares by criterion in per cent, and what else was counted."""
    wide = generation.bench.shares()
    rows = []
    for sample in generation.samples:
        report = generation.bench.reports[sample.name].per_structure
        formulas = {name for name, valid in zip(report["formula"], report["valid"], strict=True) if valid}
        row: dict[str, object] = {"sample": sample.name}
        row |= {shown: 100 * wide.loc[name, sample.name] for name, shown in SHOWN.items() if name in wide.index}
        row |= {
            "like a standard": sample.like_standards,
            "merged": sample.merged,
            "held-out formulas": len(formulas & generation.held_out_formulas),
        }
        rows.append(row)
    return pd.DataFrame(rows)


# --- sentences ----------------------------------------------------------------------------------


def _validity_sentences(generation: Generation, samples: Sequence[Sample]) -> list[str]:
    """The plain statement of whether samples beat random perturbation, and the figures of each model's best one."""
    table, sentences = generation.bench.table, []
    for criterion, said in DECISIVE.items():
        mine = table[(table["criterion"] == criterion) & table["sample"].isin([sample.name for sample in samples])]
        above = mine.loc[mine["verdict"] == "above", "sample"].tolist()
        lead = f"The share of {said} crystals is not above that of {PERTURBATION} for any of {len(mine)} samples."
        if above:
            many = f"{len(above)} of {len(mine)} samples"
            lead = f"The share of {said} crystals is above that of {PERTURBATION} for {many}: {listed(above)}."
        share = mine.set_index("sample")["share"]
        best = [
            str(share.loc[[sample.name for sample in samples if sample.model == model]].idxmax())
            for model in dict.fromkeys(sample.model for sample in samples)
        ]
        told = " ".join(generation.bench.statement(name, criterion) for name in best)
        # a true minus sign, as in the tables
        told = re.sub(r"(?<=[ (])-(?=\d)", "−", told)
        free = table.loc[(table["criterion"] == criterion) & (table["sample"] == SUBSTITUTION), "share"].item()
        more = int((mine["share"] > free).sum())
        sentences.append(
            f"{lead} The best sample of each model: {told} {SUBSTITUTION.capitalize()}, which needs no model, gives "
            f"{100 * free:.1f} %, and {more} of {len(mine)} samples more than that."
        )
    return sentences


def _percent_interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}".replace("-", "−")
