"""What the pictures of a sweep show."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from runner.sweep.report.figures import slice as slice_plot
from runner.sweep.report.figures.axes import Axis, key_axis, nice_values, number_text, score_axis
from runner.sweep.report.figures.draw import draw_figures
from runner.sweep.report.figures.history import _round_spans, draw_history
from runner.sweep.report.figures.importance import Importance, compute_importance, draw_importance
from runner.sweep.report.figures.parallel_coordinates import draw_parallel_coordinates
from runner.sweep.report.figures.search_space import boxes, caption, draw_search_space
from runner.sweep.report.figures.slice import draw_slice
from runner.sweep.report.figures.style import NothingToDraw, dress_scores
from runner.sweep.report.history import _running_seconds, ends_of
from runner.sweep.space.space import Categorical, Interval

NAMES = ["search_space", "slice", "history", "importance", "parallel_coordinates"]


def by_gid(panel, gid):
    return [artist for artist in panel.get_children() if artist.get_gid() == gid]


def test_a_long_wait_before_a_start_is_no_time_of_the_sweep_and_a_long_trial_is():
    events = [
        {"time": f"2026-01-01T00:{minute:02d}:00", "event": event}
        for minute, event in [(0, "queued"), (5, "started"), (15, "finished"), (45, "queued"), (46, "started")]
    ]
    assert _running_seconds(events) == [0, 60, 660, 720, 780]  # no more than a minute before a start


# ---------------------------------------------------------------------------------------------------------------------
# Axes


def test_a_log_axis_keeps_equal_factors_apart_and_zero_below_all(two_rounds):
    axis = key_axis(two_rounds.history, "reg.l2.strength")
    assert axis.place("0.01") - axis.place("0.001") == pytest.approx(1)
    assert axis.place("0") < axis.break_ < axis.place("0.00001")
    assert axis.limits[0] < axis.place("0")
    assert (axis.place("0"), "0") in axis.ticks()


def test_a_momentum_stands_by_what_it_lacks_to_one(write_sweep):
    space = {"optimizer.momentum": Interval(0.5, 0.99, "one_minus_log")}
    axis = key_axis(write_sweep([space], [[({"optimizer.momentum": "0.9"}, 0.9, "finished")]]).history, *space)
    assert axis.place("0.99") - axis.place("0.9") == pytest.approx(axis.place("0.9") - axis.place("0"))
    assert [text for _, text in axis.ticks(6)] == ["0.5", "0.8", "0.9", "0.95", "0.98", "0.99"]


def test_a_key_without_a_place_in_a_trial_stands_apart(write_sweep):
    space = {"optimizer": Categorical(("sgd", "adam")), "optimizer.momentum": Interval(0.0, 0.9)}
    trials = [
        ({"optimizer": "sgd", "optimizer.momentum": "0.5"}, 0.8, "finished"),
        ({"optimizer": "adam"}, 0.9, "finished"),
    ]
    axis = key_axis(write_sweep([space], [trials]).history, "optimizer.momentum")
    assert axis.place(None) < axis.break_ < axis.place("0")
    assert axis.ticks()[0] == (axis.place(None), "none")


def test_options_have_a_place_each_and_what_has_none_stands_apart(write_sweep):
    space = {"reg": Categorical(("none", "dropout")), "augment": Categorical(("flip", "crop"))}
    points = [{"reg": "none", "augment": "flip"}, {"reg": "dropout"}]
    history = write_sweep([space], [[(point, 0.8, "finished") for point in points]]).history
    reg, augment = (key_axis(history, key) for key in space)
    assert (reg.limits, augment.limits) == ((-0.6, 1.6), (-1.6, 1.6))
    assert [reg.place("none"), reg.place("dropout"), augment.place(None)] == [0, 1, -1]


@pytest.mark.parametrize(("sweep", "with_room"), [("two_rounds", True), ("options", False)])
def test_scores_leave_room_below_for_trials_that_have_none(request, sweep, with_room):
    history, panel = request.getfixturevalue(sweep).history, Figure().subplots()
    scores = score_axis(history)
    dress_scores(panel, history, scores)
    low = scores.low - 0.1 * scores.width if with_room else scores.limits[0]
    assert panel.get_ylim() == pytest.approx((low, scores.limits[1]))


@pytest.mark.parametrize(
    ("low", "high", "scale", "most", "wanted"),
    [
        (1e-5, 1e-1, "log", 6, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
        (1e-6, 1e6, "log", 5, [1e-6, 1e-3, 1, 1e3, 1e6]),
        (0.02, 0.06, "log", 6, [0.02, 0.03, 0.04, 0.05, 0.06]),
        (0.0, 0.8, "linear", 6, [0, 0.2, 0.4, 0.6, 0.8]),
        (3.0, 3.0, "linear", 5, [3.0, 3.0]),
    ],
)
def test_ticks_are_round_values_and_no_more_than_asked_for(low, high, scale, most, wanted):
    found = nice_values(low, high, scale, most)
    assert len(found) <= most
    assert found == pytest.approx(wanted)


def test_numbers_are_written_as_on_the_command_line():
    assert [number_text(value) for value in (1e-5, 0.001, 2.5e-4, 0.98, 1e6, 0)] == [
        "1e-5",
        "0.001",
        "2.5e-4",
        "0.98",
        "1e6",
        "0",
    ]


def test_scores_are_on_a_logarithm_where_they_span_much(write_sweep):
    space = {"lr": Interval(0.0, 1.0)}

    def axis(scores, **more):
        name = "-".join(map(str, scores))
        return score_axis(
            write_sweep([space], [[({"lr": "0.5"}, s, "finished") for s in scores]], name, **more).history
        )

    assert axis([0.1, 0.99]).scale == "one_minus_log"
    assert axis([0.8, 0.82]).scale == "linear"
    whole = axis([0.1, 1.0])
    assert math.isfinite(whole.place(1.0))
    assert whole.place(1.0) > whole.place(0.1)
    assert axis([0.01, 3.0], mode="min").scale == "log"
    assert axis([-1.0, 30.0]).scale == "linear"


# ---------------------------------------------------------------------------------------------------------------------
# Points


def test_the_boxes_are_the_rounds_ranges(two_rounds):
    history = two_rounds.history
    x, y = (key_axis(history, key) for key in history.keys)
    found = {box.round.index: box for box in boxes(history, x, y)}
    assert sorted(found) == [0, 1]
    panel = draw_search_space(history).axes[0]
    for round_ in two_rounds.rounds[:2]:
        lr, l2 = round_.ranges.values()
        box = found[round_.index]
        assert [10**t for t in (*box.x, *box.y)] == pytest.approx([lr["low"], lr["high"], l2["low"], l2["high"]])
        (shape,) = by_gid(panel, f"round {round_.index}")
        assert shape.get_bbox().get_points().T.ravel() == pytest.approx([*box.x, *box.y])
    (legend,) = panel.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:2] == ["round 1: 5 trials of 1 epoch", "round 2: 2 trials of 2 epochs"]


def test_the_star_stands_at_the_winner(two_rounds):
    history = two_rounds.history
    best = history.result.best
    found = {key: history.value(best, key) for key in history.keys}
    assert found == {
        "optimizer.lr": "0.02",
        "reg.l2.strength": "0.001",
    }
    (star,) = by_gid(draw_search_space(two_rounds.history).axes[0], "best")
    assert star.get_offsets().tolist()[0] == pytest.approx([math.log10(0.02), math.log10(0.001)])


def test_better_points_are_darker_either_way(write_sweep):
    space = {"a": Interval(0.0, 1.0), "b": Interval(0.0, 1.0)}
    trials = [({"a": "0.1", "b": "0.2"}, 0.2, "finished"), ({"a": "0.7", "b": "0.6"}, 0.9, "finished")]
    for mode, order in (("max", 1), ("min", -1)):
        panel = draw_search_space(write_sweep([space], [trials], mode, mode=mode).history).axes[0]
        dots = next(artist for artist in panel.collections if len(artist.get_offsets()) == 2)
        light = [sum(color[:3]) for color in dots.get_facecolors()]
        assert order * (light[0] - light[1]) > 0.5


def test_each_way_to_end_has_its_sign(two_rounds):
    figure = draw_search_space(two_rounds.history)
    (legend,) = figure.legends
    shown = {text.get_text() for text in legend.get_texts()}
    assert shown >= {"best point", "pruned", "diverged", "failed"}
    sizes = [len(artist.get_offsets()) for artist in figure.axes[0].collections]
    assert sorted(sizes) == [1, 1, 1, 5]  # star, diverged, failed; finals are at the places of those that they repeat


def test_more_keys_make_a_grid_of_the_four_that_matter_most(write_sweep):
    space = {f"key{n}": Interval(0.0, 1.0) for n in range(6)}
    trials = [
        ({f"key{n}": str(((i + 1) * (n + 3) * 7 % 11) / 11) for n in range(6)}, 0.1 * i, "finished") for i in range(8)
    ]
    history = write_sweep([space], [trials]).history
    importance = Importance({f"key{n}": 0.1 for n in (5, 3, 1, 0, 2, 4)}, 0.9, 8)
    figure = draw_search_space(history, importance)
    assert caption(history, importance).endswith("best point. Left out, since they decide less: key2, key4.")
    assert caption(history).endswith("best point. Left out: key4, key5.")
    texts = " ".join(text.get_text() for panel in figure.axes for text in panel.texts)
    assert "since they decide less: key2, key4." in texts.replace("\n", " ")
    labels = {panel.get_xlabel() for panel in figure.axes} | {panel.get_ylabel() for panel in figure.axes}
    assert {label for label in labels if label.startswith("key")} == {"key0", "key1", "key3", "key5"}
    assert sum(bool(by_gid(panel, "best")) for panel in figure.axes) == 6


def test_where_one_key_has_its_turn_a_box_is_thin(write_sweep):
    space = {"a": Interval(0.0, 1.0), "b": Interval(0.0, 1.0)}
    sweep = write_sweep(
        [space],
        [[({"a": "0.1", "b": "0.5"}, 0.2, "finished"), ({"a": "0.9", "b": "0.5"}, 0.5, "finished")]],
        strategy="coordinate",
    )
    (round_,) = sweep.rounds
    round_.ranges.pop("b")
    round_.strategy = {"key": "a", "held": {"b": "0.5"}}
    sweep.folder.update(rounds=[round_.to_json()])
    history = sweep.history
    (box,) = boxes(history, key_axis(history, "a"), key_axis(history, "b"))
    assert box.x == (0, 1)
    assert sum(box.y) / 2 == pytest.approx(0.5)
    assert box.y[1] - box.y[0] < 0.05


def test_a_trial_without_a_key_has_no_box_in_the_place_of_those(write_sweep):
    space = {"reg": Categorical(("none", "dropout")), "reg.dropout.p[reg=dropout]": Interval(0.0, 0.8)}
    trials = [({"reg": "none"}, 0.5, "finished"), ({"reg": "dropout", "reg.dropout.p": "0.4"}, 0.6, "finished")]
    history = write_sweep([space], [trials]).history
    (box,) = boxes(history, key_axis(history, "reg"), key_axis(history, "reg.dropout.p"))
    assert box.y == (0, 0.8)


# ---------------------------------------------------------------------------------------------------------------------
# The others


def test_best_so_far_never_worsens_and_knows_the_mode(write_sweep):
    scores = [0.5, 0.7, 0.6, None, 0.9, 0.4]
    for mode, wanted in (("max", [0.5, 0.7, 0.7, 0.7, 0.9, 0.9]), ("min", [0.5, 0.5, 0.5, 0.5, 0.5, 0.4])):
        trials = [({"lr": str(n / 10)}, s, "finished" if s else "diverged") for n, s in enumerate(scores)]
        history = write_sweep([{"lr": Interval(0.0, 1.0)}], [trials], mode, mode=mode).history
        assert history.best_so_far() == wanted
        axis = score_axis(history)
        for panel in draw_history(history).axes:
            (line,) = by_gid(panel, "best so far")
            assert [axis.value(t) for t in line.get_ydata()] == pytest.approx(wanted)


def test_the_time_in_which_a_sweep_did_not_run_does_not_count():
    events = [
        {"time": "2026-01-01T00:00:00", "event": "started", "trial": 0},
        {"time": "2026-01-01T00:05:00", "event": "finished", "trial": 0},
        {"time": "2026-01-02T00:00:00", "event": "started", "trial": 1},
        {"time": "2026-01-02T00:01:00", "event": "finished", "trial": 1},
        {"time": "2026-01-02T00:01:00", "event": "failed", "trial": 2},
    ]
    found = ends_of(events)
    assert [end.place for end in found] == [1, 2, 3]
    assert [end.seconds for end in found] == pytest.approx([300, 420, 421], abs=1.01)
    assert found[1].seconds < found[2].seconds


def test_going_on_sets_the_clock_to_what_had_run_before():
    events = [
        {"time": "2026-01-01T00:00:00", "event": "started", "trial": 0},
        {"time": "2026-01-01T00:00:30", "event": "finished", "trial": 0},
        {"time": "2026-01-01T00:00:50", "event": "resumed", "trial": None, "seconds_before": 20.0},
        {"time": "2026-01-01T00:00:51", "event": "started", "trial": 1},
        {"time": "2026-01-01T00:00:54", "event": "finished", "trial": 1},
        {"time": "2026-01-01T00:00:54", "event": "finished", "trial": 2},
    ]
    found = ends_of(events, 24.0)
    assert [(end.trial, end.place) for end in found] == [(0, 1), (1, 2), (2, 3)]
    assert [end.seconds for end in found] == pytest.approx([20.0, 20 + 4 * 4.5 / 5, 24.0])
    unknown = [{**event, "seconds_before": 0.0} for event in events]  # killed before its seconds were written down
    assert [end.seconds for end in ends_of(unknown)] == pytest.approx([31, 31 + 4.5, 31 + 5])


def test_no_trial_ends_after_its_sweep(two_rounds):
    assert two_rounds.history.ends[-1].seconds > 9
    two_rounds.folder.update(seconds=2.5)
    ends = [end.seconds for end in two_rounds.history.ends]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(2.5)


def test_the_legend_names_every_round_of_a_lengthened_sweep_once(lengthened):
    (legend,) = draw_slice(lengthened.history).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["round 1: 1 epoch", "finals: 2 epochs", "round 2: 2 epochs", "best point"]
    left, _ = draw_history(lengthened.history).axes
    assert [text.get_text().split(":")[0].split("\n")[0] for text in left.texts] == [
        "round 1",
        "finals",
        "round 2",
        "F",
    ]


def test_importance_finds_the_key_that_decides(write_sweep):
    space = {
        "idle": Interval(1e-3, 1.0, "log"),
        "decides": Interval(1e-3, 1.0, "log"),
        "option": Categorical(("a", "b")),
    }
    generator = np.random.default_rng(1)
    trials = []
    for _ in range(40):
        idle, decides = generator.uniform(-3, 0, 2)
        option = str(generator.choice(["a", "b"]))
        score = 0.9 - 0.1 * (decides + 1.5) ** 2 + 0.03 * (option == "b")
        trials.append(({"idle": str(10**idle), "decides": str(10**decides), "option": option}, score, "finished"))
    importance = compute_importance(write_sweep([space], [trials]).history)
    assert next(iter(importance.fractions)) == "decides"
    assert importance.fractions["decides"] > 0.7 > 0.2 > importance.fractions["idle"]
    assert sum(importance.fractions.values()) == pytest.approx(1)
    assert 0.6 < importance.r2 < 1
    (panel,) = draw_importance(importance).axes
    assert f"R² {importance.r2:.2f}" in panel.get_xlabel()
    assert [bar.get_width() for bar in panel.patches] == list(importance.fractions.values())


def test_a_key_that_decides_what_diverges_is_important(write_sweep):
    """Of the finished trials alone, the other key would decide all."""
    space = {"lr": Interval(1e-3, 1.0, "log"), "other": Interval(0.0, 1.0)}
    generator = np.random.default_rng(1)
    trials = []
    for lr, other in zip(generator.uniform(-3, 0, 40), generator.uniform(0, 1, 40), strict=True):
        point = {"lr": str(10**lr), "other": str(other)}
        trials.append((point, None, "diverged") if lr > -1 else (point, 0.8 + 0.1 * other, "finished"))
    importance = compute_importance(write_sweep([space], [trials]).history)
    assert importance.fractions["lr"] > 0.3
    assert importance.num_trials == 40
    assert importance.num_diverged == sum(status == "diverged" for _, _, status in trials) > 5
    (panel,) = draw_importance(importance).axes
    assert f"diverged: {importance.num_diverged} trials, counted as the worst of the round" in panel.get_xlabel()
    finished = [trial for trial in trials if trial[2] == "finished"]
    assert compute_importance(write_sweep([space], [finished], "finished").history).fractions["lr"] < 0.05


def test_one_key_has_no_importance(write_sweep):
    trials = [({"lr": str(n / 20)}, n / 20, "finished") for n in range(1, 19)]
    assert compute_importance(write_sweep([{"lr": Interval(0.0, 1.0)}], [trials]).history).startswith(
        "one key was searched"
    )


def test_a_round_that_was_given_more_trials_has_a_span_for_these(lengthened):
    folder = lengthened.folder
    lines = folder.journal.read_text().splitlines()
    more = [line.replace('"trial": 0', '"trial": 9').replace("2026", "2027") for line in lines[:3]]
    folder.journal.write_text("\n".join([*lines, *more]) + "\n")
    spans = _round_spans(lengthened.history, "place")
    assert [(start, end, round_.index) for start, end, round_ in spans] == [
        (0, 2.5, 0), (2.5, 4.5, 1), (4.5, 6.5, 2), (6.5, 7.5, 3), (7.5, 8, 0)
    ]  # fmt: skip


def test_the_legend_of_the_progress_lies_beside_the_panels(two_rounds):
    figure = draw_history(two_rounds.history)
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["best so far", "pruned", "diverged", "failed"]
    figure.draw_without_rendering()
    assert not any(legend.get_window_extent().overlaps(panel.get_window_extent()) for panel in figure.axes)


def test_a_poor_fit_is_said(write_sweep):
    (panel,) = draw_importance(Importance({"a": 1.0}, -0.1, 12)).axes
    assert "poor fit" in panel.get_xlabel()


def test_few_trials_have_no_importance(options):
    reason = compute_importance(options.history)
    assert reason == "it takes 10 trials with a score to tell, and there are 4"
    with pytest.raises(NothingToDraw):
        draw_importance(reason)


def test_keys_have_a_panel_each_and_the_rounds_ranges_beneath(two_rounds):
    panels = [panel for panel in draw_slice(two_rounds.history).axes if panel.axison]
    assert [panel.get_xlabel() for panel in panels[2:]] == ["optimizer.lr", "reg.l2.strength"]
    spans = [10 ** np.array(line.get_xdata()) for line in panels[2].lines]
    assert [span.tolist() for span in spans] == [pytest.approx([1e-4, 1.0]), pytest.approx([1e-3, 1e-1])]


def test_a_line_of_the_parallel_picture_has_its_places_on_all_axes(two_rounds):
    history = two_rounds.history
    (panel,) = draw_parallel_coordinates(history).axes
    lines = panel.collections[0].get_segments()
    assert len(lines) == 9  # diverged and failed trials have no score
    heights = [line[-1][1] for line in lines]
    assert heights == sorted(heights)  # the best last, on top
    assert {len(line) for line in lines} == {3}
    axis = key_axis(history, "optimizer.lr")
    low, high = axis.limits
    assert lines[0][0][1] == pytest.approx((math.log10(0.0002) - low) / (high - low))


def test_pictures_are_drawn_for_options_alone(options, tmp_path):
    pictures = draw_figures(options.history, tmp_path, pytest.fail)
    assert [picture.name for picture in pictures] == NAMES
    assert [picture.name for picture in pictures if picture.png is None] == ["importance"]


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_without_a_score_the_points_alone_are_drawn(write_sweep, tmp_path, status):
    space = {"a": Interval(0.0, 1.0), "b": Interval(0.0, 1.0)}
    sweep = write_sweep([space], [[({"a": "0.1", "b": "0.2"}, None, status)]])
    pictures = draw_figures(sweep.history, tmp_path, pytest.fail)
    assert [picture.name for picture in pictures if picture.png] == ["search_space"]
    assert {picture.reason for picture in pictures if not picture.png} >= {"no trial has a score"}


def test_one_key_and_no_trials_at_all_are_no_trouble(write_sweep, tmp_path):
    space = {"lr": Interval(1e-3, 1.0, "log")}
    none = draw_figures(write_sweep([space], [[]], "none").history, tmp_path, pytest.fail)
    assert not any(picture.png for picture in none)
    one = draw_figures(write_sweep([space], [[({"lr": "0.1"}, 0.5, "finished")]], "one").history, tmp_path, pytest.fail)
    assert [picture.name for picture in one if picture.png] == [
        "search_space",
        "slice",
        "history",
        "parallel_coordinates",
    ]


def test_eight_keys_with_long_names_fit_and_a_failing_picture_is_one_warning(write_sweep, tmp_path, monkeypatch):
    names = [f"reg.a_regularizer_with_a_long_name.its_strength_{n}" for n in range(8)]
    space = {name: Interval(1e-6, 1.0, "log", zero=0.2) for name in names}
    trials = [
        ({name: f"{10.0 ** -(i % (n + 2)):g}" for n, name in enumerate(names)}, i / 20, "finished") for i in range(12)
    ]
    monkeypatch.setattr(slice_plot, "draw_slice", lambda *_: 1 / 0)
    warnings = []
    pictures = draw_figures(write_sweep([space], [trials]).history, tmp_path, warnings.append)
    assert [picture.name for picture in pictures if picture.png is None] == ["slice"]
    assert warnings == ["slice.png could not be drawn: ZeroDivisionError: division by zero"]
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(set(NAMES) - {"slice"})
    for picture in pictures:
        if picture.png:
            assert imread(tmp_path / f"{picture.name}.png").shape[1] > 700


def test_no_text_of_a_picture_leaves_it(two_rounds):
    for paint in (draw_search_space, draw_slice, draw_history, draw_parallel_coordinates):
        figure = paint(two_rounds.history)
        figure.draw_without_rendering()
        texts = [text for panel in figure.axes for text in panel.texts]
        texts += [text for legend in figure.legends for text in legend.get_texts()]
        for text in texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.x1 + 1, text
            assert box.y1 <= figure.bbox.y1 + 1, text


# ---------------------------------------------------------------------------------------------------------------------
# What makes them readable


def test_the_bars_of_importance_stand_apart_from_the_largest_down_with_their_share_beside(two_rounds):
    fractions = {"a": 0.6, "b": 0.3, "c": 0.1}
    (panel,) = draw_importance(Importance(fractions, 0.9, 12)).axes
    tops = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in panel.patches]
    assert all(above[1] < below[0] for above, below in itertools.pairwise(tops))
    assert panel.yaxis_inverted()
    assert [text.get_text() for text in panel.get_yticklabels()] == ["a", "b", "c"]
    assert [(text.get_text(), text.get_position()[1]) for text in panel.texts] == [("60%", 0), ("30%", 1), ("10%", 2)]
    for bar, text in zip(panel.patches, panel.texts, strict=True):
        assert bar.get_width() < text.get_position()[0] < bar.get_width() + 0.03
    assert panel.get_xlim()[1] > max(fractions.values())
    assert "poor fit" not in panel.get_xlabel()
    assert "diverged" not in panel.get_xlabel()


@pytest.mark.parametrize(("r2", "poor"), [(0.49, True), (0.5, False)])
def test_a_fit_below_a_half_is_called_poor(r2, poor):
    (panel,) = draw_importance(Importance({"a": 1.0}, r2, 12)).axes
    assert ("poor fit" in panel.get_xlabel()) == poor


def test_of_many_keys_the_twelve_most_important_have_a_bar():
    (panel,) = draw_importance(Importance({f"key{n}": (20 - n) / 200 for n in range(15)}, 0.9, 50)).axes
    assert [text.get_text() for text in panel.get_yticklabels()] == [f"key{n}" for n in range(12)]


@pytest.mark.parametrize("sweep", ["two_rounds", "options"])
def test_dots_lie_over_lines_and_ranges_and_the_star_over_all(request, sweep):
    panel = draw_search_space(request.getfixturevalue(sweep).history).axes[0]
    (star,) = by_gid(panel, "best")
    dots = max(panel.collections, key=lambda artist: len(artist.get_offsets()))
    others = [artist.get_zorder() for artist in [*panel.lines, *panel.patches] if artist is not panel.patch]
    assert max(others) < 1.5 < dots.get_zorder() < star.get_zorder()


def test_dots_are_larger_in_later_rounds_and_pruned_ones_hollow(two_rounds):
    panel = draw_search_space(two_rounds.history).axes[0]
    dots = max(panel.collections, key=lambda artist: len(artist.get_offsets()))
    sizes = dots.get_sizes()  # three of the first round, of which the last was pruned, and two of the second
    assert sizes[0] == sizes[1] == sizes[2] < sizes[3] == sizes[4]
    white = [tuple(color[:3]) == (1, 1, 1) for color in dots.get_facecolors()]
    assert white == [False, False, True, False, False]


def test_a_trial_without_a_score_stands_beneath_the_scores_with_its_cross(write_sweep):
    space = {"lr": Interval(0.0, 1.0)}
    trials = [({"lr": "0.25"}, 0.6, "finished"), ({"lr": "0.5"}, 0.7, "finished"), ({"lr": "0.75"}, None, "failed")]
    history = write_sweep([space], [trials]).history
    lowest = score_axis(history).place(0.6)
    for panel in (draw_search_space(history).axes[0], draw_slice(history).axes[0]):
        cross = next(artist for artist in panel.collections if np.isclose(artist.get_offsets()[0][0], 0.75))
        assert panel.get_ylim()[0] < cross.get_offsets()[0][1] < lowest
    bands = by_gid(draw_search_space(history).axes[0], "round 0")
    assert [(band.get_x(), band.get_x() + band.get_width()) for band in bands] == [(0.0, 1.0)]


def test_one_key_is_drawn_against_the_score_with_the_bounds_of_its_ranges(write_sweep):
    space = {"lr": Interval(1e-3, 1.0, "log")}
    narrow = {"lr": Interval(1e-2, 1e-1, "log")}
    trials = [[({"lr": "0.02"}, 0.8, "finished")], [({"lr": "0.05"}, 0.9, "finished")]]
    history = write_sweep([space, narrow], trials).history
    panel = draw_search_space(history).axes[0]
    assert sorted(line.get_xdata()[0] for line in panel.lines) == pytest.approx([-3, -2, -1, 0])
    (star,) = by_gid(panel, "best")
    assert star.get_offsets()[0].tolist() == pytest.approx([math.log10(0.05), score_axis(history).place(0.9)])
    assert caption(history).startswith("Every trial by its value and its score; the bands are the ranges")
    assert panel.get_ylabel() == "val/accuracy"
    labels = [text.get_text() for text in panel.figure.legends[0].get_texts()]
    assert labels == ["round 1: 1 trial of 1 epoch", "round 2: 1 trial of 2 epochs", "best point"]


def test_long_names_of_options_stand_aslant_so_that_they_do_not_overlap(write_sweep):
    def labels(*names):
        space = {"model": Categorical(names), "lr": Interval(0.0, 1.0)}
        trials = [({"model": name, "lr": "0.5"}, 0.5, "finished") for name in names]
        panel = draw_search_space(write_sweep([space], [trials], names[0]).history).axes[0]
        assert panel.get_xlabel() == "model"  # options across
        return {(text.get_text(), text.get_rotation()) for text in panel.get_xticklabels()}

    assert labels("mlp", "linear") == {("mlp", 0), ("linear", 0)}
    long = "a_convolutional_network"
    assert labels(long, "mlp", "linear") == {("a_convolut…al_network", 30), ("mlp", 30), ("linear", 30)}


def test_the_slice_says_the_score_once_a_row_and_hides_panels_without_a_key(write_sweep):
    space = {f"key{n}": Interval(0.0, 1.0) for n in range(4)}
    trials = [({f"key{n}": str((i + n) / 10) for n in range(4)}, 0.1 * i, "finished") for i in range(4)]
    figure = draw_slice(write_sweep([space], [trials]).history)
    above = [panel for place, panel in enumerate(figure.axes) if place // 3 in (0, 2)]
    assert [panel.get_ylabel() for panel in above[:4]] == ["val/accuracy", "", "", "val/accuracy"]
    assert [panel.axison for panel in above] == [True] * 4 + [False] * 2


def test_of_options_a_bar_beneath_is_as_long_as_their_share(write_sweep):
    space = {"o": Categorical(("a", "b"), (0.75, 0.25)), "lr": Interval(0.0, 1.0)}
    trials = [({"o": o, "lr": "0.5"}, 0.5, "finished") for o in "ab"]
    panels = draw_slice(write_sweep([space], [trials]).history).axes
    bars = [np.ptp(line.get_xdata()) for line in panels[2].lines]
    middles = [np.mean(line.get_xdata()) for line in panels[2].lines]
    assert bars[0] / bars[1] == pytest.approx(3)
    assert max(bars) < 1
    assert middles == pytest.approx([0, 1])


def test_the_score_of_the_best_point_ends_its_line_in_the_parallel_picture(two_rounds):
    history = two_rounds.history
    (panel,) = draw_parallel_coordinates(history).axes
    best = next(line for line in panel.lines if line.get_label() == "best point")
    assert len(best.get_xdata()) == 3
    low, high = score_axis(history).limits
    assert best.get_ydata()[-1] == pytest.approx((score_axis(history).place(0.95) - low) / (high - low))
    assert best.get_zorder() > panel.collections[0].get_zorder()
    names = [text.get_text() for text in panel.texts if text.get_position()[1] > 1]
    assert names == ["optimizer.lr", "reg.l2.strength", "val/accuracy"]


def test_two_round_values_are_better_labels_than_the_bounds():
    assert nice_values(0.9, 12, "log", 2) == pytest.approx([1, 10])
    assert nice_values(0.9, 5, "log", 1) == [0.9, 5]


def test_small_ticks_stand_at_every_digit_of_the_decades_up_to_the_rim_of_the_axis():
    found = [10**t for t in Axis("x", -3, 0, "log").minor_ticks()]
    decades = [digit * 10**power for power in (-3, -2, -1) for digit in range(1, 10)]
    assert found == pytest.approx([8e-4, 9e-4, *decades, 1])
    assert Axis("x", -3, 0).minor_ticks() == []
    assert Axis("x", 0, 1, "log", options=("a", "b")).minor_ticks() == []
    assert Axis("x", -10, 0, "log").minor_ticks() == []
    assert len(Axis("x", -9, 0, "log").minor_ticks()) > 80


def test_the_history_is_against_trials_and_seconds_with_one_name_of_the_score(two_rounds):
    panels = draw_history(two_rounds.history).axes
    assert [panel.get_ylabel() for panel in panels] == ["val/accuracy", ""]
    assert [panel.get_xlabel() for panel in panels] == ["trials ended", "seconds"]
    assert panels[0].get_xlim() == pytest.approx((0, 11 * 1.02))
    assert len([line for line in panels[0].lines if line.get_linestyle() == "--"]) == 2  # between three rounds


def test_a_forest_that_fails_is_one_warning_and_its_picture_alone_lacks(two_rounds, tmp_path, monkeypatch):
    monkeypatch.setattr("runner.sweep.report.figures.draw.compute_importance", lambda history: 1 / 0)
    warnings = []
    pictures = {one.name: one for one in draw_figures(two_rounds.history, tmp_path, warnings.append)}
    assert warnings == ["importance.png: the forest failed (ZeroDivisionError: division by zero)"]
    assert [name for name, one in pictures.items() if one.png is None] == ["importance"]
    assert "the forest failed" in pictures["importance"].reason


def test_a_clock_is_never_made_faster():
    events = [
        {"time": "2026-01-01T00:00:00", "event": "started", "trial": 0},
        {"time": "2026-01-01T00:00:30", "event": "finished", "trial": 0},
        {"time": "2026-01-01T00:01:00", "event": "resumed", "trial": None, "seconds_before": 60.0},
        {"time": "2026-01-01T00:01:10", "event": "finished", "trial": 1},
    ]
    assert [end.seconds for end in ends_of(events, 80.0)] == pytest.approx([30, 70], abs=1.01)
