r"""The table of scores for LaTeX: booktabs, plain ASCII, every text escaped, so that any engine typesets it.

A document needs ``\usepackage{booktabs}`` and takes the file with ``\input{table.tex}``.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from qperov.evaluation.results import Comparison
from qperov.reports.words import findings as say
from qperov.reports.words.number_format import significant

#: Characters with a meaning in LaTeX, and those that the names of models, units and crystals use.
COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", "`": r"\`{}", "·": r"\textperiodcentered{}", "–": "--", "—": "---",
    "…": r"\ldots{}", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "√": r"$\surd$", "∞": r"$\infty$", "→": r"$\to$", "°": r"$^{\circ}$", "Å": r"\AA{}", "µ": r"$\mu$",
    "∆": r"$\Delta$", "\u2018": "`", "\u2019": "'", "\u201c": "``", "\u201d": "''", "ß": r"\ss{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}",
    "⁻": "$^{-}$", "₋": "$_{-}$",
}  # fmt: skip
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0304": "=", "\u0307": ".",
    "\u030c": "v", "\u0306": "u", "\u030b": "H", "\u0327": "c", "\u030a": "r",
}  # fmt: skip
#: Scores of the table, with their headings.
SHOWN = (("mae", "MAE"), ("rmse", "RMSE"), ("r2", "$R^2$"), ("spearman", r"Spearman $\rho$"))


def latex_table(comparison: Comparison) -> str:
    """A ``table`` of every model's scores, by descriptor, best first, with 95 % intervals below them."""
    table = say.scored_models(comparison)
    unit = escape(str(comparison.label.get("unit") or ""))
    costs = [name for name in ("seconds", "memory_mb") if name in table]
    heads = ["Model", *(head for _, head in SHOWN), *({"seconds": "Time", "memory_mb": "Memory"}[c] for c in costs)]
    units = ["", unit, unit, "", "", *({"seconds": "s", "memory_mb": "MB"}[c] for c in costs)]
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
            scores = [say.interval(row, metric) for metric, _ in SHOWN]
            values = [escape(value) for value, _ in scores]
            ends = [rf"{{\scriptsize [{escape(text.replace(' … ', ', '))}]}}" if text else "" for _, text in scores]
            prices = [escape(significant(float(row[name]), 2)) for name in costs]
            lines += [_line([escape(row["name"]), *values, *prices])]
            lines += [_line(["", *ends, *[""] * len(costs)])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _caption(comparison: Comparison) -> str:
    label, unit = comparison.label, say.with_unit(comparison)
    what = f"{label['target'] or 'the target'} of {label['n']} crystals of {label['name']}"
    text = f"Out-of-fold scores for {what}, with 95 % intervals by bootstrap over independent groups of crystals. "
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
    return "".join(_escaped(character) for character in unicodedata.normalize("NFC", str(text)))


def _escaped(character: str) -> str:
    if character in COMMANDS:
        return COMMANDS[character]
    if character in GREEK:
        return rf"$\{GREEK[character]}$"
    if character.isspace():
        return " "
    if character.isascii():
        return character if character.isprintable() else ""
    plain, made_of = unicodedata.normalize("NFKD", character), unicodedata.decomposition(character)
    if len(plain) == 2 and plain[0].isascii() and plain[0].isalpha() and plain[1] in ACCENTS:
        return rf"\{ACCENTS[plain[1]]}{{{plain[0]}}}"
    if plain.isascii() and plain.isalnum() and made_of.startswith(("<super>", "<sub>")):
        return rf"${'^' if made_of.startswith('<super>') else '_'}{{\mathrm{{{plain}}}}}$"
    return f"[U+{ord(character):04X}]"
