"""Completion, as the shells ask for it, and in the shells themselves."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import runner as package
from runner import config
from runner.command.completion import FLAGS, SHELLS, _read, answer, candidates, values_in
from runner.command.table import COMMANDS
from runner.config.checking import _hints
from runner.constraints import problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("t", ["tag", "test", "train"]),
        ("", sorted(COMMANDS)),
        ("nothing ", []),
        ("train optimizer=ada", ["optimizer=adagrad", "optimizer=adam", "optimizer=adamw"]),
        ("train optimizer=adam,ada", ["optimizer=adam,adagrad", "optimizer=adam,adamw"]),
        ("train reg=[l2,dropo", ["reg=[l2,dropout"]),
        ("train reg=[drop", ["reg=[dropconnect", "reg=[dropout"]),
        ("train +loss=", [f"+loss={name}" for name in ("bce", "cross_entropy", "distillation", "focal", "hinge")]),
        ("train optimizer=adam optimizer.be", ["optimizer.betas="]),
        ("train optimizer=momentum optimizer.be", []),
        ("train optimizer=momentum optimizer.mo", ["optimizer.momentum="]),
        ("train reg=[l2,dropout] reg.dropout.", ["reg.dropout.form=", "reg.dropout.layers=", "reg.dropout.p="]),
        ("train engine.dev", ["engine.device="]),
        (
            "train engine.device=",
            [
                "engine.device=auto",
                "engine.device=cpu",
                "engine.device=cuda",
                "engine.device=cuda:1",
                "engine.device=mps",
            ],
        ),
        ("train engine.deterministic=", ["engine.deterministic=false", "engine.deterministic=true"]),
        ("train log.progress=l", ["log.progress=lines", "log.progress=live"]),
        ("train optimizer.lr=", ["optimizer.lr=1e-3"]),
        ("train se", ["seed="]),
        ("train model=mlp model.hidden=", []),  # [512, 256] is no word
        ("train objective.", ["objective.mode=", "objective.name="]),
        ("train --l", ["--like"]),
        ("compare --f", ["--figure", "--format"]),
        ("sweep sweep=lr_", ["sweep=lr_l2", "sweep=lr_wd", "sweep=lr_wd_dropout"]),
        ("train swee", []),
        ("sweep sweep.prun", ["sweep.pruner="]),
        ("options opt", ["optimizer"]),
    ],
)
def test_a_word_is_completed(line, expected):
    assert candidates(line.split(" ")) == expected


def test_runs_are_named_by_their_folder_or_a_part_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits-mlp/0001-adam", "digits-mlp/0002-sgd", "digits-mlp/notes"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    for name in ("0001-adam", "0002-sgd"):
        (tmp_path / "outputs/digits-mlp" / name / "environment.json").touch()
    both = ["outputs/digits-mlp/0001-adam", "outputs/digits-mlp/0002-sgd"]
    for command in ("resume", "test", "compare", "tag", "train --like"):
        assert candidates([*command.split(), "outputs/"]) == both
        assert candidates([*command.split(), "la"]) == ["last"]
        assert candidates([*command.split(), "sgd"]) == both[1:]


def test_the_options_of_a_folder_of_ones_own_are_known(tmp_path, monkeypatch):
    (tmp_path / "mine/optimizer").mkdir(parents=True)
    (tmp_path / "mine/flavor").mkdir(parents=True)
    (tmp_path / "mine/optimizer/fastest.yaml").write_text("_target_: x.Y\nspeed: 1 # Speed: low or high.\n")
    monkeypatch.chdir(tmp_path)
    for words in (["--config-dir", "mine"], ["--config-dir=mine"]):
        assert candidates(["train", *words, "optimizer=fas"]) == ["optimizer=fastest"]
        assert candidates(["train", *words, "flav"]) == ["flavor="]
    monkeypatch.setenv("RUNNER_CONFIGS", str(tmp_path / "mine"))
    assert candidates(["train", "optimizer=fastest", "optimizer.sp"]) == ["optimizer.speed="]
    assert candidates(["train", "optimizer=fastest", "optimizer.speed="]) == [
        "optimizer.speed=1",
        "optimizer.speed=high",
        "optimizer.speed=low",
    ]


GROUPS = sorted(path.name for path in config.folder().iterdir() if path.is_dir())
MANY = ("model", "data")  # whose values take seconds


@pytest.mark.parametrize("group", [pytest.param(group, marks=[pytest.mark.slow] * (group in MANY)) for group in GROUPS])
def test_every_value_that_is_offered_is_one(group):
    for path in sorted((config.folder() / group).glob("[!_]*.yaml")):
        target = re.search(r"^\s*_target_: (\S+)", path.read_text(), re.MULTILINE)
        for key, (_, comment) in _read(path, group).items() if target else ():
            annotation = _hints(config.resolve(target[1], key)).get(key.rpartition(".")[2])
            for value in values_in(comment) if annotation else ():
                plain = {"true": True, "false": False, "null": None}.get(value, value)
                assert problem(plain, annotation) is None, f"{key}={value}"


def test_every_flag_of_a_command_is_offered(runner):
    for command, flags in FLAGS.items():
        if command in ("train", "sweep", "check"):
            continue
        usage = runner(command, "--help").stdout
        assert set(re.findall(r"^  (?:-h, )?(--[a-z][a-z-]+)", usage, re.MULTILINE)) == set(flags), command
    assert set(FLAGS) == set(COMMANDS)


def test_what_starting_costs():
    code = "import sys; from runner.command.completion import candidates; candidates(['train', 'reg=[l2,d']); "
    told = subprocess.run([sys.executable, "-c", code + "print(*sys.modules)"], capture_output=True, text=True).stdout
    assert not {"torch", "hydra", "omegaconf", "rich", "yaml", "numpy"} & set(told.split())


def test_a_shell_that_is_none_is_a_mistake(runner):
    done = runner("-sc", "install=bsh", status=2)
    assert done.stderr == "runner: -sc: expected install=SHELL; did you mean 'bash'?\n"
    assert runner("-sc", "uninstall=bash").stdout == "complete -r runner\n"


BEGIN = "export PATH={path}:$PATH; "
ASK = {
    "bash": """
