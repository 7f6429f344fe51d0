"""Names and sentences of plugins and files as plain text of a format: nothing in them is markup or a formula."""

from __future__ import annotations

import re

_LATEX = {"\\": r"\textbackslash{}", "–": "--", "→": r"$\to$", "✓": r"\checkmark{}", "±": r"$\pm$", "†": r"$\dagger$"}
_LATEX |= {"‡": r"$\ddagger$", "−": "$-$", "×": r"$\times$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX |= {character: f"${character}$" for character in "<>|"}
# In braces, lest `\\` and booktabs' rules take them for their options.
_LATEX |= {character: f"{{{character}}}" for character in "[]*"}
_LATEX |= dict.fromkeys("\n\t", " ")
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "λ": "lambda", "μ": "mu"}
_GREEK |= {"ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ψ": "psi", "ω": "omega", "Σ": "Sigma", "Δ": "Delta"}
_LATEX |= {letter: rf"$\{name}$" for letter, name in _GREEK.items()}
#: Below U+0180, what pdflatex stops at in OT1, the encoding of a document that asks for no other.
_UNSET = frozenset("«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ")


def latex(text: str) -> str:
    """For LaTeX; what pdflatex cannot set is written by its number."""
    return "".join(_LATEX.get(character) or _plain(character) for character in text)


def _plain(character: str) -> str:
    known = character.isprintable() and ord(character) < 0x180 and character not in _UNSET
    return character if known else rf"\texttt{{U+{ord(character):04X}}}"


def markdown(text: str) -> str:
    """For a line or a table's cell of Markdown; line ends stay as `<br>`."""
    # A bracket alone is one; it opens a link only by what follows its end. An underscore inside a word is one, too.
    special = r"([\\`*<>|~]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_]))"
    return re.sub(special, r"\\\1", text).replace("&", "&amp;").replace("\n", "<br>")


def csv_cell(text: str) -> str:
    """For CSV that a spreadsheet opens: an apostrophe before what it would take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
