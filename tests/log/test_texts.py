"""What TensorBoard's Text tab says of a run."""

import pytest
import torch
from torch import nn

from runner.log.texts import describe_end, describe_network, describe_run
from runner.model.summary import summarize


def test_a_run_is_told_by_its_command_its_options_and_what_it_runs_on():
    record = {"command": "runner train optimizer=adam", "choices": {"optimizer": "adam", "data": "digits"}}
    environment = {"format": 2, "python": "3.12", "device": "cpu", "packages": {"torch": "2.11", "numpy": None}}
    assert describe_run(record, environment) == {
        "run/command": "    runner train optimizer=adam",
        "run/choices": "| group | option |\n| --- | --- |\n| data | digits |\n| optimizer | adam |",
        "run/environment": "|  |  |\n| --- | --- |\n| python | 3.12 |\n| device | cpu |\n"
        "| torch (package) | 2.11 |\n| numpy (package) | None |",
    }
    assert describe_run(record, {"python": "3.12"})["run/environment"].endswith("| python | 3.12 |")


def test_a_network_is_a_table_with_its_numbers_to_the_right():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 10))
    assert describe_network(summarize(network, torch.zeros(1, 3, 8, 8)), network).splitlines() == [
        "| layer | kind | output | parameters | multiply-adds |",
        "| --- | --- | --- | ---: | ---: |",
        "| conv1 | Conv2d | 4 x 6 x 6 | 112 | 3,888 |",
        "| 1 | Flatten | 144 | 0 | 0 |",
        "| linear1 | Linear | 10 | 1,450 | 1,440 |",
        "| **total** |  |  | **1,562** | **5,328** |",
    ]


@pytest.mark.parametrize(
    ("reason", "text"),
    [("", "**failed**"), ("a <b> | c & d", "**failed**\n\na &lt;b> &#124; c &amp; d")],
)
def test_an_end_is_told_with_its_reason_and_nothing_is_read_as_html(reason, text):
    assert describe_end("failed", reason) == text
