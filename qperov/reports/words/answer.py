"""The answer that a report opens with: who leads, by how much, whether that is decided, and what a constant scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from qperov.evaluation.results import Comparison
from qperov.reports.words import findings as say
from qperov.reports.words.introduction import listed
from qperov.reports.words.number_format import decimals, fixed, significant

#: Outcome of a planned question → what is said of the best quantum (q) and the best classical model (c).
OUTCOMES = {
    "better": "{q} is better than {c}",
    "likely better": "{q} is likely, not certainly, better than {c}",
    "practically the same": "{q} and {c} are practically the same",
    "likely worse": "{q} is likely, not certainly, worse than {c}",
    "worse": "{q} is worse than {c}",
    "undecidable": "{n} {samples} do not decide between {q} and {c}",
}


@dataclass(frozen=True)
class Question:
    """Best quantum against best classical model on one descriptor.

    Attributes
    ----------
    descriptor : str
    quantum, classical : str
        Models as the table calls them: chosen most often inside the folds, or the best in the table of an older record.
    quantum_loss, classical_loss : float
        MAE, or balanced error of classes.
    delta, low, high : float
        MAE of quantum minus classical, and its 95 % interval; NaN where it was not tested.
    outcome : str
        One of `OUTCOMES`; "" where it was not tested.
    """

    descriptor: str
    quantum: str
    classical: str
    quantum_loss: float
    classical_loss: float
    delta: float
    low: float
    high: float
    outcome: str

    @property
    def least(self) -> float:
        """The smaller of the two."""
        return min(self.quantum_loss, self.classical_loss)


@dataclass(frozen=True)
class Answer:
    """What stands at the top of a page.

    Attributes
    ----------
    lead : str
        Who leads, by how much, decided or not.
    constant : str
        What a constant scores beside that; "" where there is none.
    others : tuple of str
        The same question on the other descriptors, and what a descriptor has lost.
    """

    lead: str
    constant: str
    others: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(part for part in (self.lead, self.constant, *self.others) if part)


def questions(comparison: Comparison) -> list[Question]:
    """One question a descriptor that has candidates of both families, the one with the smallest MAE first."""
    if len(comparison.planned):
        loss = comparison.loss
        called = {"delta": f"delta_{loss}", "quantum_loss": f"quantum_{loss}", "classical_loss": f"classical_{loss}"}
        columns = [called.get(name, name) for name in Question.__dataclass_fields__]
        found = [Question(*row) for row in comparison.planned[columns].itertuples(index=False)]
    else:
        found = [question for name in say.descriptor_names(comparison) for question in _tested(comparison, name)]
    return sorted(found, key=lambda question: question.least)


def _tested(comparison: Comparison, descriptor: str) -> list[Question]:
    """What the paired test of an older record tells of one descriptor."""
    own = say.candidates(comparison)
    own = own[own["descriptor"] == descriptor]
    quantum, classical = (say.best(own[own["family"] == family]) for family in ("quantum", "classical"))
    if quantum is None or classical is None:
        return []
    tested = say.difference(comparison, quantum["model"], classical["model"])
    values, outcome = (math.nan,) * 3, ""
    if tested is not None and math.isfinite(tested.p_holm):
        values, outcome = (tested.delta, tested.low, tested.high), "undecidable"
        if tested.significant:
            outcome = "better" if tested.delta < 0 else "worse"
        elif tested.same:
            outcome = "practically the same"
    names, loss = (str(quantum["model"]), str(classical["model"])), comparison.loss
    return [Question(descriptor, *names, float(quantum[loss]), float(classical[loss]), *values, outcome)]


def answer(comparison: Comparison) -> Answer:
    """Who leads, by how much, and whether that is decided; a model that stands there for contrast never leads."""
    asked, models = questions(comparison), say.candidates(comparison)
    constant, top, named = say.best_baseline(comparison), say.best(models), say.loss_name(comparison)
    if top is None:
        return Answer("No model was compared: these are constants.", _constant(comparison, math.nan), ())
    others = [_short(question) for question in asked[1:]]
    lost = _lost(comparison, asked[0].descriptor if asked else str(top["descriptor"]))
    if constant is not None and not any(map(comparison.beats_constant, models["model"])):
        score = f"{say.interval(top, comparison.loss)[0]}{say.with_unit(comparison)}"
        lead = (
            f"No model is shown to predict the {_target(comparison)} better than a constant: the best, {top['name']} "
            f"on the {top['descriptor']}, has {named} {score}."
        )
        every = [_short(question) for question in asked]
        return Answer(lead, _constant(comparison, math.nan), (*every, *lost))
    if not asked:
        value, ends = say.interval(top, comparison.loss)
        lead = (
            f"Of {len(models)} models, {top['name']} on the {top['descriptor']} has the smallest {named}: {value}"
            f"{say.with_unit(comparison)} [{ends}]."
        )
        return Answer(lead, _constant(comparison, float(top[comparison.loss])), lost)
    return Answer(sentence(comparison, asked[0]), _constant(comparison, asked[0].least), (*others, *lost))


def sentence(comparison: Comparison, question: Question) -> str:
    """One question's outcome with its numbers; it may be quoted without its surroundings."""
    names = {
        "q": f"the best quantum model ({model_name(comparison, question.quantum)})",
        "c": f"the best classical one ({model_name(comparison, question.classical)})",
        "n": comparison.label["n"],
        "samples": say.samples(comparison),
    }
    known = OUTCOMES.get(question.outcome, "no test tells {q} from {c}").format(**names)
    places = _places(question)
    quantum, classical = (fixed(value, places) for value in (question.quantum_loss, question.classical_loss))
    scores = f"{say.loss_name(comparison)} {quantum} and {classical}{say.with_unit(comparison)}"
    return f"From the {question.descriptor}, {known}: {scores}{_difference(question, places)}."


