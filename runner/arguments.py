"""The words of the command line: arguments of commands that Hydra does not compose, and what Hydra cannot parse."""

import argparse
import re
from collections.abc import Iterable
from typing import NoReturn

from runner import renamed
from runner.errors import UserError

PATTERNS = ("data.label_regex=",)  # keys whose values are regular expressions


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, whose mistakes are one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            UserError: always.
        """
        # What may come any number of times is named as missing too.
        what = message.removeprefix("argument ").replace(", KEY=VALUE", "")
        for word in what.split():
            what += renamed.hint(renamed.FLAGS, word)
        raise UserError(f"{self.prog.removeprefix('runner ')}: {what}; see {self.prog} --help")


def with_quoted_patterns(words: Iterable[str]) -> list[str]:
    """The words, with regular expressions quoted as Hydra asks: a shell takes away the quotes that people write."""
    return [_quoted(word) if word.startswith(PATTERNS) else word for word in words]


def _quoted(word: str) -> str:
    key, _, value = word.partition("=")
    if value[:1] in ("'", '"', ""):
        return word
    # In quotes a backslash is itself, unless it stands before a quote.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    ending = len(escaped) - len(escaped.rstrip("\\"))
    return f"{key}='{escaped}{escaped[len(escaped) - ending :]}'"
