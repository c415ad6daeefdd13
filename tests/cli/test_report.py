"""`runner report`: a page about a run, or about several."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image


class Cells(HTMLParser):
    """The texts of a page's table cells, row by row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th") or (self.inside and tag == "a")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


@pytest.fixture
def runs(runner):
    runner("train", "model=linear", "engine.epochs=2", "seed=3", "log.tensorboard=false")
    runner("train", "model=linear", "engine.epochs=2", "optimizer=sgd", "log.tensorboard=false")
    return runner.runs()


def test_the_page_of_a_run_has_its_choices_scores_pictures_and_environment(runner, runs):
    runner("test", runs[0])
    assert runner("report", runs[0]).stdout == f"wrote {runs[0]}/report.html\n"
    text = (runs[0] / "report.html").read_text()
    rows = Cells(text).rows
    tested = json.loads((runs[0] / "test.json").read_text())
    record = json.loads((runs[0] / "run.json").read_text())
    assert f"best val/accuracy {record['objective']['value']:.4f} in epoch {record['objective']['epoch']}" in text
    scores = next(row for row in rows if row and row[0] == runs[0].name)
    assert scores[3] == f"{tested['accuracy']:.4f}"
    assert ["seed", "3"] in rows
    assert ["optimizer", "adamw"] in rows
    for key, value in {"name": "null", "log.tensorboard": "false", "optimizer.betas": "[0.9,0.999]"}.items():
        assert [key, value] in rows, "as on the command line"
    assert next(row for row in rows if row[0] == "3")[1] == str(tested["classes"]["3"]["num_images"])
    assert any(row[0] == "torch" for row in rows)
    assert "runner train model=linear engine.epochs=2 seed=3" in text
    assert len(re.findall(r"<figure>", text)) == 4  # confusion, mistakes, least sure, reliability
    assert len(re.findall(r"<picture", text)) == 2  # accuracy and loss
    pngs = [base64.b64decode(png) for png in re.findall(r'<picture.*?base64,([^"]+)"', text)]
    wide = base64.b64decode(re.search(r'<picture.*?<img alt="accuracy[^>]*base64,([^"]+)"', text)[1])
    widths = [Image.open(io.BytesIO(png)).width for png in (*pngs, wide)]
    assert widths[0] == widths[1] < widths[2], "the first form is that of a phone"
    assert not re.findall(r"(?:src|href)=.?https?:", text), "it works without a network"


def test_several_runs_stand_side_by_side_with_what_differs_first(runner, runs):
    assert runner("report", *runs).stdout == "wrote report.html\n"
    text = (runner.folder / "report.html").read_text()
    differ, alike = text.split("In these they are alike:")
    rows = Cells(differ).rows
    assert ["optimizer", "adamw", "sgd"] in rows
    assert ["seed", "3", "0"] in rows
    assert ["model", "linear"] in Cells(alike).rows
    assert not any(row[0] == "model" for row in rows)


def test_an_untested_run_has_a_page_too_and_text_is_no_markup(runner, runs):
    runner("note", runs[1], "<b>1 & 2</b>")
    runner("report", runs[1], "--out", "page.html")
    text = (runner.folder / "page.html").read_text()
    assert "Test split" not in text
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in text


@pytest.mark.slow
def test_a_sweep_that_was_short_has_its_page_when_it_is_asked_for(runner):
    short = ["sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0", "log.tensorboard=false", "name=it"]
    out = runner("sweep", "model=linear", "optimizer.lr=loguniform(1e-3,1e-1)", *short).stdout
    folder = Path("outputs/it/0001-sweep-lr")
    page = runner.folder / folder / "report.html"
    assert not page.exists()
    assert f"runner report {folder}" in out
    record = (runner.folder / folder / "sweep.json").read_bytes()
    assert runner("report", "last").stdout == f"wrote {folder}/report.html\n"
    assert "runner train" in page.read_text()
    assert (runner.folder / folder / "sweep.json").read_bytes() == record
    page.write_text("old")
    runner("resume", "last", "sweep.num_finalists=1")
    assert page.read_text() != "old", "a page that is there does not grow old"
    assert "give it alone" in runner("report", "last", "last", status=2).stderr
    assert "leave --out out" in runner("report", "last", "--out", "page.html", status=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [(["report", "nowhere"], "nowhere/run.json: no such file"), (["report"], "report: the following arguments")],
)
def test_mistakes_are_one_line(runner, words, said):
    done = runner(*words, status=2)
    assert done.stderr.startswith(f"runner: {said}")
    assert done.stderr.count("\n") == 1


def test_the_page_of_a_sweep_stays_in_its_folder(runner, tmp_path):
    folder = tmp_path / "outputs/digits/0001"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text("{}")
    done = runner("report", folder, "--out", "page.html", status=2)
    assert "--out: the page of a sweep shows the figures in its folder; leave --out out" in done.stderr
