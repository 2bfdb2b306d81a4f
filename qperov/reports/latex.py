r"""The table of scores for LaTeX: booktabs, plain ASCII, every text escaped, so that any engine typesets it.

A document needs ``\usepackage{booktabs}`` and takes the file with ``\input{table.tex}``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pylatexenc.latexencode import (
    RULE_DICT,
    UnicodeToLatexConversionRule,
    UnicodeToLatexEncoder,
    get_builtin_uni2latex_dict,
)

from qperov.evaluation.results import Comparison
from qperov.reports.words import findings as say
from qperov.reports.words.introduction import class_counts
from qperov.reports.words.number_format import significant

#: Commands of LaTeX itself, in text and in formulas; a character that needs a package, even textcomp, is not typeset.
TEXT = (
    "textbackslash textasciicircum textasciitilde textperiodcentered textendash textemdash textellipsis textquoteleft "
    "textquoteright textquotedblleft textquotedblright ss o O l L ae AE oe OE i v u H c r"
)
FORMULA = (
    "ensuremath pm leq geq approx infty alpha beta gamma delta varepsilon epsilon zeta eta theta vartheta iota kappa "
    "lambda mu nu xi pi rho sigma tau upsilon varphi phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon "
    "Phi Psi Omega"
)
#: Letters with a stroke, for which pylatexenc has a macron.
WRONG = "ĦŦŧ"
#: Where pylatexenc is wrong (double acute, ħ), needs textcomp, or leaves a character that the font OT1 lacks.
OWN = {
    "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", '"': r"\char34{}", "`": r"\`{}", "ű": r"\H{u}",
    "Ű": r"\H{U}", "ħ": r"$\hbar$", "¹": "$^1$", "²": "$^2$", "³": "$^3$", "×": r"$\times$", "→": r"$\to$",
    "°": r"$^{\circ}$", "√": r"$\surd$", "µ": r"$\mu$",
}  # fmt: skip
#: Scores of the table, with their headings.
SHOWN = (("mae", "MAE"), ("rmse", "RMSE"), ("r2", "$R^2$"), ("spearman", r"Spearman $\rho$"))
SHOWN_OF_CLASSES = (
    ("balanced_accuracy", "Balanced accuracy"), ("accuracy", "Accuracy"), ("macro_f1", "Macro F1"),
    ("log_loss", "Log loss"),
)  # fmt: skip


def latex_table(comparison: Comparison) -> str:
    """A ``table`` of every model's scores, by descriptor, best first, with 95 % intervals below them."""
    table = say.scored_models(comparison)
    unit = escape(str(comparison.label.get("unit") or ""))
    costs = [name for name in ("seconds", "memory_mb") if name in table]
    shown = SHOWN_OF_CLASSES if comparison.classes else SHOWN
    heads = ["Model", *(head for _, head in shown), *({"seconds": "Time", "memory_mb": "Memory"}[c] for c in costs)]
    units = [
        "",
        *(unit if name in ("mae", "rmse") else "" for name, _ in shown),
        *({"seconds": "s", "memory_mb": "MB"}[c] for c in costs),
    ]
    width = len(heads)
    lines = [
        "% Made by qperov of a run's record. In the preamble: \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\footnotesize",
        rf"\caption{{{_caption(comparison)}}}",
        r"\label{tab:scores}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        _line(heads),
        _line([rf"({part})" if part else "" for part in units]),
    ]
    for heading, rows in say.score_blocks(comparison):
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape(heading)}}}}} \\"]
        for _, row in rows.iterrows():
            scores = [say.interval(row, metric) for metric, _ in shown]
            values = [escape(value) for value, _ in scores]
            ends = [rf"{{\scriptsize [{escape(text.replace(' … ', ', '))}]}}" if text else "" for _, text in scores]
            prices = [escape(significant(float(row[name]), 2)) for name in costs]
            lines += [_line([escape(row["name"]), *values, *prices])]
            lines += [_line(["", *ends, *[""] * len(costs)])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _caption(comparison: Comparison) -> str:
    label, unit = comparison.label, say.with_unit(comparison)
    what = f"{label['target'] or 'the target'} of {label['n']} {say.samples(comparison)} of {label['name']}"
    text = f"Out-of-fold scores for {what}, with 95 % intervals by bootstrap over independent groups. "
    if comparison.classes:
        text += f"Classes: {'; '.join(class_counts(comparison))}."
    else:
        text += f"Standard deviation of the label: {significant(label['sd'])}{unit}."
    if origin := " ".join(label["provenance"]):
        text += f" Labels: {origin}."
    return escape(text)


def _line(cells: list[str]) -> str:
    # a bracket or star at the start of a row would be taken for an argument of the \\ before it
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def escape(text: Any) -> str:
    """Any text as ASCII that LaTeX typesets; characters without a command become their code point, as in [U+4E2D]."""
    spaced = "".join(" " if character.isspace() else character for character in str(text))
    return _encoder().unicode_to_latex("".join(c for c in spaced if c.isprintable() or not c.isascii()))


@cache
def _encoder() -> UnicodeToLatexEncoder:
    known = {
        code: re.sub(r"\\ensuremath\{(.*)\}", r"$\1$", latex)
        for code, latex in get_builtin_uni2latex_dict().items()
        if chr(code) not in WRONG and _needs_no_package(latex)
    } | {ord(character): latex for character, latex in OWN.items()}
    return UnicodeToLatexEncoder(
        conversion_rules=[UnicodeToLatexConversionRule(RULE_DICT, known)],
        replacement_latex_protection="braces-after-macro",
        unknown_char_policy=lambda character: f"[U+{ord(character):04X}]",
        unknown_char_warning=False,
    )


def _needs_no_package(latex: str) -> bool:
    allowed = FORMULA if latex.startswith(r"\ensuremath{") else TEXT
    return set(re.findall(r"\\([a-zA-Z]+)", latex)) <= set(allowed.split())
