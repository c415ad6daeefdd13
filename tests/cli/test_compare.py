"""`runner compare` as a user calls it."""

import base64
import csv
import io
import json
import re
import subprocess
import sys

import pytest
from PIL import Image
from scipy.stats import ttest_rel

from runner.plot import html

ADAM = {"optimizer": "adam"}


@pytest.fixture
def compare(runner):
    """`compare("--by", "optimizer")` gives output and errors."""

    def run(*words, status=0, width=200):
        done = runner("compare", *words, status=status, env={"COLUMNS": str(width)})
        return done.stdout, done.stderr

    return run


@pytest.fixture
def pair(write_run):
    """Three seeds of sgd, and of adam, which is worse, one of which diverged."""
    for seed, value in enumerate([0.90, 0.92, 0.91]):
        write_run(f"outputs/digits/s{seed}", [0.5, value], seed=seed)
        status = "diverged" if seed == 2 else "finished"
        write_run(f"outputs/digits/a{seed}", [0.4, value - 0.1 + seed / 500], seed=seed, choices=ADAM, status=status)


def test_a_real_process(process, pair):
    done = process("compare")
    header, *lines = done.stdout.splitlines()
    assert header.split()[:2] == ["optimizer", "val/accuracy"]
    assert re.match(r"\* +sgd +0\.9100 +0\.0248 +0\.0100 +3 +finished +2 +2\.0 s +1,500 +s1\s*$", lines[0])
    assert re.match(r" +adam +0\.8110 .* 2 +2 finished, 1 diverged", lines[1])
    assert "6 runs in 2 rows" in lines
    assert any(
        line.startswith("* best mean val/accuracy (max); = not distinguishable from it (paired t") for line in lines
    )
    assert lines[-1] == "best run: outputs/digits/s1"
    assert done.stderr == ""


def test_real_runs_are_compared(compare, train):
    runs = {word: train("model=linear", f"optimizer={word}", "engine.epochs=1") for word in ("sgd", "adam")}
    first, second = json.loads(compare("--format", "json", "outputs")[0])
    assert first["mean"] >= second["mean"]
    assert not any("_target_" in key for key in first["keys"])
    for row in (first, second):
        run = runs.pop(row["keys"]["optimizer"])
        assert (row["mean"], row["folder"], row["epochs"]) == (
            run.objective,
            f"outputs/digits-linear/{run.folder.name}",
            1,
        )


def test_comparing_imports_no_torch(pair, tmp_path):
    code = "import sys; from runner import cli\ntry: cli.main(['compare', 'outputs'])\nexcept SystemExit: pass\n"
    code += "print({'torch', 'hydra', 'matplotlib', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "6 runs in 2 rows" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_json_has_every_field_in_full_precision(compare, pair):
    rows = json.loads(compare("--format", "json")[0])
    first, second = rows
    assert (first["verdict"], first["keys"], first["n"]) == ("best", {"optimizer": "sgd"}, 3)
    assert first["mean"] == pytest.approx(0.91, abs=1e-15)
    assert first["ci_low"] < 0.91 < first["ci_high"]
    assert second["status"] == {"finished": 2, "diverged": 1}
    assert second["p_value"] == pytest.approx(ttest_rel([0.90, 0.92], [0.80, 0.822]).pvalue)
    assert [run["value"] for run in first["runs"]] == [0.90, 0.92, 0.91]
    assert first["folder"] == "outputs/digits/s1"
    assert {"std", "interim", "epochs", "seconds", "images_per_second", "metric", "mode"} <= set(first)


def test_csv_has_a_line_a_row_and_nothing_else(compare, pair):
    out, _ = compare("--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["verdict"], row["optimizer"], row["n"]) for row in rows] == [
        ("best", "sgd", "3"),
        ("worse", "adam", "2"),
    ]
    assert float(rows[0]["mean"]) == pytest.approx(0.91, abs=1e-15)
    assert rows[1]["status"] == "2 finished, 1 diverged"
    assert rows[0]["interim"] == ""


def test_markdown_is_a_table_with_the_best_in_bold(compare, write_run):
    write_run("outputs/a", [0.9], **{"data.root": "a|b"})
    write_run("outputs/b", [0.8], **{"data.root": "c"})
    out, _ = compare("--format", "markdown")
    lines = out.splitlines()
    assert lines[0].startswith("|  | data.root | val/accuracy | n |")
    assert set(lines[1]) <= set("|-: ")
    assert lines[2].startswith(r"| **\*** | **a\|b** | **0.9000** |")
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines[:4]} == {lines[0].count("|")}
    assert lines[5].startswith(r"2 runs in 2 rows; \* best mean")


