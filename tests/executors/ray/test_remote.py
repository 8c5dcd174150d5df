"""What a Ray worker hears of a task's body, also when Ray interrupts it at the worst moment."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from flowdapt.domain.task import TaskCall
from flowdapt.plugins.executors.ray import remote


class _Interrupted(queue.SimpleQueue[Any]):
    """Is interrupted once: just when the last word was handed over, which is lost with it."""

    done = False

    def get(self, *args: Any, **options: Any) -> Any:
        word = super().get(*args, **options)
        if word is None and not self.done:
            self.done = True
            raise KeyboardInterrupt
        return word


class _Hosted:
    """A body that ends at once; asked to stop then, it has nothing to stop."""

    def run(self, call: TaskCall, held: Any, say: Any, handle: str) -> str:
        say(b"word")
        return "result"


def test_a_body_that_ends_just_when_it_is_cancelled_is_heard_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote.queue, "SimpleQueue", _Interrupted)
    monkeypatch.setattr(remote, "_on_devices", lambda call: call)
    monkeypatch.setattr(remote, "_LOOK_S", 0.01)
    errand: Any = type("Errand", (), {"call": None, "handle": "h"})
    body = remote._Body(_Hosted(), errand, {})  # type: ignore[arg-type]  # a stand-in
    assert body.next_word() == b"word"
    with pytest.raises(KeyboardInterrupt):
        body.next_word()
    assert body.next_word() is None
    assert body.result() == "result"  # type: ignore[comparison-overlap]  # a stand-in
