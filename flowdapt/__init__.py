"""What a stage author imports. Every name is loaded at first use, so `import flowdapt` is cheap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowdapt.domain.errors import MissingArtifact, MissingObject, NonRetryable
    from flowdapt.embedded import execute_workflow, execute_workflow_async
    from flowdapt.runtime import artifacts, objects
    from flowdapt.runtime.context import RunContext, get_run_context

__version__ = "0.2.0"

__all__ = [
    "MissingArtifact",
    "MissingObject",
    "NonRetryable",
    "RunContext",
    "__version__",
    "artifacts",
    "execute_workflow",
    "execute_workflow_async",
    "get_run_context",
    "objects",
]

# name -> module, or module:attribute
_PLACES = {
    "MissingArtifact": "flowdapt.domain.errors:MissingArtifact",
    "MissingObject": "flowdapt.domain.errors:MissingObject",
    "NonRetryable": "flowdapt.domain.errors:NonRetryable",
    "RunContext": "flowdapt.runtime.context:RunContext",
    "artifacts": "flowdapt.runtime.artifacts",
    "execute_workflow": "flowdapt.embedded:execute_workflow",
    "execute_workflow_async": "flowdapt.embedded:execute_workflow_async",
    "get_run_context": "flowdapt.runtime.context:get_run_context",
    "objects": "flowdapt.runtime.objects",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found: Any = importlib.import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
