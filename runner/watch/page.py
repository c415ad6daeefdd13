"""A comparison as one HTML file that needs nothing else: style and picture are inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """\
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #ffffff; --line: #d5d9de; --quiet: #5b636d; --good: #e3f3e6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #16191d; --line: #3a4048; --quiet: #9aa3ad; --good: #1d3a26 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 0 .2rem }
p { margin: .4rem 0 } .quiet { color: var(--quiet) }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap }
th { white-space: pre; vertical-align: bottom; border-bottom: 2px solid var(--line) } .right { text-align: right }
tr.best { background: var(--good); font-weight: 600 }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; padding: .5rem; box-sizing: border-box }
"""


@dataclass(frozen=True)
class Cells:
    """A table as text. `right` says which columns are numbers; `best` which row to highlight, if any."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[bool]
    best: int | None = None


def comparison_page(title: str, subtitle: str, cells: Cells, notes: Sequence[str], png: bytes) -> str:
    """The page: table, notes beneath it, picture."""
    picture = base64.b64encode(png).decode()
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(subtitle)}</p>',
        f'<div class="wide">{_table(cells)}</div>',
        *(f"<p>{escape(note)}</p>" for note in notes),
        f'<p><img alt="{escape(title)} over epochs" src="data:image/png;base64,{picture}"></p>',
    ]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            'img-src data:">',
            f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def _table(cells: Cells) -> str:
    sides = [' class="right"' if right else "" for right in cells.right]
    head = "".join(f"<th{side}>{escape(text)}</th>" for side, text in zip(sides, cells.headings, strict=True))
    lines = [f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>"]
    for index, row in enumerate(cells.rows):
        data = "".join(f"<td{side}>{escape(text)}</td>" for side, text in zip(sides, row, strict=True))
        lines.append(f'<tr class="best">{data}</tr>' if index == cells.best else f"<tr>{data}</tr>")
    return "\n".join([*lines, "</tbody>\n</table>"])
