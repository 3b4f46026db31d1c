"""The window itself, with children that cost nothing."""

from __future__ import annotations

import asyncio

import pytest
from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import WorkChain, run_get_node, while_
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from plumpy.persistence import Bundle, LoadSaveContext

from aiida_nvp.workflows.window import SlidingWindow

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


class Waits(WorkChain):
    """A child that takes a number of turns."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("turns", valid_type=orm.Int)
        spec.outline(cls.begin, while_(cls.goes_on)(cls.turn))

    def begin(self):
        self.ctx.turn = 0

    def goes_on(self):
        return self.ctx.turn < self.inputs.turns.value

    def turn(self):
        self.ctx.turn += 1


class Windowed(SlidingWindow):
    """A parent of six children, two at a time."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.begin, while_(cls.has_work)(cls.advance), cls.end)
        spec.output("ended", valid_type=orm.List)
        spec.output("widths", valid_type=orm.List)

    def begin(self):
        self.ctx.queue = [3, 1, 1, 1, 1, 1]
        self.ctx.ended, self.ctx.widths = [], []
        self.ctx.children = AttributeDict()

    def has_work(self):
        return bool(self.ctx.queue or self.ctx.children)

    def advance(self):
        self.ctx.ended += sorted(self.finished_children("children"))
        self.ctx.widths.append(len(self.ctx.children))
        while self.ctx.queue and len(self.ctx.children) < 2:
            key = f"child_{6 - len(self.ctx.queue)}"
            inputs = {"turns": orm.Int(self.ctx.queue.pop(0)), "metadata": {"call_link_label": key}}
            self.to_context(**{f"children.{key}": self.submit(Waits, **inputs)})
            assert self.child(key).uuid == self.child(key).uuid
        assert self.child("child_9") is None

    def end(self):
        self.out("ended", orm.List(self.ctx.ended).store())
        self.out("widths", orm.List(self.ctx.widths).store())


def test_every_child_runs_once_and_never_more_than_two():
    outputs, node = run_get_node(Windowed)

    assert node.exit_status == 0
    assert sorted(outputs["ended"].get_list()) == [f"child_{n}" for n in range(6)]
    assert max(outputs["widths"].get_list()) <= 1
    assert len(node.called) == 6


def test_children_under_way_survive_a_checkpoint():
    """What a daemon finds after a restart: the same children awaited, and listened to anew."""
    runner = get_manager().get_runner()
    process = instantiate_process(runner, Windowed)
    child = instantiate_process(runner, Waits, turns=orm.Int(1)).node
    process.ctx.children = AttributeDict()
    process.to_context(**{"children.child_0": child})
    process._listening = frozenset([child.pk])

    bundle = Bundle(process, LoadSaveContext())
    again = bundle.unbundle(LoadSaveContext(runner=runner, loop=asyncio.get_event_loop()))

    assert [awaitable.pk for awaitable in again._awaitables] == [child.pk]
    assert again._listening == frozenset([child.pk])
    again._on_awaitable_finished(again._awaitables[0])
    assert again.finished_children("children")["child_0"].pk == child.pk
    assert again._awaitables == []
    again._on_awaitable_finished(process._awaitables[0])
    assert again.finished_children("children") == {}
