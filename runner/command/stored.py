"""What the commands on a stored run share: a folder, overrides, and whether to trust it."""

from runner.arguments import ArgumentParser
from runner.store import find_folder


def stored_run_parser(command: str, description: str, changes: str, example: str) -> ArgumentParser:
    """A parser of `FOLDER [KEY=VALUE ..] [--trust]`. `changes`: an example of an override."""
    parser = ArgumentParser(prog=f"runner {command}", description=description, epilog=f"example: runner {example}")
    parser.add_argument(
        "folder", type=find_folder, help="the run's folder: its path, last, its number, or any part of its name"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"changes, such as {changes}")
    parser.add_argument(
        "--trust", action="store_true", help="let the stored config build classes that are not runner's"
    )
    return parser
