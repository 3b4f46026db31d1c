"""What looks over a running training: progress, best and last checkpoint, divergence, and the wish to stop."""

from __future__ import annotations

import math
import os
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from aiida_nvp.worker.job import Job
from aiida_nvp.worker.nequip_config import BEST_CHECKPOINT, LAST_CHECKPOINT

MONITOR = "val0_epoch/forces_rmse"


class Outcome(StrEnum):
    """How a training ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"


@dataclass
class Session:
    """The state that one training shares with the callback, which nequip builds out of our reach.

    :param job: receives progress and knows whether to stop.
    :param force_limit: eV/angstrom; a validation error above it counts as divergence.
    :param deadline_s: seconds since the start of the job after which the training stops by itself, or None.
    :param save_every_s: seconds between two checkpoints for a restart.
    :param keep_last: keep the weights of the last epoch instead of those with the lowest validation error.
    :param patience: epochs without a lower validation error after which the training ends, or None.
    """

    job: Job
    force_limit: float
    deadline_s: float | None = None
    save_every_s: float = 60.0
    keep_last: bool = False
    patience: int | None = None
    outcome: Outcome = Outcome.STOPPED
    best_epoch: int = -1
    best_rmse: float = math.inf
    epochs: int = 0
    stopped_early: bool = False
    accelerator: str = ""

    @property
    def out_of_patience(self) -> bool:
        """Whether the best epoch is as many epochs ago as the training may wait for a better one."""
        return self.patience is not None and self.epochs - max(0, self.best_epoch) >= self.patience


SESSION: ContextVar[Session] = ContextVar("SESSION")


class TrainingWatch(Checkpoint):
    """Lightning callback of one training; it acts at the end of an epoch, when the averaged weights are at home."""

    def __init__(self) -> None:
        """Find the session of the training that builds this callback."""
        self.session = SESSION.get()
        self._saved_s = self.session.job.elapsed_s

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training must know."""
        return {"best_rmse": self.session.best_rmse, "best_epoch": self.session.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best epoch of the training before the restart."""
        self.session.best_rmse = float(state_dict["best_rmse"])
        self.session.best_epoch = int(state_dict["best_epoch"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - signature of Lightning
        """Take the signal back from Lightning, which would end the training in the middle of an epoch."""
        self.session.job.listen_for_stop()
        self.session.accelerator = pl_module.device.type

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - signature of Lightning
        """Report the epoch, keep the best weights, and end the training when there is a reason to."""
        session, epoch = self.session, int(trainer.current_epoch)
        session.epochs = epoch + 1
        rmse = float(trainer.callback_metrics[MONITOR])
        session.job.progress(
            epoch=session.epochs, epochs=trainer.max_epochs, validation_force_rmse=rmse if math.isfinite(rmse) else None
        )
        # Written this way round so that a NaN counts as too large.
        if not rmse <= session.force_limit:
            session.outcome = Outcome.DIVERGED
            trainer.should_stop = True
            return
        if session.epochs == trainer.max_epochs if session.keep_last else rmse < session.best_rmse:
            session.best_rmse, session.best_epoch = rmse, session.epochs
            _save(trainer, BEST_CHECKPOINT)
        self._keep_restart(trainer)

    def _keep_restart(self, trainer: Trainer) -> None:
        session, now_s = self.session, self.session.job.elapsed_s
        late = session.deadline_s is not None and now_s > session.deadline_s
        session.stopped_early = session.out_of_patience and session.epochs != trainer.max_epochs
        if session.stopped_early or session.epochs == trainer.max_epochs:
            session.outcome = Outcome.FINISHED
            trainer.should_stop = True
            return
        stop = late or session.job.stop_requested
        if stop or now_s - self._saved_s > session.save_every_s:
            _save(trainer, LAST_CHECKPOINT)
            self._saved_s = now_s
            session.job.progress(checkpoint=session.epochs)
        trainer.should_stop = stop


def _save(trainer: Trainer, name: str) -> None:
    temporary = f"{name}.part"
    trainer.save_checkpoint(temporary)
    os.replace(temporary, name)
