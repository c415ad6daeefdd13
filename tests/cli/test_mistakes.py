"""Mistakes: one line that names the key or file and the remedy, exit status 2, and no run left behind."""

import errno
import os
import sys
from urllib.error import URLError

import pytest

from runner import cli
from runner.command.hydra_app import _is_ours

MISTAKES = {
    "optimizer=adm": "optimizer=adm: no such option; did you mean 'adam'?",
    "experiment=qick": "experiment=qick: no such option; did you mean 'quick'?",
    "optimiser=adam": "optimiser: no such key; did you mean 'optimizer'?",
    "optimizer.lrr=0.1": "optimizer.lrr: no such key; did you mean 'optimizer.lr'?",
    "engine.epoch=3": "engine.epoch: no such key; did you mean 'engine.epochs'?",
    "+optimizer.momentun=0.9 optimizer=momentum": "optimizer.momentun: no such key; did you mean 'optimizer.momentum'?",
    "+flavor=red": "flavor: no such key",
    "optimizer.lr=fast": "optimizer.lr: must be a number, not 'fast'",
    "engine.epochs=2.5": "engine.epochs: must be a whole number, not 2.5",
    "engine.compile=3": "engine.compile: must be",
    "model.channels=3": "model.channels: must be a list such as [..], not 3",
    "optimizer.lr=-1": "optimizer.lr: must be above 0, not -1",
    "optimizer.betas=[0.9,1.5]": "optimizer.betas: must be at least 0 and below 1, not 1.5",
    "reg=dropout reg.dropout.p=1.5": "reg.dropout.p: must be at least 0 and below 1, not 1.5",
    "reg=[l2,nothing]": "reg=nothing: no such option",
    "reg=null": "reg: null is no option; use reg=none",
    "optimizer.lr=inf": "optimizer.lr: must be a number, not inf",
    "name=../elsewhere": "name: must be the name of one folder",
    "name=a/b": "name: must be the name of one folder",
    "reg=dropout reg.dropout.pp=3": "reg.dropout.pp: no such key; did you mean 'reg.dropout.p'?",
    "reg.dropout.p=0.3": "reg.dropout.p: dropout is not chosen; choose it first: reg=dropout",
    "seed=-1": "seed: must be at least 0, not -1",
    "schedule.warmup_epochs=soon": "schedule.warmup_epochs: must be a number of epochs, or like '500 steps'",
    "engine.precision=fp17": "engine.precision: must be one of 'auto', 'fp32', 'bf16', 'fp16', not 'fp17'",
    "engine.device=cudaa": "engine.device: no device 'cudaa'; did you mean 'cuda'?",
    "engine.device=cuda:99": "engine.device: no device 'cuda:99' on this machine",
    "data=folder": "data.root: must be set, as in data.root=VALUE",
    "data=folder data.root=/nowhere": "data.root: no folder /nowhere; set data.root to the folder with your images",
    "data=cifar10 data.root=here": "data.root: CIFAR10 is not in here and could not be downloaded",
    "model=linear reg=dropout": "reg.dropout.layers: nothing to act on",
    "model=alexnet reg=dropout": "reg.dropout.p: drops inputs of fully connected layers, as model.dropout=0.5",
    "model._target_=nets.Net": "model._target_: no module 'nets'",
    "model._target_=torch.nn.Lineer": "model._target_: torch.nn has no 'Lineer'; did you mean 'Linear'?",
    "data.val_fraction=1": "data.val_fraction: must be above 0 and below 1, not 1",
    "objective.name=val/acc": "objective.name: must be one of",
    "optimizer.lr=interval(1e-3,1e-1)": "config: a range is searched by runner sweep; runner train -m takes values",
    "-m optimizer.lr=interval(1e-3,1e-1)": "config: a range is searched by runner sweep; runner train -m takes values",
    "engine.epochs": "engine.epochs: not an override",
    "model=0": "model=0: 0 names no option; choose from alexnet, convnet",
    "tta=true": "tta=true: true names no option; choose from none, flip,",
    "average=[1]": "average=[1]: [1] names no option; choose from none, ema, lookahead, snapshots, swa",
    "schedule=+1": "schedule=+1: +1 names no option; choose from constant,",
    "loss=null": "loss=null: null names no option; choose from bce, cross_entropy, distillation, focal, hinge",
    "-m model=0,1": "model=0: 0 names no option",
    "=3": "config: ValueError: Config group override must be",
    "--config-dir nowhere": "--config-dir: no folder nowhere; correct it",
    "model.hidden=[": "model.hidden=[: not an override",
    "engine.device=gpu": "engine.device: no device 'gpu'; use cuda, or auto",
    "data.root=x": "data.root: root is a key of data=cifar10, cifar100, fashion_mnist, files, folder and others;",
    "model.depth=18": "model.depth: depth is a key of model=resnet, vgg,",
    "lr=0.1": "lr: no such key; did you mean 'optimizer.lr'?",
    "batch_size=3": "batch_size: no such key; did you mean 'data.batch_size'?",
    "--lr 0.1": "--lr: no such flag; a key is set without dashes, as in optimizer.lr=VALUE",
    "--batch-size=3": "--batch-size: no such flag; a key is set without dashes, as in data.batch_size=VALUE",
    "--multirn seed=1,2": "--multirn: no such flag; see runner train --help",
    "--config-name=foo": "foo: no such config file",
    "data.resize=crop": "data.resize: resize is a key of data=arrays, files, folder, huggingface, table and others;",
    "reg=[l2,dropot]": "reg=dropot: no such option; did you mean 'dropout'?",
    "optimizer=adam,sgd": "optimizer=adam,sgd: several values are several runs; runner train -m optimizer=adam,sgd",
    "optimizer.lr=interval(0.1)": "optimizer.lr=interval(0.1): missing a required argument: 'end';",
    "hydra/launcher=slurm": "hydra/launcher=slurm: it is called submitit_slurm, and needs an extra; install it with",
    "hydra.run.dir=elsewhere": "hydra.run.dir: a run makes its own folder; set output_dir, or name",
    "hydra.job.chdir=true": "hydra.job.chdir: a run makes its own folder; set output_dir, or name",
    "output_dir=/proc/here": "output_dir: /proc/here/digits-convnet cannot be made (No such file or directory)",
    "model=torchvision model.name=resnet19": "model.name: torchvision has no classifier 'resnet19'; did you",
    "--like nowhere": "nowhere: no such folder; expected a run's path, its number or a part of its name",
    "data=synthetic data.num_images=4 data.folds=5": "data.folds: 4 images cannot be cut into 5 folds; lower it",
    "data=synthetic data.num_images=2": "data.val_fraction: 0.1 leaves no image for training or for validation",
    "data=arrays data.file=none.npz": "data.file: no file none.npz; set data.file to your .npz file",
    "output_dir=/dev/null": "output_dir: /dev/null/digits-convnet cannot be made (Not a directory)",
}