def test_keys_that_change_no_result_make_no_rows_but_those_that_do_are_shown(compare, write_run):
    write_run("outputs/a", [0.9], **{"engine.device": "cpu", "data.num_workers": 1, "engine.num_threads": 1})
    write_run(
        "outputs/b", [0.8, 0.9], seed=1, **{"engine.device": "cuda", "data.num_workers": 8, "engine.num_threads": 2}
    )
    rows = json.loads(compare("--format", "json")[0])
    assert [row["keys"] for row in rows] == [{"engine.epochs": 1}, {"engine.epochs": 2}]
    rows = json.loads(compare("--format", "json", "--by", "engine.device")[0])
    assert [row["keys"] for row in rows] == [{"engine.device": "cpu"}, {"engine.device": "cuda"}]


def test_running_runs_are_in_brackets(compare, write_run):
    write_run("outputs/a", [0.5, 0.9])
    write_run("outputs/b", [0.95, 0.6], status="running", choices=ADAM)
    lines = compare()[0].splitlines()
    assert re.match(r"\* +sgd +0\.9000 +1 +finished", lines[1])
    assert re.match(r" +adam +\(0\.9500\) +0 +running", lines[2])
    assert "values in brackets are of runs that have not finished; they do not count" in lines
    out, _ = compare("--where", "status=running")
    assert "no finished run has a value of val/accuracy yet" in out
    assert "best run" not in out


def test_one_seed_is_said_to_prove_nothing(compare, write_run):
    write_run("outputs/a", [0.9])
    write_run("outputs/b", [0.8], choices=ADAM)
    out, _ = compare()
    assert "? nothing can be said: one value only" in out
    assert re.search(r"^\? +adam", out, re.MULTILINE)
    assert "±" not in out


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_gets_fewer_columns_and_is_told(compare, write_run, width):
    for index in range(3):
        write_run(
            f"outputs/{'long' * 10}/{index}",
            [0.5 + index / 10],
            **{f"model.some_long_key_{k}": index for k in range(9)},
        )
    out, _ = compare(width=width)
    lines = out.splitlines()
    assert all(len(line.rstrip()) <= width for line in lines if not line.startswith("best run"))
    assert "…" not in out
    assert "val/accuracy" in out
    assert re.search(r"(\d+) columns left out for want of width: ", out)
    wide, _ = compare(width=400)
    assert "left out" not in wide
    assert all(f"some_long_key_{k}" in wide for k in range(9))


