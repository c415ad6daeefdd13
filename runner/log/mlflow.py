"""An observer that writes a run's hyperparameters and metrics to MLflow: `log=mlflow`. Needs the extra `mlflow`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.engine.observer import Record, how_it_ended
from runner.engine.state import TrainState
from runner.errors import UserError
from runner.log.tags import metrics

try:
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError:
    raise UserError("log: mlflow is not installed; pip install 'runner[mlflow]'") from None

RUN_OF_FOLDER = "runner.folder"  # tag by which a run that goes on finds itself
STATUSES = {"finished": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "interrupted": "KILLED"}


class MLflow:
    """Follows one run. MLflow's interface with a client is used, which has no state in the process.

    Args:
        folder: of the run; its name is the run's, that of the folder above the experiment's.
        hparams: flat hyperparameters.
        trial: whose run it is, where several train together.
        tracking_uri: a server or a database, such as http://localhost:5000.

    Raises:
        UserError: the server or the database cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        hparams: Mapping[str, Any],
        trial: int = 0,
        tracking_uri: str = "sqlite:///outputs/mlflow.db",
    ) -> None:
        self.trial = trial
        self.state: TrainState | None = None
        self.client = MlflowClient(tracking_uri)
        try:
            self.run_id = self._run(folder.absolute(), hparams)
        except MlflowException as error:
            line = str(error).splitlines()[0]
            raise UserError(f"log.observers.0.tracking_uri: {tracking_uri} cannot be used ({line})") from None

    def _run(self, folder: Path, hparams: Mapping[str, Any]) -> str:
        """The run of this folder, where there is one, or a new one."""
        name = folder.parent.name
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        quoted = str(folder).replace("'", "\\'")
        earlier = self.client.search_runs([experiment], f"tags.`{RUN_OF_FOLDER}` = '{quoted}'", max_results=1)
        if earlier:
            run_id: str = earlier[0].info.run_id
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        made = self.client.create_run(experiment, run_name=folder.name, tags={RUN_OF_FOLDER: str(folder)})
        params = [Param(key, str(value)) for key, value in hparams.items()]
        self.client.log_batch(made.info.run_id, params=params)
        return str(made.info.run_id)

    def started(self, state: TrainState) -> None:
        self.state = state

    def reported(self, state: TrainState, losses: list[float]) -> None:
        pass

    def epoch_ended(self, state: TrainState, records: list[Record]) -> None:
        if self.trial not in state.present:
            return
        moment = int(1000 * time.time())
        values = metrics(records[self.trial])
        self.client.log_batch(self.run_id, [Metric(name, value, moment, state.step) for name, value in values.items()])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        status, _ = how_it_ended(self.state, self.trial, error)
        self.client.set_terminated(self.run_id, STATUSES.get(status, "KILLED"))