@pytest.fixture
def run(runner):
    """`run("train", "seed=-1")` gives exit status, output and errors."""

    def command(*words):
        done = runner(*words, status=None)
        return done.returncode, done.stdout, done.stderr

    return command


def no_network(*args, **options):
    raise URLError("no network")


@pytest.mark.parametrize("words", MISTAKES)
def test_is_one_line_with_the_remedy_and_leaves_no_run(run, tmp_path, monkeypatch, words):
    if "cifar10" in words:
        monkeypatch.setattr("torchvision.datasets.CIFAR10", no_network)
    status, _, err = run("train", *words.split())
    assert status == 2
    assert err.startswith("runner: " + MISTAKES[words])
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("outputs/*/*/run.json"))


def test_in_a_yaml_file_it_is_the_same(run, tmp_path):
    (tmp_path / "mine/optimizer").mkdir(parents=True)
    (tmp_path / "mine/optimizer/fast.yaml").write_text("_target_: runner.optimizer.adam\nlrr: 0.1\nlr: 0.1\n")
    status, _, err = run("train", "--config-dir", "mine", "optimizer=fast")
    assert (status, err) == (2, "runner: optimizer.lrr: no such key; did you mean 'optimizer.lr'?\n")
    (tmp_path / "mine/experiment").mkdir()
    (tmp_path / "mine/experiment/x.yaml").write_text("# @package _global_\nengine:\n  epoch: 3\n")
    status, _, err = run("train", "--config-dir", "mine", "experiment=x")
    assert (status, err) == (2, "runner: engine.epoch: no such key; did you mean 'engine.epochs'?\n")
    (tmp_path / "mine/optimizer/broken.yaml").write_text("lr: [0.1\n")
    status, _, err = run("train", "--config-dir", "mine", "optimizer=broken")
    assert status == 2
    assert "broken.yaml" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "trian: no such command; did you mean 'train'?"),
        (["resume", "nowhere"], "nowhere: no such folder"),
        (["resume", "."], ".: not a run's folder (it has no run.json)"),
        (["test", "."], ".: not a run's folder (it has no run.json)"),
        (["train", "--config-dir", "nowhere"], "--config-dir: no folder"),
    ],
)
def test_wrong_words_and_folders(run, words, said):
    status, _, err = run(*words)
    assert status == 2
    assert err.startswith("runner: " + said)
    assert err.count("\n") == 1


