"""Every line, mark and text of a sweep's pictures is where it was when they were last looked at."""

import pytest

from runner.sweep.report.figures import draw
from runner.sweep.report.figures.draw import draw_figures
from runner.sweep.report.figures.importance import Importance, draw_importance
from runner.sweep.space.space import Categorical, Interval
from tests.looks import described, figures_kept


@pytest.fixture
def many_keys(write_sweep):
    """Six keys of every kind: an option with a key of its own, whole numbers, momentum; one option's name is long."""
    space = {
        "model": Categorical(("a_network_with_quite_a_long_name", "mlp", "linear")),
        "reg": Categorical(("none", "dropout")),
        "reg.dropout.p[reg=dropout]": Interval(0.1, 0.8),
        "optimizer.momentum": Interval(0.5, 0.99, "one_minus_log"),
        "data.batch_size": Interval(16, 256, "log", integer=True),
        "engine.epochs_of_a_long_name.in_a_group": Interval(1e-6, 1e6, "log"),
    }
    trials = []
    for number in range(14):
        point = {
            "model": space["model"].options[number % 3],
            "reg": space["reg"].options[number % 2],
            "optimizer.momentum": str(0.5 + 0.035 * number),
            "data.batch_size": str(16 + 17 * number),
            "engine.epochs_of_a_long_name.in_a_group": f"1e{number - 6}",
        }
        if number % 2:
            point["reg.dropout.p"] = str(0.1 + 0.05 * number)
        status = {5: "failed", 9: "diverged", 11: "pruned"}.get(number, "finished")
        trials.append((point, None if number in (5, 9) else 0.3 + (number * 5 % 14) / 21, status))
    return write_sweep([space], [trials])


@pytest.mark.parametrize("name", ["two_rounds", "lengthened", "options", "many_keys"])
def test_pictures_look_as_they_did(request, tmp_path, looks, monkeypatch, name):
    sweep = request.getfixturevalue(name)
    # Another version of scikit-learn may grow another forest.
    fractions = {key: 0.4 * 0.6**place for place, key in enumerate(sorted(sweep.history.keys))}
    if name in ("two_rounds", "many_keys"):
        monkeypatch.setattr(draw, "compute_importance", lambda history: Importance(fractions, 0.7, 12))
    with figures_kept() as figures:
        pictures = draw_figures(sweep.history, tmp_path, pytest.fail)
    for picture in pictures:
        if picture.png:
            looks(f"sweep/{name}/{picture.name}", f"{picture.caption}\n{described(figures.pop(0))}")
        else:
            looks(f"sweep/{name}/{picture.name}", picture.reason)


@pytest.mark.parametrize("r2", [0.9, 0.05])
def test_importance_looks_as_it_did(looks, r2):
    fractions = {"optimizer.lr": 0.8, "reg.dropout.p_with_a_long_name.of_a_group": 0.15, "model": 0.05}
    looks(f"sweep/importance_{r2}", described(draw_importance(Importance(fractions, r2, 20, 3))))
