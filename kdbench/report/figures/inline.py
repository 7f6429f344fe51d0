"""A figure as SVG inside a page: small, without ids that clash, its colours taken from the page's style sheet."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from kdbench.report.figures.style import COLOURS, INK, RULE, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {INK: "currentColor", RULE: "var(--rule)"} | {c: f"var(--s{i})" for i, c in enumerate(COLOURS)}
_VARIABLES["#ffffff"] = "var(--page)"
_SERIES = re.compile(r"series-(\d+)$")


class StyleSheet:
    """Styles that many figures share, each written once: `style="…"` becomes a class."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}

    def classes(self, svg: str) -> str:
        """`svg` with classes for its styles."""
        return _in_tags(r'style="([^"]*)"', lambda found: f'class="{self._class(found[1])}"', svg)

    def _class(self, style: str) -> str:
        return self._classes.setdefault(style, f"k{len(self._classes)}")

    @property
    def css(self) -> str:
        """The rules of all classes given so far."""
        return "".join(f".{name}{{{style}}}" for style, name in self._classes.items())


def inline_svg(figure: Figure, prefix: str, label: str, styles: StyleSheet) -> str:
    """The figure as one `<svg>` element; its ids begin with `prefix`, its lines bear `data-row`, and `label`, already
    escaped, is what a screen reader says. What its classes mean is in `styles`.
    """
    out = io.StringIO()
    with styled():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = _shorter(_own_ids(svg, prefix))
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    width = f"max-width:{figure.get_figwidth():g}in"
    opening = f'<svg viewBox="{box[1]}" role="img" aria-label="{label}" style="{width}">'
    svg = re.sub(r"<svg [^>]*>", lambda _: opening, svg, count=1)
    return styles.classes(svg)


def _in_tags(pattern: str, replacement: Callable[[re.Match[str]], str], svg: str) -> str:
    """`re.sub` inside tags alone: a label that looks like an attribute stays a label."""
    return re.sub(r"<[^>]*>", lambda tag: re.sub(pattern, replacement, tag[0]), svg)


def _own_ids(svg: str, prefix: str) -> str:
    """Ids that something refers to get the prefix, those of series become `data-row`, the others go."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    names = {name: f"{prefix}{number}" for number, name in enumerate(sorted(used))}

    def renamed(found: re.Match[str]) -> str:
        if series := _SERIES.match(found[1]):
            return f' data-row="{series[1]}"'
        return f' id="{names[found[1]]}"' if found[1] in names else ""

    svg = _in_tags(r' id="([^"]*)"', renamed, svg)
    return _in_tags(r'(url\(#|href="#)([^)"]+)', lambda found: found[1] + names[found[2]], svg)


def _shorter(svg: str) -> str:
    """The same picture in fewer bytes; texts stay as they are."""
    svg = re.sub(r"<style[^>]*>.*?</style>|<defs>\s*</defs>", "", svg, flags=re.S)
    svg = re.sub(r"<clipPath.*?</clipPath>", "", svg, flags=re.S)
    svg = re.sub(r"<[^>]*>", lambda tag: _shorter_tag(tag[0]), svg)
    svg = re.sub(r">\s+<", "><", svg)
    return re.sub(r"<defs></defs>", "", _without_bare_groups(svg))


def _without_bare_groups(svg: str) -> str:
    """Without the groups that bear no attribute."""
    kept: list[bool] = []

    def sifted(tag: re.Match[str]) -> str:
        if tag[0] != "</g>":
            kept.append(tag[0] != "<g>")
            return tag[0] if kept[-1] else ""
        return tag[0] if kept.pop() else ""

    return re.sub(r"<g>|<g [^>]*>|</g>", sifted, svg)


def _shorter_tag(tag: str) -> str:
    tag = re.sub("|".join(_VARIABLES), lambda colour: _VARIABLES[colour[0]], " ".join(tag.split()))
    if re.search(r'style="fill: none"', tag):
        return ""  # matplotlib's transparent backgrounds
    tag = re.sub(r"font: (?:\d+ )?([\d.]+)px [^;\"]*", r"font-size: \1px", tag)
    # The font is the page's.
    tag = re.sub(r" ?font-family: [^;\"]*;?", "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", tag)
    tag = re.sub(r"; stroke-line(cap: square|join: miter)", "", tag).replace("xlink:href", "href")
    # Nothing is drawn beyond its axes.
    tag = re.sub(r' clip-path="[^"]*"', "", tag)
    tag = re.sub(r"([:;]) ", r"\1", tag)
    tag = re.sub(r"-?\d+\.\d+", lambda number: _short(float(number[0])), tag)
    return re.sub(r'(?<= d=")([^"CQ]+)', lambda path: _relative(path[1]), tag)


def _relative(path: str) -> str:
    """A path of M, L and z with each line relative to the point before."""
    x = y = 0.0
    short = []
    for letter, arguments in re.findall(r"([MLz])([^MLz]*)", path):
        if letter == "z":
            short.append("z")
            continue
        to_x, to_y = map(float, arguments.split())
        if letter == "M":
            short.append(f"M{_short(to_x)} {_short(to_y)}")
        else:
            short.append(f"l{_short(to_x - x)} {_short(to_y - y)}")
        x, y = to_x, to_y
    return "".join(short)


def _short(number: float) -> str:
    return f"{round(number, 1) + 0.0:g}"
