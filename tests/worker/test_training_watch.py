"""When a training ends, without a training: the callback between a false trainer and a true session."""

from types import SimpleNamespace

import pytest

from aiida_nvp.worker.job import Job
from aiida_nvp.worker.training_watch import MONITOR, SESSION, Outcome, Session, TrainingWatch


class Trainer(SimpleNamespace):
    """As much of Lightning's trainer as the callback touches."""

    def __init__(self, max_epochs):
        super().__init__(max_epochs=max_epochs, should_stop=False, current_epoch=0, callback_metrics={})

    def save_checkpoint(self, name):
        with open(name, "w") as handle:
            handle.write(str(self.current_epoch + 1))


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Return a function that makes session and callback."""
    monkeypatch.chdir(tmp_path)

    def _begin(**values):
        session = Session(Job(tmp_path, {}), force_limit=100.0, **values)
        token = SESSION.set(session)
        watch = TrainingWatch()
        SESSION.reset(token)
        return session, watch

    return _begin


def run(watch, errors, max_epochs=100, first=0):
    trainer = Trainer(max_epochs)
    for epoch, error in enumerate(errors, start=first):
        trainer.current_epoch = epoch
        trainer.callback_metrics[MONITOR] = error
        watch.on_train_epoch_end(trainer, None)
        if trainer.should_stop:
            break
    return trainer


def test_patience_counts_from_the_best_epoch(begin, tmp_path):
    session, watch = begin(patience=3)
    run(watch, [5.0, 4.0, 4.5, 4.0, 3.0, 3.5, 3.0, 4.0, 1.0])
    assert (session.epochs, session.best_epoch, session.best_rmse) == (8, 5, 3.0)
    assert (session.outcome, session.stopped_early) == (Outcome.FINISHED, True)
    assert (tmp_path / "best.ckpt").read_text() == "5"


def test_without_patience_all_epochs_are_run(begin):
    session, watch = begin()
    run(watch, [1.0] + [2.0] * 20, max_epochs=21)
    assert (session.epochs, session.best_epoch, session.stopped_early) == (21, 1, False)
    assert session.outcome is Outcome.FINISHED


def test_patience_that_ends_with_the_last_epoch_has_stopped_nothing(begin):
    session, watch = begin(patience=2)
    run(watch, [1.0, 2.0, 2.0], max_epochs=3)
    assert (session.epochs, session.stopped_early, session.outcome) == (3, False, Outcome.FINISHED)


def test_patience_goes_on_counting_over_a_restart(begin):
    whole, watch = begin(patience=4)
    errors = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0]
    run(watch, errors)
    _, before = begin(patience=4)
    run(before, errors[:4])
    after, watch = begin(patience=4)
    watch.load_state_dict(before.state_dict())
    run(watch, errors[4:], first=4)
    assert (after.epochs, after.best_epoch, after.stopped_early) == (6, 2, True)
    assert (whole.epochs, whole.best_epoch, whole.stopped_early) == (6, 2, True)


def test_divergence_is_no_lack_of_patience(begin):
    session, watch = begin(patience=1)
    run(watch, [1.0, float("nan")])
    assert (session.outcome, session.stopped_early) == (Outcome.DIVERGED, False)
