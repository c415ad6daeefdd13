"""`runner tag RUN WORD..` and `runner note RUN TEXT`: what people write beside a run or a sweep."""

from collections.abc import Sequence

from runner.arguments import ArgumentParser
from runner.command.stored import add_folder
from runner.errors import UserError
from runner.store.annotations import read_annotations, write_annotations
from runner.store.listing import entry_at


def tag(words: Sequence[str]) -> int:
    """Read the arguments of `runner tag`, add or remove tags, and give the exit status."""
    parser = ArgumentParser(
        prog="runner tag",
        description="Add tags to a run or a sweep, for runner list --tag and runner compare --where tags=WORD.",
        epilog="example: runner tag last baseline",
    )
    add_folder(parser)
    parser.add_argument("tags", nargs="+", metavar="WORD", help="a tag of letters, digits, dots and hyphens")
    parser.add_argument("--remove", action="store_true", help="take these tags away")
    arguments = parser.parse_intermixed_args(list(words))
    path = entry_at(arguments.folder).path
    for word in arguments.tags:
        if not word.replace("-", "").replace(".", "").replace("_", "").isalnum():
            raise UserError(f"{word}: no tag; use letters, digits, dots and hyphens")
    tags, note = read_annotations(path)
    kept = [word for word in tags if word not in arguments.tags]
    write_annotations(path, kept if arguments.remove else [*kept, *dict.fromkeys(arguments.tags)], note)
    print(f"{path}: {' '.join(read_annotations(path)[0]) or 'no tags'}")
    return 0


def note(words: Sequence[str]) -> int:
    """Read the arguments of `runner note`, replace the note, and give the exit status."""
    parser = ArgumentParser(
        prog="runner note",
        description="Write a note to a run or a sweep, in place of the one before; an empty text removes it.",
        epilog="example: runner note 7 'the learning rate was too high'",
    )
    add_folder(parser)
    parser.add_argument("text", nargs="+", help="the note")
    arguments = parser.parse_intermixed_args(list(words))
    path = entry_at(arguments.folder).path
    tags, _ = read_annotations(path)
    write_annotations(path, tags, " ".join(arguments.text).strip())
    print(f"{path}: {read_annotations(path)[1] or 'no note'}")
    return 0