def test_a_narrow_terminal_keeps_what_tells_rows_apart(compare, write_run):
    """First the option, then the key that varies within it; what the option decides goes, however narrow."""
    for index in range(6):
        own = {"optimizer": ("adam", "rmsprop")[index % 2]}
        decided = {"optimizer.eps": 1 + index % 2, "model.m": 3 + index % 2}  # in its own section, and in another
        lr = {"optimizer.lr": 0.123456 / (1 + index)}
        write_run(f"outputs/{index}", [0.5 + index / 10], choices=own, **{"engine.dull": index // 3}, **decided, **lr)
    wide = compare(width=200)[0].splitlines()[1].split()
    assert wide[:5] == ["optimizer", "lr", "dull", "m", "val/accuracy"]
    header = " ".join(compare(width=46)[0].splitlines()[:2])
    assert all(word in header for word in ("optimizer", "lr", "val/accuracy"))
    assert not {"m", "eps"} & set(header.split())
    note = " ".join(compare(width=46)[0].split())
    assert re.search(r"left out for want of width: .*model\.m.* \(a wider terminal or --format markdown", note)
    assert "left out, for they follow from the others: optimizer.eps" in note


def test_no_two_rows_look_the_same_however_narrow(compare, write_run):
    for index in range(4):
        long = {f"model.a_very_long_key_{key}": (index >> key) % 2 for key in range(2)}
        write_run(f"outputs/{index}", [0.5 + index / 10], **long)
    for width in (30, 40, 60, 200):
        rows = compare(width=width)[0].splitlines()[2:6]
        without_score = [re.sub(r"0\.\d{4}", "", row).strip("*? ") for row in rows]
        assert len(set(without_score)) == 4, width


def test_what_is_the_same_in_all_rows_shown_goes_before_what_is_not(compare, write_run):
    for index in range(6):
        own = {"optimizer": "adam" if index < 3 else "rmsprop"}
        write_run(f"outputs/{index}", [0.5 + index / 10], choices=own, **{"model.width": 1000 + index})
    lines = compare("--limit", "2", width=28)[0].splitlines()
    assert " ".join(lines[:2]).split() == ["model.", "width", "val/accuracy", "n"]


def test_damaged_runs_are_named_and_the_rest_is_shown(compare, pair, tmp_path):
    (tmp_path / "outputs/digits/s0/run.json").write_text("{")
    (tmp_path / "outputs/digits/a0/config.yaml").unlink()
    out, err = compare()
    assert "4 runs in 2 rows" in out
    assert [line.partition(": cannot be read")[0] for line in err.splitlines()] == [
        "runner: outputs/digits/a0/config.yaml",
        "runner: outputs/digits/s0/run.json",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: no runs here"),
        (["outputs/digits/bad"], "outputs/digits/bad: no run here can be read"),
        (["--by", "optimizr"], "--by optimizr: no run has such a key; did you mean 'optimizer'?"),
        (["--metric", "val/acc"], "--metric val/acc: no run has this metric; did you mean 'val/accuracy'?"),
        (["--metric", "lr"], "--mode: lr is neither accuracy nor loss"),
        (["--where", "optimizer=muon"], "--where optimizer=muon: none of the 6 runs meets this"),
        (["--sort", "-vall"], "--sort vall: no such column"),
        (["--figure", "a.jpg"], "--figure a.jpg: must end in .png"),
        (["--html", "nowhere/a.html"], "--html nowhere/a.html: no such folder nowhere"),
    ],
)
def test_a_mistake_is_one_line(compare, pair, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "outputs/digits/bad").mkdir()
    (tmp_path / "outputs/digits/bad/run.json").write_text("{")
    out, err = compare(*words, status=2)
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith(f"runner: {message}")
    assert [line for line in err.splitlines() if "bad/run.json" not in line] == [last]


def test_without_runs_the_default_folder_is_named(compare):
    _, err = compare(status=2)
    assert err.startswith("runner: outputs: no such folder")


def test_the_metric_is_the_runs_own_objective(compare, write_run, tmp_path):
    path = write_run("outputs/a", [0.9])
    record = json.loads((path / "run.json").read_text())
    record["objective"] = {"name": "val/loss", "mode": "min", "value": 0.123, "epoch": 1}
    (path / "run.json").write_text(json.dumps(record))
    (row,) = json.loads(compare("--format", "json")[0])
    assert (row["metric"], row["mode"], row["mean"]) == ("val/loss", "min", 0.123)
    write_run("outputs/b", [0.8], choices=ADAM)
    rows = json.loads(compare("--format", "json")[0])
    assert {row["metric"] for row in rows} == {"val/accuracy"}
    (worst,) = json.loads(compare("--format", "json", "--mode", "min", "--limit", "1")[0])
    assert worst["mean"] == 0.8


def test_limit_and_sort(compare, write_run):
    for index in range(4):
        write_run(f"outputs/{index}", [0.5 + index / 10], **{"optimizer.lr": 10.0**-index})
    rows = json.loads(compare("--format", "json", "--sort", "-optimizer.lr", "--limit", "2")[0])
    assert [row["keys"]["optimizer.lr"] for row in rows] == [1.0, 0.1]
    out, _ = compare("--sort", "-optimizer.lr", "--limit", "2")
    assert "2 more rows (--limit)" in out
    assert out.rstrip().endswith("best run: outputs/3")
    _, err = compare("--limit", "0", status=2)
    assert err == "runner: compare: --limit: must be a whole number above 0, not '0'; see runner compare --help\n"


def test_the_page_needs_nothing_else_and_is_escaped(compare, write_run, tmp_path):
    for seed in range(3):
        write_run(f"outputs/a{seed}", [0.5, 0.9 + seed / 100], seed=seed, **{"model.note": "<script>alert(1)</script>"})
        write_run(f"outputs/b{seed}", [0.5, 0.6 + seed / 100], seed=seed, **{"model.note": "plain & simple"})
    out, _ = compare("--html", "report.html", "--figure", "curves.png")
    assert out.rstrip().endswith("wrote curves.png\nwrote report.html")
    text = (tmp_path / "report.html").read_text()
    assert re.findall(r"<script>(.*?)</script>", text, re.DOTALL) == [html.SCRIPT]
    pictures = [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"')]+)", text)]
    assert len(pictures) == len(html.FORMS)
    assert len({Image.open(io.BytesIO(picture)).size for picture in pictures}) == 2  # wide and narrow
    assert "&lt;script&gt;alert(1)" in text
    assert "plain &amp; simple" in text
    assert text.count("<tr") == 3
    assert re.findall(r'(?:src|srcset|href)="([^"]{0,22})', text) == ["data:image/png;base64,"] * 4
    assert "= not distinguishable from it" in text
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert compare("--format", "csv", "--figure", "curves.png")[0].count("\n") == 3  # and no word of the file


