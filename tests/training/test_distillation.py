"""Distillation: a student learns from the network of a finished run, whose scores come once or with each batch."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import runner
from runner import config
from runner.build import teacher as module
from runner.errors import CannotVectorize, UserError
from runner.loss import Distillation
from runner.training.resume import resume

K = 10
TEACHER = ["model=mlp", "model.hidden=[32]", "optimizer.lr=3e-3", "engine.epochs=3", "log.tensorboard=false"]
STUDENT = ["loss=distillation", "model=mlp", "model.hidden=[8]", "log.tensorboard=false", "log.progress=none"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    return runner.train([*TEACHER, f"output_dir={folder}", "name=teacher", "log.progress=none"]).folder


def by_hand(scores, label, taught, alpha, T):
    def softmax(values):
        powers = [math.exp(value / T) for value in values]
        return [power / sum(powers) for power in powers]

    p, q = softmax(taught), softmax(scores)
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    cross_entropy = -math.log(math.exp(scores[label]) / sum(map(math.exp, scores)))
    return (1 - alpha) * cross_entropy + alpha * T**2 * divergence


@pytest.mark.parametrize(("alpha", "T"), [(0.5, 4.0), (0.9, 1.0), (0.0, 2.0), (1.0, 10.0)])
def test_the_loss_equals_the_formula(alpha, T):
    scores, taught = torch.randn(2, 6, K, dtype=torch.float64).unbind(0)
    labels = torch.arange(6)
    targets = torch.cat([torch.eye(K, dtype=torch.float64)[labels], taught], dim=1)
    rows = zip(scores.tolist(), labels.tolist(), taught.tolist(), strict=True)
    expected = sum(by_hand(*row, alpha, T) for row in rows) / 6
    assert Distillation("run", alpha, T)(scores, targets).item() == pytest.approx(expected)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it():
    scores = torch.randn(4, K, requires_grad=True)
    targets = torch.cat([torch.eye(K)[:4], scores.detach()], dim=1)
    Distillation("run", alpha=1.0)(scores, targets).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(4, K), rtol=0, atol=1e-6)


def test_at_a_high_temperature_the_gradient_is_that_of_matched_scores():
    # Section 2.1 of the paper: with scores of mean 0 it becomes (s - z) / K, for each image of a batch of one.
    scores, taught = (torch.randn(1, K, dtype=torch.float64) for _ in range(2))
    scores, taught = (part - part.mean() for part in (scores, taught))
    scores.requires_grad_()
    Distillation("run", 1.0, 1e4)(scores, torch.cat([torch.eye(K)[:1].double(), taught], 1)).backward()
    torch.testing.assert_close(scores.grad, (scores - taught).detach() / K, rtol=1e-3, atol=1e-6)


def test_without_a_teachers_scores_it_is_the_cross_entropy():
    scores, labels = torch.randn(5, K), torch.arange(5)
    loss = Distillation("run")
    expected = torch.nn.functional.cross_entropy(scores, labels)
    assert loss(scores, labels) == expected
    torch.testing.assert_close(loss(scores, torch.eye(K)[:5]), expected)


def built(teacher, *words):
    return runner.build.training(runner.compose([*STUDENT, f"loss.teacher='{teacher}'", *words]))


def scores_of(teacher, images):
    """What the stored network says of preprocessed images, put together from its parts."""
    _, network = runner.load(teacher).model()
    return network(images)


@pytest.mark.parametrize("augment", ["none", "flip"])
@torch.no_grad()
def test_the_teachers_scores_are_those_of_the_very_images_of_the_batch(teacher, augment):
    training = built(teacher, f"augment={augment}")
    for epoch, start in ((0, 0), (1, 3)):
        batch = next(training.train.epoch(epoch, start))
        assert len(batch) == (3 if augment == "none" else 2), "scores are known beforehand where nothing changes them"
        images, labels, *known = batch
        targets = training.step._taught(images, labels, known)
        torch.testing.assert_close(targets[:, K:], scores_of(teacher, images), rtol=1e-4, atol=1e-4)
        assert torch.equal(targets[:, :K], torch.eye(K)[labels])


def test_mixed_images_are_shown_to_the_teacher_as_the_student_sees_them(teacher):
    training = built(teacher, "reg=[mixup,label_smoothing]")
    images, labels = next(training.train.epoch())
    mixed, targets = training.step._targets(images, labels, 0)
    with torch.no_grad():
        expected = scores_of(teacher, mixed)
    assert not torch.equal(mixed, images)
    torch.testing.assert_close(training.step._taught(mixed, targets, [])[:, K:], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_teacher_of_another_preprocessing_sees_the_same_images(teacher):
    training = built(teacher, "data.preprocess=none", "augment=flip")
    images, labels = next(training.train.epoch())  # pixels in [0, 1]
    expected = runner.load(teacher).model()(images)
    torch.testing.assert_close(training.step._taught(images, labels, [])[:, K:], expected, rtol=1e-4, atol=1e-3)


def test_the_student_starts_as_it_would_without_a_teacher(teacher):
    alone = runner.build.training(runner.compose(["model=mlp", "model.hidden=[8]"])).state.network.state_dict()
    for name, value in built(teacher).state.network.state_dict().items():
        assert torch.equal(value, alone[name])


def test_the_teacher_is_frozen_and_no_part_of_the_student(teacher):
    training = built(teacher, "augment=flip")
    before = {name: value.clone() for name, value in training.step.teacher.network.state_dict().items()}
    for batch in training.train.epoch():
        training.step(training.state, batch)
    assert all(torch.equal(before[name], value) for name, value in training.step.teacher.network.state_dict().items())
    assert training.state.network[1].weight.shape == (8, 64)
    assert not [name for name in training.state.state_dict() if "teacher" in name]


@pytest.mark.parametrize("words", [[], ["augment=flip"], ["engine.accumulate_steps=3", "data.batch_size=20"]])
def test_an_update_is_by_the_loss_of_its_images(teacher, words):
    training = built(teacher, *words)
    batch = next(training.train.epoch())
    images, labels = batch[:2]
    with torch.no_grad():
        scores, taught = training.state.network(images).tolist(), scores_of(teacher, images).tolist()
    expected = sum(by_hand(*row, 0.5, 4.0) for row in zip(scores, labels.tolist(), taught, strict=True)) / len(labels)
    assert training.step(training.state, batch)[0].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "words",
    [[], ["augment=flip"], ["reg=[mixup,label_smoothing]"], ["reg=label_smoothing", "engine.accumulate_steps=2"]],
)
def test_vectorized_trials_equal_the_trials_alone(teacher, words):
    cfgs = [runner.compose([*STUDENT, f"loss.teacher='{teacher}'", *words]) for _ in range(2)]
    for number, cfg in enumerate(cfgs):
        cfg.seed, cfg.optimizer.lr = number, (1e-3, 3e-3)[number]
        cfg.loss.alpha, cfg.loss.temperature = (0.5, 0.9)[number], (4.0, 2.0)[number]

    def losses(training):
        found = []
        for batch in training.train.epoch():
            found.append(training.step(training.state, batch)[0])
            training.state.step += 1
        return torch.stack(found)

    expected = torch.cat([losses(runner.build.training(cfg)) for cfg in cfgs], dim=1)
    torch.testing.assert_close(losses(runner.build.vectorize(cfgs)), expected, rtol=2e-4, atol=1e-5)
    cfgs[1].loss.teacher = "another"
    with pytest.raises(CannotVectorize, match=r"^loss.teacher"):
        runner.build.vectorize(cfgs)


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_a_resumed_run_ends_with_the_same_bits(teacher, tmp_path, augment):
    words = [*STUDENT, f"loss.teacher='{teacher}'", f"augment={augment}", f"output_dir={tmp_path}", "reg=dropout"]
    whole = runner.train([*words, "name=whole", "engine.epochs=3", "schedule=constant"])
    parted = runner.train([*words, "name=parted", "engine.epochs=1", "schedule=constant"])
    resume(parted.folder, ["engine.epochs=3"])
    states = [torch.load(run.folder / "checkpoints" / "last.pt", weights_only=True)["state"] for run in (whole, parted)]
    for name, value in states[0]["network"].items():
        assert torch.equal(states[1]["network"][name], value)


def test_a_run_notes_its_teacher_and_refuses_another_one(teacher, tmp_path):
    own = shutil.copytree(teacher, tmp_path / "own")
    run = runner.train([*STUDENT, f"loss.teacher='{own}'", f"output_dir={tmp_path}", "engine.epochs=1"])
    assert run.config.loss.teacher == str(own)
    saved = torch.load(run.folder / "checkpoints" / "last.pt", weights_only=True)
    assert len(saved["images"]["teacher's weights"]) == 16
    moved = own.rename(tmp_path / "moved")
    resume(run.folder, ["engine.epochs=2", f"loss.teacher='{moved}'"])  # the same weights elsewhere
    other = runner.train([*TEACHER, "seed=5", f"output_dir={tmp_path}", "name=other", "log.progress=none"])
    with pytest.raises(UserError, match="the teacher's weights changed since the run was saved"):
        resume(run.folder, ["engine.epochs=3", f"loss.teacher='{other.folder}'"])


def test_a_student_is_tested_without_its_teacher(teacher, tmp_path):
    own = shutil.copytree(teacher, tmp_path / "own")
    run = runner.train([*STUDENT, f"loss.teacher='{own}'", f"output_dir={tmp_path}", "engine.epochs=1"])
    shutil.rmtree(own)
    assert 0 < runner.test(run.folder)["accuracy"] <= 1


def test_a_teacher_that_cannot_teach_is_refused_in_one_line(teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unfinished = shutil.copytree(teacher, tmp_path / "unfinished")
    record = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    foreign = shutil.copytree(teacher, tmp_path / "foreign")
    cfg = OmegaConf.load(foreign / "config.yaml")
    cfg.model._target_ = "os.system"
    OmegaConf.save(cfg, foreign / "config.yaml")
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        ("nowhere", "loss.teacher: there is no run nowhere"),
        ("last", "loss.teacher: last may be another run by the time it is read"),
        (unfinished, f"loss.teacher: {unfinished} is interrupted; go on with it first"),
        (empty, "loss.teacher: "),
        (foreign, "loss.teacher: .* is not one of runner's own classes"),
    ]
    for word, message in cases:
        with pytest.raises(UserError, match=f"^{message}") as caught:
            built(word)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"^loss.teacher: .* was trained on other classes: 0, 1, 2, .*, not pattern 0"):
        built(teacher, "data=synthetic")
    with pytest.raises(UserError, match=r"^loss.teacher: must be set"):
        config.check(runner.compose(["loss=distillation"]))
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("values", "text"),
    [(["a" * 28, "b" * 29], "a" * 28 + ", " + "b" * 29), (["a" * 28, "b" * 30], "a" * 28 + ", " + "b" * 27 + "...")],
)
def test_what_a_teacher_was_trained_on_is_said_in_less_than_60_characters(values, text):
    assert module._short(values) == text


def test_a_teacher_whose_config_is_refused_by_now_is_refused(teacher, tmp_path):
    refused = shutil.copytree(teacher, tmp_path / "refused")
    cfg = OmegaConf.load(refused / "config.yaml")
    cfg.optimizer.lr = -1.0
    OmegaConf.save(cfg, refused / "config.yaml")
    with pytest.raises(UserError, match=r"^loss\.teacher: .*: optimizer\.lr"):
        built(refused)


def test_a_student_learns_from_its_teacher_alone(teacher, tmp_path):
    words = [*STUDENT, f"loss.teacher='{teacher}'", "loss.alpha=1", f"output_dir={tmp_path}", "engine.epochs=15"]
    run = runner.train([*words, "model.hidden=[32]", "optimizer.lr=5e-3"])
    assert run.objective > 0.8