def test_a_real_process_prints_nothing_else(process):
    done = process("train", "optimizer.lr=-1", status=2)
    assert done.stdout == ""
    assert done.stderr == "runner: optimizer.lr: must be above 0, not -1\n"


def test_what_a_stored_run_refuses(run, tmp_path, train):
    folder = train("model=linear", "engine.epochs=1").folder
    for words, said in {
        ("resume", "seed=3"): "seed: cannot change in resume of a stored run; start a new run with runner train",
        ("resume", "engine.epoch=3"): "engine.epoch: no such key in this run's config; did you mean 'engine.epochs'?",
        ("resume", "engine.epochs=x"): "engine.epochs: must be a whole number, not 'x'",
        ("test", "seed=3"): "seed: cannot change in test of a stored run",
        ("test", "tta=flop"): "tta=flop: no such option; did you mean 'flip'?",
        ("test", "--weights=second"): f"{folder}/checkpoints/second.pt: no checkpoint",
    }.items():
        status, _, err = run(words[0], folder, words[1])
        assert (status, err.count("\n")) == (2, 1)
        assert err.startswith("runner: " + said)
    assert (folder / "run.json").read_text().count('"finished"') == 2
    (folder / "config.yaml").write_text("engine: [")
    status, _, err = run("resume", folder)
    assert err.startswith(f"runner: {folder}/config.yaml: cannot be read")


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(runner, monkeypatch):
    from runner.engine import checkpoint_files

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "write_temporary", full)
        done = runner("train", "model=linear", "engine.epochs=2", status=2)
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("No space left on device; free some space, then go on\n")
    (folder,) = runner.runs()
    runner("resume", folder)
    assert (folder / "checkpoints/last.pt").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe", "cannot be read ('utf-8' codec"),
        (b"defaults: 3", "defaults must be a list of options, as in [group: option, _self_], not 3"),
        (b"defaults: [[1]]", "defaults must be a list of options"),
        (b"defaults: 3\na: [", "cannot be read (while parsing"),
    ],
)
def test_a_file_of_the_users_that_is_none_is_named(run, tmp_path, content, problem):
    folder = tmp_path / "mine/model"
    folder.mkdir(parents=True)
    (folder / "odd.yaml").write_bytes(content)
    for words in (["train", "--config-dir", "mine", "model=odd"], ["train", "--config-dir=mine", "model=odd"]):
        status, _, err = run(*words)
        assert (status, err.count("\n")) == (2, 1)
        assert problem in err or "YAML file cannot be read" in err
    status, _, err = run("options", "model", "--config-dir", "mine")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"runner: mine/model/odd.yaml: {problem}")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("optimizer.lr=range(1,10,0)", "optimizer.lr: a range by steps of 0 has no end; give a step such as 1"),
        ("reg=tag(interval(0,1))", "reg: its values are options, not numbers; name them, as in reg=first,second"),
        ("model=0", "model=0: 0 names no option"),
        ("model=mlp,vgg reg=dropout reg.dropout.p=uniform(0,0.5)", "reg.dropout.p: drops inputs of fully connected"),
    ],
)
def test_a_sweeps_mistakes_are_one_line_too(run, word, line):
    status, _, err = run("sweep", *word.split())
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"runner: {line}")


def test_an_error_in_code_without_a_name_is_not_ours():
    with pytest.raises(ZeroDivisionError) as raised:
        exec(compile("1 / 0", "made", "exec"), {})
    assert not _is_ours(raised.value)


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 2), (errno.EDQUOT, 2), (errno.EACCES, None)])
def test_of_what_the_system_refuses_a_full_disk_alone_is_the_users(number, status, monkeypatch, capsys):
    def refused(words):
        raise OSError(number, os.strerror(number), "outputs/it")

    monkeypatch.setattr(cli, "run", refused)
    with pytest.raises(SystemExit if status else OSError) as raised:
        cli.main(["train"])
    err = capsys.readouterr().err
    if status:
        assert raised.value.code == status
        assert err == f"runner: outputs/it: {os.strerror(number)}; free some space, then go on\n"
    else:
        assert err == ""


def test_a_reader_that_is_gone_is_no_error_of_ours(monkeypatch):
    """Also at the interpreter's end, which flushes once more: to nowhere then."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(cli, "run", lambda words: print("x" * 100))
        with pytest.raises(SystemExit) as raised:
            cli.main(["list"])
        assert raised.value.code == 1
        assert os.fstat(out.fileno()).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
        out.write("more")
