"""Decide which words name a kind: singular, plural, short; and which kinds are runs or artifacts."""

from __future__ import annotations

from flowdapt.cli.usage import UsageProblem, closest

__all__ = ["KIND_WORDS", "kind_of"]

_WORDS = {
    "workflow": ("workflow", "workflows", "wf"),
    "config": ("config", "configs", "cfg"),
    "trigger_rule": ("trigger", "triggers", "trigger_rule", "trigger_rules"),
    "run": ("run", "runs"),
    "artifact": ("artifact", "artifacts"),
    "secret": ("secret", "secrets"),
    "executor": ("executor", "executors"),
    "plugin": ("plugin", "plugins"),
}
KIND_WORDS = {word: kind for kind, words in _WORDS.items() for word in words}


def kind_of(word: str) -> str:
    """Return the kind that a word names; raise UsageProblem with the nearest one."""
    found = KIND_WORDS.get(word.lower().replace("-", "_"))
    if found is None:
        raise UsageProblem(
            f"there is no kind {word!r}",
            suggestion=closest(word, KIND_WORDS),
            fix=f"kinds are {', '.join(_WORDS)}",
        )
    return found
