"""The rounds of a search, as the settings say them."""

import pytest

from runner.errors import UserError
from runner.sweep.settings import RoundPlan, SweepSettings


@pytest.mark.parametrize(
    ("said", "epochs"), [(4, 4), ("50%", 150), ("1%", 3), ("0.1%", 1), ("100%", 300), ("33%", 99), (2.0, 2)]
)
def test_epochs_are_a_number_or_a_share_of_the_whole(said, epochs):
    settings = SweepSettings(rounds=[{"trials": 5, "epochs": said}])
    assert settings.plan_rounds(300) == [RoundPlan(5, epochs)]


@pytest.mark.parametrize(
    ("round_", "message"),
    [
        ({"trials": 5, "epochs": "0%"}, r"sweep\.rounds.*epochs: must be a whole number of epochs, at least 1"),
        ({"trials": 5, "epochs": 1.5}, r"sweep\.rounds.*epochs: must be a whole number of epochs"),
        ({"trials": 5, "epochs": "x%"}, r"sweep\.rounds.*epochs: must be a whole number of epochs"),
        ({"trials": 0, "epochs": 1}, r"sweep\.rounds.*trials: must be at least 1, not 0"),
        ({"trials": 5, "epoch": 1}, r"sweep\.rounds.*epoch: no such key; did you mean 'epochs'"),
        ({"trials": 5}, r"sweep\.rounds.*epochs: must be set, as in {trials: 32, epochs: 2}"),
        (5, r"sweep\.rounds.*: must be like {trials: 32, epochs: 2}, not 5"),
    ],
)
def test_a_round_that_makes_no_sense_is_one_line(round_, message):
    with pytest.raises(UserError, match=message):
        SweepSettings(rounds=[round_]).plan_rounds(300)
