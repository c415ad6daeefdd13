"""Pages that need nothing else, and whose text is text."""

import base64
import hashlib
import re

from runner.plot import html
from runner.plot.html import Cells, Link

ODD = "<b>&\"'"
ESCAPED = "&lt;b&gt;&amp;&quot;&#x27;"


def test_a_table_has_a_cell_for_each_value_and_marks_numbers_and_the_best_row():
    text = html.table(Cells(["name", "n"], [["a", "1"], ["b", "2"]], [False, True], best=1))
    assert text.splitlines() == [
        '<div class="wide"><table>',
        '<thead><tr><th>name</th><th class="right">n</th></tr></thead>',
        "<tbody>",
        '<tr><td>a</td><td class="right">1</td></tr>',
        '<tr class="best"><td>b</td><td class="right">2</td></tr>',
        "</tbody>",
        "</table></div>",
    ]


def test_prose_may_take_several_lines_and_its_heading_is_none():
    text = html.table(Cells(["why"], [["long"]], [False], prose=[0]))
    assert "<th>why</th>" in text
    assert '<td class="text">long</td>' in text
    assert 'class="best"' not in text


def test_a_link_leads_to_its_file_whatever_the_name():
    text = html.table(Cells(["folder"], [[Link("a <b>", "runs/a b?#<.html")]], [False]))
    assert '<td><a href="runs/a%20b%3F%23%3C.html">a &lt;b&gt;</a></td>' in text


def test_all_text_is_escaped():
    assert html.heading(ODD) == f"<h2>{ESCAPED}</h2>"
    assert html.paragraph(ODD) == f"<p>{ESCAPED}</p>"
    assert html.paragraph(ODD, "lead") == f'<p class="lead">{ESCAPED}</p>'
    assert html.verbatim(ODD) == f"<pre>{ESCAPED}</pre>"
    assert f"<td>{ESCAPED}</td>" in html.table(Cells([ODD], [[ODD]], [False]))
    page = html.page(ODD, ODD, [])
    assert page.count(ESCAPED) == 3  # title, heading, subtitle
    assert ODD not in page


def test_pictures_are_within_the_page_with_words_for_who_cannot_see_them():
    inside = f'<img alt="{ESCAPED}" src="data:image/png;base64,{base64.b64encode(b"png").decode()}">'
    assert html.picture(b"png", ODD) == inside
    assert html.captioned(b"png", ODD, "so <") == f"<figure><figcaption>so &lt;</figcaption>{inside}</figure>"


def test_a_page_loads_nothing_from_elsewhere():
    body = [html.table(Cells(["name"], [["a"]], [False])), html.paragraph("note"), html.picture(b"png", "over epochs")]
    page = html.page("two runs", "of today", body)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    order = [page.index(part) for part in ("<h1>two runs</h1>", 'quiet">of today', "<td>a<", "note", "<img")]
    assert order == sorted(order)


def test_the_only_script_that_may_run_is_ours():
    page = html.page("a", "b", [])
    digest = base64.b64encode(hashlib.sha256(html.SCRIPT.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert f"<script>{html.SCRIPT}</script>" in page


def test_a_picture_in_forms_names_each_for_its_page():
    pngs = {form: bytes([number]) for number, form in enumerate(html.FORMS)}
    text = html.picture_in_forms(pngs, "curves")
    media = re.findall(r'media="([^"]*)" srcset="data:image/png;base64,([^"]*)"', text)
    dark, narrow = "(prefers-color-scheme: dark)", "(max-width: 40rem)"
    coded = [base64.b64encode(bytes([number])).decode() for number in range(4)]
    assert media == [(f"{dark} and {narrow}", coded[0]), (dark, coded[1]), (narrow, coded[2])]
    assert f'<img alt="curves" src="data:image/png;base64,{coded[3]}">' in text
