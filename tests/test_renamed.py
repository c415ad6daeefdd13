"""Each old word is answered in one line with the new one."""

import pytest

import runner
from runner import build, cli, reg, renamed, tta
from runner.errors import UserError

VALUES = {"data.loading=resident": [], "augment.crop.padding_mode=constant": ["augment=crop"]}
VALUES |= {"reg.*.layers=channels": ["reg=dropout"], "sweep.strategy=together": []}


def line(raised):
    text = str(raised.value)
    assert "\n" not in text
    return text


def command_of(key):
    return "sweep" if key.startswith("sweep.") else "train"


@pytest.mark.parametrize("word", [*renamed.OPTIONS, *(f"{group}=flip" for group in renamed.GROUPS)])
def test_an_old_option_is_answered_with_the_new_one(word):
    group, _, option = word.partition("=")
    new = renamed.OPTIONS.get(word, f"{renamed.GROUPS.get(group)}={option}")
    with pytest.raises(UserError) as raised:
        runner.compose([word])
    assert f"it is now {new}" in line(raised)


@pytest.mark.parametrize("old", renamed.KEYS)
def test_an_old_key_is_answered_with_the_new_one(old):
    key, new = (pattern.replace("*", "dropout") for pattern in (old, renamed.KEYS[old]))
    with pytest.raises(UserError) as raised:
        runner.config.compose([f"{key}=1"], command_of(key))
    assert f"{key}: no such key; it is now {new}" in line(raised)


@pytest.mark.parametrize("old", renamed.VALUES)
def test_an_old_value_is_answered_with_the_new_one(old):
    word = old.replace("*", "dropout")
    made = runner.config.compose([*VALUES[old], word], command_of(old))
    check = runner.config.check_sweep if old.startswith("sweep.") else runner.config.check
    with pytest.raises(UserError) as raised:
        check(made)
    assert f"{old.partition('=')[2]} is now {renamed.VALUES[old]}" in line(raised)


@pytest.mark.parametrize("old", renamed.PARAM_GROUP_KEYS)
def test_an_old_key_of_a_parameter_group_is_answered_with_the_new_one(old):
    words = ["model=mlp", f"optimizer.param_groups=[{{params: biases, lr_scale: 2, {old}: 1}}]"]
    with pytest.raises(UserError) as raised:
        build.training(runner.compose(words))
    assert f"it is now {renamed.PARAM_GROUP_KEYS[old]}" in line(raised)


@pytest.mark.parametrize("old", renamed.FLAGS)
def test_an_old_flag_is_answered_with_the_new_one(old, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["compare", old])
    assert f"it is now {renamed.FLAGS[old]}" in capsys.readouterr().err


@pytest.mark.parametrize("old", renamed.COLUMNS)
def test_an_old_column_is_answered_with_the_new_one(old, capsys, write_run):
    folder = write_run("a").parent
    with pytest.raises(SystemExit, match="2"):
        cli.main(["compare", str(folder), "--sort", old])
    assert f"it is now {renamed.COLUMNS[old]}" in capsys.readouterr().err


@pytest.mark.parametrize("old", ["Regulariser", "regularisers", "views", "Views", "Noisy", "MirrorTranslate", "stack"])
def test_an_old_name_of_python_is_answered_with_the_new_one(old):
    home = {"Regulariser": reg, "Views": tta, "Noisy": tta, "MirrorTranslate": tta}
    with pytest.raises(AttributeError, match=f"it is now {renamed.NAMES[old]}"):
        getattr(home.get(old, build), old)


@pytest.mark.parametrize("old", ["soften", "constrain"])
def test_an_old_method_of_a_regularizer_is_answered_with_the_new_one(old):
    with pytest.raises(TypeError, match=f"it is now {renamed.NAMES[old]}"):
        type("Mine", (reg.Regularizer,), {old: lambda self: None})


def test_an_old_method_of_a_run_is_answered_with_the_new_one():
    with pytest.raises(AttributeError, match="it is now print_summary"):
        runner.Run.__getattr__(object.__new__(runner.Run), "summarise")


def test_a_network_with_the_old_method_is_told_the_new_one():
    assert renamed.NAMES["fit_to_images"] == "init_from_data"


def test_every_new_word_is_one_that_composes():
    assert "tta=mc_dropout" in renamed.OPTIONS.values()
    for new in {*renamed.OPTIONS.values()} - {"hydra/sweeper=runner"}:
        runner.compose(new.split())


def test_an_old_key_of_an_old_group_is_answered_with_its_newest_name():
    assert renamed.new_key("views.enlarge") == "tta.scale"
