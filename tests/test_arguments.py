"""Words of the command line that Hydra's grammar does not take as a shell leaves them."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runner.arguments import with_quoted_patterns


@pytest.mark.parametrize(
    "pattern", [r"^(.+)_\d+", r"(cat|dog)", r"^(\w+)'s\\", "(a)\\", r"^([^']+)\\'", r"/(\w+), {2}\.jpg$", "(a=b)"]
)
def test_a_regular_expression_reaches_the_config_as_the_shell_left_it(pattern):
    words = with_quoted_patterns(["seed=1", f"data.label_regex={pattern}"])
    assert words[0] == "seed=1"
    assert OverridesParser.create().parse_override(words[1]).value() == pattern


@pytest.mark.parametrize(
    "word", ["data.label_regex='(a)'", 'data.label_regex="(a)"', "data.label_regex=", "data.root=(a)"]
)
def test_what_is_quoted_already_or_no_pattern_stays(word):
    assert with_quoted_patterns([word]) == [word]
