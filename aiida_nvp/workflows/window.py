"""Keep a bounded number of children running: the next one starts when any one ends, not when all have ended."""

from __future__ import annotations

import functools

from aiida.engine import WorkChain
from aiida.engine.processes.workchains.awaitable import Awaitable
from aiida.orm import ProcessNode, load_node
from plumpy.process_states import Continue, ProcessState, Wait


class SlidingWindow(WorkChain):
    """A work chain that wakes up after each child instead of after the last.

    A step hands its new children over with ``to_context`` as ever and returns. While any child runs, a step is followed
    by a wait for the first to end; with none left the outline goes on at once. The children under way are part of the
    checkpoint, so that a restarted daemon listens to them again.

    The base class differs in the three places overridden here: its step forgets what it waited for before, all its
    children must end before its next step, and each of its waits listens anew to each child.
    """

    _awaitables: list[Awaitable]
    _listening: frozenset[int] = frozenset()

    def _do_step(self) -> object:
        before = list(self._awaitables)
        command = super()._do_step()
        if isinstance(command, Continue | Wait):
            self._awaitables = before + self._awaitables
            return Wait(self._do_step, "Waiting for any child") if self._awaitables else command
        return command

    def _action_awaitables(self) -> None:
        # The set is not saved: after a restart of the daemon every child is listened to again.
        for awaitable in self._awaitables:
            done = functools.partial(self.call_soon, self._on_awaitable_finished, awaitable)
            if awaitable.pk not in self._listening:
                self._listening |= {awaitable.pk}
                self.runner.call_on_process_finish(awaitable.pk, done)
            elif load_node(awaitable.pk).is_terminated:
                # It ended while a step ran, when its message found nobody waiting.
                done()

    def _on_awaitable_finished(self, awaitable: Awaitable) -> None:
        waiting = [each for each in self._awaitables if each.pk == awaitable.pk]
        if not waiting:
            return
        super()._on_awaitable_finished(waiting[0])
        if self.state == ProcessState.WAITING and self._awaitables:
            self.resume()

    def finished_children(self, namespace: str) -> dict[str, ProcessNode]:
        """Return and forget the children of ``ctx.<namespace>`` that have ended."""
        children = self.ctx.get(namespace, {})
        ended = {key: node for key, node in children.items() if isinstance(node, ProcessNode)}
        for key in ended:
            del children[key]
        return ended

    def child(self, link_label: str) -> ProcessNode | None:
        """Return the child called under ``link_label``, if it runs, has ended or can still be started.

        A step that was cut short by a crash is run again from its start; what it had submitted is found here. A crash
        between the creation of a child and its handing over leaves one that nobody would ever start: it is handed over
        again, or given up if it was not even saved.
        """
        links = self.node.base.links.get_outgoing(node_class=ProcessNode, link_label_filter=link_label).all_nodes()
        node: ProcessNode | None = max(links, key=lambda each: each.pk, default=None)
        controller = self.runner.controller
        if node is None or controller is None or node.process_state not in (None, ProcessState.CREATED):
            return node
        if node.checkpoint is None:
            return None
        controller.continue_process(node.pk, nowait=False, no_reply=True)
        return node