def test_where_nothing_is_best_no_row_of_the_page_is_marked(compare, write_run, tmp_path):
    for number in range(2):
        write_run(f"outputs/{number}", [None], status="diverged", **{"optimizer.lr": 10.0**number})
    compare("--html", "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("<tr") == 3
    assert '<tr class="best"' not in text


# ---------------------------------------------------------------------------------------------------------------------
# Sweeps


@pytest.fixture
def swept(write_run, tmp_path):
    """A search whose luckiest trial, of lr=0.1, is worse on the fresh seeds of the finals."""

    def write(number, lr, seed, value, kind, status="finished", sweep="outputs/digits/sweep"):
        path = write_run(f"{sweep}/trials/{number:04d}", [value], seed=seed, status=status, **{"optimizer.lr": lr})
        record = json.loads((path / "run.json").read_text())
        about = {"round": {"index": int(kind == "finals"), "kind": kind}}
        (path / "run.json").write_text(json.dumps(record | about))
        (tmp_path / sweep / "sweep.json").write_text("{}")

    write(0, 0.1, 0, 0.99, "search")
    write(1, 0.2, 0, 0.90, "search")
    for seed in (1, 2):
        write(2 * seed, 0.1, seed, 0.80 + seed / 1000, "finals")
        write(2 * seed + 1, 0.2, seed, 0.88 + seed / 1000, "finals")
    return write


def test_of_a_sweep_with_finals_the_finals_decide(compare, swept):
    rows = json.loads(compare("--format", "json")[0])
    assert [(row["keys"], row["n"]) for row in rows] == [({"optimizer.lr": 0.2}, 2), ({"optimizer.lr": 0.1}, 2)]
    out, _ = compare()
    assert "4 runs in 2 rows" in out
    note = "2 search trials left out: the finals ran the best of them again, on fresh seeds "
    note += "(--include-search-trials shows them too)"
    assert note in out.splitlines()
    assert note in compare("--format", "markdown")[0].splitlines()
    assert compare("--format", "csv")[1] == f"runner: {note}\n"


@pytest.mark.parametrize("by", [[], ["--by", "optimizer.lr"]])
def test_search_trials_are_rows_of_their_own(compare, swept, by):
    rows = json.loads(compare("--include-search-trials", "--format", "json", *by)[0])
    found = [(row["keys"]["optimizer.lr"], row["keys"]["round"], row["n"], row["verdict"]) for row in rows]
    assert found[0] == (0.2, "finals", 2, "best")  # as without them
    assert found[1:3] == [(0.1, "search", 1, ""), (0.2, "search", 1, "")]
    assert found[3] == (0.1, "finals", 2, "worse")
    out, _ = compare("--include-search-trials")
    assert "search trials have no sign: the best of many is so by luck too" in out
    assert "left out" not in out


def test_finals_are_pooled_with_plain_runs_of_their_setting(compare, swept, write_run):
    write_run("outputs/plain", [0.883], seed=3, **{"optimizer.lr": 0.2})
    first, _ = json.loads(compare("--format", "json")[0])
    assert (first["keys"], first["n"]) == ({"optimizer.lr": 0.2}, 3)


def test_a_search_without_finished_finals_is_shown(compare, swept):
    for number, status in enumerate(("finished", "running")):
        kind = "search" if status == "finished" else "finals"
        swept(number, 0.3, number, 0.95, kind, status, sweep="outputs/digits/other")
    rows = json.loads(compare("--format", "json")[0])
    assert [(row["keys"]["optimizer.lr"], row["keys"]["round"]) for row in rows if row["keys"]["optimizer.lr"] == 0.3]
    assert "2 search trials left out" in compare()[0]
    rows = json.loads(compare("--format", "json", "--where", "round=search")[0])
    assert sorted(row["keys"]["optimizer.lr"] for row in rows) == [0.1, 0.2, 0.3]
