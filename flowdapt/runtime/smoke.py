"""Be the smallest stage there is: whether an executor runs code at all is tried with it before a switch."""

from __future__ import annotations

__all__ = ["SMOKE_TARGET", "answer"]

SMOKE_TARGET = "flowdapt.runtime.smoke:answer"


def answer(question: int) -> dict[str, int]:
    """Return what shows that the input has arrived and that Python has run."""
    return {"question": question, "answer": question * question}
