"""A folder's config on the disk: read as OmegaConf reads it, from the JSON beside the YAML while that belongs to it."""

import json

import pytest
import yaml
from omegaconf import OmegaConf

import runner
from runner import config
from runner.errors import UserError
from runner.store import config_file, read_config, read_overrides, write_config
from runner.store.config_file import read_leaves, read_value
from runner.store.flat import flatten, unflatten

NESTED = {
    "seed": 3,
    "name": None,
    "model": {"hidden": [8, 8], "sizes": {}},
    "reg": {},
    "optimizer": {
        "lr": 1e-3,
        "inner": {"deep": {"on": True}},
        "param_groups": [{"params": "biases", "lr_scale": 2}],
    },
}
LEAVES = {
    "seed": 3,
    "name": None,
    "model.hidden": [8, 8],
    "model.sizes": {},
    "reg": {},
    "optimizer.lr": 1e-3,
    "optimizer.inner.deep.on": True,
    "optimizer.param_groups": [{"params": "biases", "lr_scale": 2}],
}


def test_leaves_have_dotted_keys_and_lists_are_leaves():
    assert flatten(NESTED) == LEAVES
    assert config.flatten(OmegaConf.create(NESTED)) == LEAVES
    assert unflatten(LEAVES) == NESTED
    assert flatten({}) == {}


@pytest.fixture
def read_text(tmp_path):
    """Leaves of a config that is written as YAML alone."""

    def read(text):
        (tmp_path / "config.yaml").write_text(text)
        return read_leaves(tmp_path)

    return read


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model=mlp", "model.hidden=[8,8]", "reg=[l2,dropout]", "reg.l2.strength=1e-7", "engine.clip_grad_norm=.5"],
        ["data=synthetic", "augment=[flip,crop]", "average=ema", "name='2026-01-31'", "schedule=step"],
        ["experiment=resnet_2015", "data.root='/a b: c#'", "objective.name=val/loss", "objective.mode=min"],
        ["name='1e-3'", "output_dir='no'"],
    ],
)
def test_a_config_is_read_as_it_was_written_from_either_file(tmp_path, words):
    cfg = runner.compose(words)
    write_config(tmp_path, cfg, words)
    expected = config.flatten(cfg)
    assert read_overrides(tmp_path) == words
    assert read_config(tmp_path) == cfg
    for remove in ("config.json", None):  # with it, then without
        leaves = read_leaves(tmp_path)
        assert leaves == expected
        assert list(leaves) == list(expected)
        assert list(map(type, leaves.values())) == list(map(type, expected.values()))
        if remove:
            (tmp_path / remove).unlink()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1e-3\nb: 1.e5\nc: 2026-01-31\nd: 012\ne: 'yes'\nf: yes\ng: 1_000.5\nh: .e5\ni: -1E3\nj: e5\n",
            {"a": 0.001, "b": 1e5, "c": "2026-01-31", "d": 10, "e": "yes", "f": True, "g": 1000.5}
            | {"h": ".e5", "i": -1000.0, "j": "e5"},
        ),
        (
            "a:\n- 1\n- 2\nb: |\n  text\n\n  c: more\nc: 'long\n  text: with colon'\n",
            {"a": [1, 2], "b": "text\n\nc: more\n", "c": "long text: with colon"},
        ),
        ("# comment\na: {b: {c: 1}}\n\nd: []\n", {"a.b.c": 1, "d": []}),
        ("{a: 1,\nb: 2}\n", {"a": 1, "b": 2}),
        ("a: &x [1, 2]\nb: *x\n", {"a": [1, 2], "b": [1, 2]}),
    ],
)
def test_odd_yaml_is_read_as_omegaconf_reads_it(read_text, tmp_path, text, expected):
    found = read_text(text)
    assert found == expected == config.flatten(OmegaConf.create(text))
    assert list(map(type, found.values())) == list(map(type, expected.values()))
    assert read_config(tmp_path) == OmegaConf.create(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("3", 3),
        ("true", True),
        ("null", None),
        ("[1, a]", [1, "a"]),
        ("adam", "adam"),
        ("12:30:00", 45000),
    ],
)
def test_a_value_is_read_as_in_a_config(text, value):
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


def test_the_yaml_file_is_for_people_to_read(tmp_path):
    shared = [1, 2]
    write_config(tmp_path, OmegaConf.create({"b": {"name": "über", "lr": 1e-3}, "a": shared, "c": shared}), [])
    expected = "b:\n  name: über\n  lr: 0.001\na:\n- 1\n- 2\nc:\n- 1\n- 2\n"
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == expected


def test_a_yaml_file_that_somebody_has_changed_counts(tmp_path):
    write_config(tmp_path, OmegaConf.create(NESTED), [])
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    assert read_leaves(tmp_path) == LEAVES | {"seed": 4}
    assert read_config(tmp_path).seed == 4


def test_the_json_file_is_read_where_it_belongs_to_the_yaml(tmp_path, monkeypatch):
    write_config(tmp_path, OmegaConf.create(NESTED), [])

    def refuse(*args, **options):
        raise AssertionError("parsed")

    monkeypatch.setattr(yaml, "load", refuse)
    assert read_leaves(tmp_path) == LEAVES


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", "3", '{"values": {"seed": 9}}', '{"yaml_sha256": "x", "values": {}}']
)
def test_a_damaged_json_file_leaves_the_yaml(tmp_path, content):
    write_config(tmp_path, OmegaConf.create(NESTED), [])
    (tmp_path / "config.json").write_text(content)
    assert read_leaves(tmp_path) == LEAVES


def test_it_says_of_which_format_it_is(tmp_path):
    write_config(tmp_path, OmegaConf.create(NESTED), [])
    assert json.loads((tmp_path / "config.json").read_text())["format"] == config_file.FORMAT == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed: [", "cannot be read"),
        ("only text", "not a config"),
        ("- 1\n- 2\n", "not a config"),
        ("", "not a config"),
        ("model: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("seed: !!set {x}", "is not a supported primitive type"),
        (None, "No such file"),
    ],
)
def test_a_config_that_cannot_be_read_is_named_in_one_line(tmp_path, text, reason):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/config.yaml: cannot be read (")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    config_file.replace_file(path, "one")
    assert path.read_text() == "one"
    monkeypatch.setattr(type(path), "replace", lambda self, target: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        config_file.replace_file(path, "other")
    assert path.read_text() == "one"


def test_a_config_with_many_yaml_aliases_is_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x]", *(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 20)}]" for level in range(1, 20))]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"config\.yaml: cannot be read \(it has many YAML aliases\)"):
        read_leaves(tmp_path)
    (tmp_path / "config.yaml").write_text("pattern: 'fc.*'\nother: a*b\n")
    assert read_leaves(tmp_path) == {"pattern": "fc.*", "other": "a*b"}


def test_what_a_config_takes_from_elsewhere_is_written_as_its_value(tmp_path):
    write_config(tmp_path, OmegaConf.create({"seed": 3, "data": {"split_seed": "${seed}"}}), [])
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["data"]["split_seed"] == 3
    assert read_leaves(tmp_path)["data.split_seed"] == 3


def test_sixteen_aliases_are_read_and_no_more(read_text):
    text = "seed: &seed 3\nmodel: [{}]\n"
    assert read_text(text.format(", ".join(["*seed"] * 16)))["model"] == [3] * 16
    with pytest.raises(UserError):
        read_text(text.format(", ".join(["*seed"] * 17)))
