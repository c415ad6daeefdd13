"""What is said before a training."""

import io

import pytest
from rich.console import Console

import runner
from runner.training.header import _device, count_text, network_layers, print_header, print_layers


def told(*words, folder=None, **looks):
    cfg = runner.compose(words)
    dataset = runner.build.data(cfg)
    training = runner.build.training(cfg, dataset)
    console = Console(file=io.StringIO(), width=60, **looks)
    print_header(console, training, dataset, network_layers(training), folder)
    return console.file.getvalue().splitlines()


def test_data_network_device_and_folder_have_a_line_each():
    lines = told("model=linear", folder="outputs/a [bold] name/" + "x" * 60)
    assert lines == [
        "data     1,199 train, 299 val, 299 test images; 10 classes; 1 x 8 x 8",
        "network  650 parameters, 640 multiply-adds per image",
        "device   cpu (1 thread), fp32, images in memory",
        "folder   outputs/a [bold] name/" + "x" * 60,
    ]


def test_no_number_or_path_is_colored_at_a_terminal():
    plain = told("model=linear", folder="outputs/a/0001")
    assert told("model=linear", folder="outputs/a/0001", force_terminal=True, color_system="standard") == plain


def test_how_images_are_read_is_told():
    words = ["model=linear", "data.loading=workers", "engine.precision=bf16"]
    assert told(*words, "data.num_workers=2")[2].endswith("bf16, images read by 2 worker processes")
    assert told(*words, "data.num_workers=0")[2].endswith("bf16, images read by the main process")
    training = runner.build.training(runner.compose(["model=linear"]))
    assert list(_device(training, iter([])))[-1] == "images read by the main process"


def test_the_network_is_a_table_with_totals(looks):
    training = runner.build.training(runner.compose(["model=mlp"]))
    console = Console(file=io.StringIO(), width=100)
    print_layers(console, network_layers(training), training.state.network)
    rows = [line.split() for line in console.file.getvalue().splitlines()]
    assert rows[0] == ["layer", "kind", "output", "parameters", "multiply-adds"]
    assert ["linear1", "Linear", "128", "8,320", "8,192"] in rows
    assert rows[-1] == ["total", "26,122", "25,856"]
    looks("training/layers", console.file.getvalue())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (9999, "9,999"),
        (10_000, "10 k"),
        (56_751, "56.8 k"),
        (347_392, "347 k"),
        (1_814_073_344, "1.81 G"),
        (5_600_000, "5.6 M"),
    ],
)
def test_large_counts_have_three_digits(count, text):
    assert count_text(count) == text