def _short(question: Question) -> str:
    """The question on another descriptor."""
    places = _places(question)
    outcome = {
        "practically the same": "practically the same",
        "undecidable": "undecided",
        "": "not tested",
    }.get(question.outcome, f"quantum {question.outcome}")
    name = f"{question.descriptor[:1].upper()}{question.descriptor[1:]}"
    quantum, classical = (fixed(value, places) for value in (question.quantum_loss, question.classical_loss))
    return f"{name}: {outcome}, {quantum} and {classical}{_difference(question, places)}."


def _places(question: Question) -> int:
    return decimals(question.delta if math.isfinite(question.delta) else question.least, question.low, question.high)


def _difference(question: Question, places: int) -> str:
    """The difference with its interval, or nothing."""
    if not math.isfinite(question.delta):
        return ""
    value, low, high = (fixed(end, places, sign=True) for end in (question.delta, question.low, question.high))
    return f" (difference {value} [{low} … {high}])"


def _constant(comparison: Comparison, loss: float) -> str:
    """What the better constant scores, and what share of its error a model removes."""
    constant = say.best_baseline(comparison)
    if constant is None:
        return ""
    value, _ = say.interval(constant, comparison.loss)
    subject = "Chance" if comparison.classes else "A constant"
    text = f"{subject}, the {constant['name']}, has {say.loss_name(comparison)} {value}"
    score = float(constant[comparison.loss])
    share = 1 - loss / score if score > 0 else math.nan
    return f"{text}: the better of the two removes {100 * share:.0f} % of that error." if share > 0 else f"{text}."


def _lost(comparison: Comparison, descriptor: str) -> tuple[str, ...]:
    """What references say of a descriptor on which every model does worse than they do."""
    table, loss = say.scored_models(comparison), comparison.loss
    own = say.best(table[(table["descriptor"] == descriptor) & (table["role"] == "candidate")])
    if own is None:
        return ()
    better = table[(table["family"] == "reference") & (table[f"{loss}_high"] < own[f"{loss}_low"])].sort_values(loss)
    if better.empty:
        return ()
    origin = " ".join(comparison.label.get("provenance", ())).lower()
    named = listed(
        [
            f"{row['name']} on {row['descriptor']} ({say.interval(row, loss)[0]}"
            + ("; such a model made the labels)" if str(row["name"]).lower() in origin else ")")
            for _, row in better.iterrows()
        ]
    )
    one = say.samples(comparison).removesuffix("s")
    verb = "scores" if len(better) == 1 else "score"
    return (
        f"Outside the comparison, {named} {verb} better than the best model of the {descriptor} "
        f"({say.interval(own, loss)[0]}): what {'it knows' if len(better) == 1 else 'they know'} of a {one} is lost "
        "in that descriptor, or no model finds it there.",
    )


def planned_lines(comparison: Comparison) -> list[str]:
    """What was asked of each descriptor, what came out, and what could have: one line each."""
    return [_line(comparison, row) for _, row in comparison.planned.iterrows()]


def _line(comparison: Comparison, row: pd.Series) -> str:
    places = decimals(row[f"delta_{comparison.loss}"], row["low"], row["high"])
    name, columns = say.loss_name(comparison), (f"delta_{comparison.loss}", "low", "high")
    delta, low, high = (fixed(float(row[name]), places, sign=True) for name in columns)
    rope, detectable, floor = (significant(float(row[name]), 2) for name in ("rope", "detectable", "floor"))
    quantum, classical = (model_name(comparison, row[family]) for family in ("quantum", "classical"))
    return (
        f"{row['descriptor']}: best quantum against best classical: {row['outcome']} (Δ{name} {delta} [{low}, {high}]"
        f"{say.with_unit(comparison)}; region ±{rope}; detectable {detectable}, floor {floor}; most often {quantum} "
        f"against {classical})"
    )


def leaders(comparison: Comparison) -> list[pd.Series]:
    """Rows of the table beside which the answer stands: the best quantum and classical model, the best reference, and
    the better constant, each where there is one."""
    table, asked = scored_by_model(comparison), questions(comparison)
    models = say.candidates(comparison)
    # of few samples the folds choose now one, now another: classes show the best in the table
    names = [asked[0].quantum, asked[0].classical] if asked and not comparison.classes else []
    rows = [table[name] for name in names if name in table]
    if not rows:
        rows = [say.best(models[models["family"] == family]) for family in ("quantum", "classical")]
    every = say.scored_models(comparison)
    rows += [say.best(every[every["family"] == "reference"]), say.best_baseline(comparison)]
    return [row for row in rows if row is not None]


def scored_by_model(comparison: Comparison) -> dict[str, pd.Series]:
    """Rows of the table by the model's full name."""
    return {str(row["model"]): row for _, row in say.scored_models(comparison).iterrows()}


def model_name(comparison: Comparison, model: str) -> str:
    """A model's name without its descriptor."""
    row = scored_by_model(comparison).get(model)
    return model if row is None else str(row["name"])


def _target(comparison: Comparison) -> str:
    return str(comparison.label["target"] or "target").replace("_", " ")