source <(runner -sc install=bash)
ask() {{ COMP_LINE="$1"; COMP_POINT=${{#1}}; COMPREPLY=(); compopt() {{ :; }}; _runner; echo "${{COMPREPLY[@]}}"; }}
ask "runner tr"; ask "runner train optimizer=adag"; ask "runner train reg=[l2,dropo"
ask "runner train seed=1 engine.dev"
""",
    "zsh": """
autoload -Uz compinit && compinit -u -d {work}/dump
source <(runner -sc install=zsh)
compadd() {{ echo ${{@[5,-1]}} }}; _files() {{ echo files }}
ask() {{ words=("$@"); CURRENT=$#words; _runner }}
ask runner tr; ask runner train optimizer=adag; ask runner train 'reg=[l2,dropo'; ask runner train seed=1 engine.dev
""",
    "fish": """
runner -sc install=fish | source
complete -C "runner tr"; complete -C "runner train optimizer=adag"; complete -C "runner train reg=[l2,dropo"
complete -C "runner train seed=1 engine.dev"
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_in_the_shell_itself(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/runner"
    root = Path(package.__file__).parents[1]
    command.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m runner "$@"\n')
    command.chmod(0o755)
    begin = "set -x PATH {path} $PATH; " if shell == "fish" else BEGIN
    script = (begin + ASK[shell]).format(path=tmp_path / "bin", work=tmp_path)
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=200)
    found = done.stdout.split()
    # Bash replaces what is after the last = alone.
    prefixes = ("", "") if shell == "bash" else ("optimizer=", "reg=")
    assert found == ["train", f"{prefixes[0]}adagrad", f"{prefixes[1]}[l2,dropout", "engine.device="], done.stderr


def test_asked_for_nothing_it_prints_the_script_of_bash(capsys):
    printed = []
    for words in (["-sc"], ["-sc", "install=bash"]):
        assert answer(words) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == SHELLS["bash"]
