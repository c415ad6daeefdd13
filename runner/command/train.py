"""`runner train [KEY=VALUE ..]`: one training run, or several with -m."""

from collections.abc import Sequence

from runner.command.hydra_app import TrainJob, run_hydra
from runner.command.multirun import is_multirun, train_many
from runner.errors import UserError

DRY_RUN, LIKE = "--dry-run", "--like"


def main(words: Sequence[str]) -> int:
    """Compose the config and train; gives the exit status."""
    job = TrainJob(dry_run=DRY_RUN in words)
    words = _like([word for word in words if word != DRY_RUN])
    if is_multirun(words) and not job.dry_run:
        return train_many(words)
    run_hydra("train", words, job)
    return job.status


def _like(words: list[str]) -> list[str]:
    """The words, with `--like RUN` replaced by what was said for that run; says how the new one differs.

    Raises:
        UserError: there is no such run, or what is stored of it is no override.
    """
    at = next((place for place, word in enumerate(words) if word.partition("=")[0] == LIKE), None)
    if at is None:
        return words
    _, equals, named = words[at].partition("=")
    if not equals:
        named = words[at + 1] if at + 1 < len(words) else ""
    if not named:
        raise UserError(f"{LIKE}: expected a run after it: its path, last, its number, or any part of its name")
    changes = words[:at] + words[at + (1 if equals else 2) :]
    from runner import config
    from runner.store import RUN, RunFolder, find_folder
    from runner.sweep.space.overrides import merge_overrides

    folder = RunFolder.open(find_folder(named))
    before = folder.record["overrides"]
    config.check_stored_words(before, folder.path / RUN)
    flags = [word for word in changes if word.startswith("-")]
    said = merge_overrides(before, [word for word in changes if not word.startswith("-")])
    _print_difference(str(folder.path), before, said)
    return [*flags, *said]


def _print_difference(path: str, before: Sequence[str], now: Sequence[str]) -> None:
    old, new = (dict(word.partition("=")[::2] for word in words) for words in (before, now))
    changed = [f"{key}={old[key]} -> {new[key]}" for key in old if old[key] != new.get(key)]
    added = [f"{key}={value}" for key, value in new.items() if key not in old]
    print(f"like {path}" + (f", but {', '.join(changed + added)}" if changed or added else ""), flush=True)
