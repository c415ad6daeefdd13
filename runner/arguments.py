"""The arguments of commands that are not composed by Hydra."""

import argparse
from typing import NoReturn

from runner import renamed
from runner.errors import UserError


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
