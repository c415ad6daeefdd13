"""Rounds as sweep.json has them."""

import pytest

from runner.errors import UserError
from runner.sweep.record.rounds import FinalRound, SearchRound, read_rounds

SEARCH = {"kind": "search", "index": 0, "epochs": 2, "num_trials": 3, "ranges": {}, "notes": [], "strategy": {}}
FINAL = {"kind": "finals", "index": 1, "epochs": 2, "num_trials": 1, "points": [{"optimizer.lr": "0.1"}], "seeds": [7]}


def test_rounds_are_read_as_they_were_written():
    search, final = read_rounds([SEARCH, FINAL])
    assert isinstance(search, SearchRound)
    assert isinstance(final, FinalRound)
    assert (search.to_json(), final.to_json()) == (SEARCH, FINAL | {"ranges": {}, "notes": []})


@pytest.mark.parametrize(
    "changed",
    [
        SEARCH | {"num_trials": "3"},
        SEARCH | {"ranges": []},
        SEARCH | {"strategy": "text"},
        SEARCH | {"kind": "other"},
        FINAL | {"points": "text"},
        FINAL | {"points": ["text"]},
        FINAL | {"seeds": [{}]},
        FINAL | {"unknown": 1},
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(changed):
    with pytest.raises(UserError, match=r"^sweep\.json: its rounds cannot be read .*; restore the file from a copy$"):
        read_rounds([changed])


def test_what_a_strategy_wrote_down_and_is_gone_is_named():
    (round_,) = read_rounds([SEARCH | {"strategy": {"best": None}}])
    assert round_.strategy["best"] is None
    with pytest.raises(UserError, match=r"sweep\.json: a round's strategy lacks whole; restore the file from a copy"):
        round_.strategy["whole"]
