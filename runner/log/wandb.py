"""An observer that writes a run's hyperparameters and metrics for Weights & Biases: `log=wandb`.

Needs the extra `wandb`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from runner.engine.observer import Record
from runner.engine.state import TrainState
from runner.errors import UserError

try:
    import wandb
except ImportError:
    raise UserError("log: wandb is not installed; pip install 'runner[wandb]'") from None


class WandB:
    """Follows one run. What it writes lies in the run's folder, under `wandb`; `wandb sync` sends it.

    Args:
        folder: of the run; its name is the run's.
        hparams: flat hyperparameters.
        trial: whose run it is, where several train together.
        project: the folder above the run's, if None.
        mode: offline writes files alone; online sends them at once.

    Raises:
        UserError: the mode is online, and nobody is logged in or the server does not answer.
    """

    def __init__(
        self,
        folder: Path,
        hparams: Mapping[str, Any],
        trial: int = 0,
        project: str | None = None,
        mode: Literal["offline", "online"] = "offline",
    ) -> None:
        self.trial = trial
        path = folder.absolute()
        try:
            self.run = wandb.init(
                project=project or path.parent.name,
                name=path.name,
                id=hashlib.sha256(str(path).encode()).hexdigest()[:16],  # the same where the run goes on
                resume="allow",
                reinit="create_new",  # several runs of one process are apart
                mode=mode,
                dir=path,
                config=dict(hparams),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except (wandb.errors.UsageError, wandb.errors.CommError) as error:
            line = str(error).splitlines()[0]
            raise UserError(f"log.observers.0.mode: {mode} cannot be used ({line}); use offline") from None
        self.run.define_metric("*", step_metric="step")  # its own count may only grow, and a run that goes on does not

    def started(self, state: TrainState) -> None:
        pass

    def reported(self, state: TrainState, losses: list[float]) -> None:
        pass

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial in state.present:
            self.run.log(dict(records[self.trial]))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self.run.finish(exit_code=0 if error is None else 1)
