"""Results as one HTML file that needs nothing else: style and pictures are inside."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

STYLE = """\
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #ffffff; --line: #d5d9de; --quiet: #5b636d; --good: #e3f3e6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #16191d; --line: #3a4048; --quiet: #9aa3ad; --good: #1d3a26 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 0 .2rem } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem } a { color: inherit }
p { margin: .4rem 0 } .lead { font-size: 1.05rem; font-weight: 600; margin: 1rem 0 }
.quiet { color: var(--quiet) }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: pre }
th { white-space: pre; vertical-align: bottom; border-bottom: 2px solid var(--line) } .right { text-align: right }
tr.best { background: var(--good); font-weight: 600 }
td.text { white-space: normal; min-width: 16rem; overflow-wrap: anywhere } figure { margin: 1.2rem 0 }
figcaption { color: var(--quiet); max-width: 60rem; margin-bottom: .4rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; padding: .7rem .9rem;
  border: 1px solid var(--line); border-radius: 6px }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; padding: .5rem; box-sizing: border-box }
.forms img { background: none; padding: 0 }
th[aria-sort] { cursor: pointer } th[aria-sort]:hover { text-decoration: underline }
th[aria-sort=ascending]::after { content: " ▲" } th[aria-sort=descending]::after { content: " ▼" }
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 .6rem } th, td { padding: .3rem .45rem } }
"""
# A click on a heading sorts by it: numbers as such, text as text, cells without a value last.
SCRIPT = """\
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.setAttribute("aria-sort", "none"); head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => {
        const text = row.cells[column].textContent.trim();
        const number = parseFloat(text.replace(/[(),]/g, ""));
        return [text === "" || text === "-" ? 2 : isNaN(number) ? 1 : 0, number, text];
      };
      const rows = [...body.rows].map(row => [key(row), row]);
      rows.sort(([a], [b]) => a[0] !== b[0] ? a[0] - b[0] : (down ? -1 : 1) *
        (a[0] === 0 ? a[1] - b[1] : a[2].localeCompare(b[2])));
      rows.forEach(([, row]) => body.append(row));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
"""
# An image may be dark, and narrow. The first form whose conditions hold is shown.
FORMS = ((True, True), (True, False), (False, True), (False, False))
CONDITIONS = ("(prefers-color-scheme: dark)", "(max-width: 40rem)")
SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()  # no other script may run


@dataclass(frozen=True)
class Link:
    """A cell that leads to a file or folder, relative to the page."""

    text: str
    target: str


@dataclass(frozen=True)
class Cells:
    """A table as text. `right` says which columns are numbers; `best` which row to highlight, if any."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    right: Sequence[bool]
    best: int | None = None
    prose: Sequence[int] = ()  # columns whose text may take several lines


def page(title: str, subtitle: str, body: Sequence[str]) -> str:
    """A whole page around a body that is HTML already."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            f"img-src data:; script-src 'sha256-{SCRIPT_DIGEST}'\">",
            f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            paragraph(subtitle, "quiet"),
            *body,
            f"<script>{SCRIPT}</script>",
            "</body>\n</html>\n",
        ]
    )


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is "quiet" or "lead" where it is one of these."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def verbatim(text: str) -> str:
    """A command or other text that is to be copied."""
    return f"<pre>{escape(text)}</pre>"


def picture(png: bytes, what: str) -> str:
    """An image within the page; `what` is for who cannot see it."""
    return f'<img alt="{escape(what)}" src="{_inside(png)}">'


def picture_in_forms(pngs: Mapping[tuple[bool, bool], bytes], what: str) -> str:
    """An image that follows the page: for each of FORMS its own."""
    sources = []
    for form, png in pngs.items():
        conditions = [text for text, holds in zip(CONDITIONS, form, strict=True) if holds]
        if conditions:
            sources.append(f'<source media="{" and ".join(conditions)}" srcset="{_inside(png)}">')
    return f'<picture class="forms">{"".join(sources)}{picture(pngs[False, False], what)}</picture>'


def _inside(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def captioned(png: bytes, what: str, caption: str) -> str:
    """An image with a caption above it."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{picture(png, what)}</figure>"


def table(cells: Cells) -> str:
    """The table, which can be scrolled sideways where it is wide."""
    sides = [' class="right"' if right else "" for right in cells.right]
    for column in cells.prose:
        sides[column] = ' class="text"'
    head = "".join(
        f"<th{side if right else ''}>{escape(text)}</th>"
        for side, right, text in zip(sides, cells.right, cells.headings, strict=True)
    )
    lines = [f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>']
    for index, row in enumerate(cells.rows):
        data = "".join(f"<td{side}>{_cell(cell)}</td>" for side, cell in zip(sides, row, strict=True))
        lines.append(f'<tr class="best">{data}</tr>' if index == cells.best else f"<tr>{data}</tr>")
    return "\n".join([*lines, "</tbody>\n</table></div>"])


def _cell(cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f'<a href="{escape(quote(cell.target))}">{escape(cell.text)}</a>'
    return escape(cell)
