"""Configs of trials for jobs that run in the process that made them, so that none is read back from its folder."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from runner.sweep.record.trial import TrialRecord
from runner.sweep.space.trial_configs import TrialConfigs

# By sweep: what makes the configs of its trials, and the trials that wait for theirs. A number takes less memory than a
# config, of which a round may have ten thousand.
_known: dict[Path, tuple[TrialConfigs, set[int]]] = {}


def begin(sweep: Path, configs: TrialConfigs) -> None:
    """Make the configs of that sweep's trials from now on, in place of whoever did before."""
    _known[sweep.absolute()] = configs, set()


def offer(sweep: Path, number: int) -> None:
    """Have a trial take its config from here: what its folder holds is just what its point makes."""
    _known[sweep.absolute()][1].add(number)


def take(sweep: Path, trial: TrialRecord) -> DictConfig | None:
    """The config of a trial, once, as its folder holds it; None where it has to be read from there."""
    configs, offered = _known.get(sweep.absolute(), (None, set()))
    if configs is None or trial.trial not in offered:
        return None
    offered.remove(trial.trial)
    cfg, _ = configs.of(trial.values)
    OmegaConf.set_struct(cfg, None)  # a stored config has no such flag
    return cfg
