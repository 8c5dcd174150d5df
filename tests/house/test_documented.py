"""What is not documented does not exist: errors, settings, hooks, commands and routes."""

from __future__ import annotations

import ast
import re
from collections import Counter

from flowdapt.domain import errors, events
from flowdapt.domain.config import ConfigSpec
from flowdapt.domain.resource import Metadata
from flowdapt.domain.workflow import Concurrency, RetryPolicy, StageSpec, WorkflowSpec
from tests.docs.codes import error_classes, exact_codes
from tests.docs.tables import every_hook
from tests.docs.tables import settings as settings_table
from tests.house.source import modules, reference


def test_every_error_has_a_code_of_its_own() -> None:
    counted = Counter(error.code for error in error_classes())
    assert [code for code, times in counted.items() if times > 1] == []


def test_every_error_is_drawn_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    assert [e.__name__ for e in error_classes() if not re.search(rf"\b{e.__name__}\b", tree)] == []


def test_every_error_is_public() -> None:
    assert {error.__name__ for error in error_classes()} <= set(errors.__all__)


def test_every_error_code_has_words_in_the_reference() -> None:
    """The tables are made from the code; what they cannot find words for is said there by hand."""
    assert [one.code for one in exact_codes() if not one.message] == []


def test_every_key_of_a_document_is_documented() -> None:
    page = reference("workflow")
    models = (WorkflowSpec, StageSpec, RetryPolicy, Concurrency, ConfigSpec, Metadata)
    keys = {key for model in models for key in model.model_fields}
    assert sorted(key for key in keys if f"`{key}`" not in page and f"`{key}: " not in page) == []


def test_every_setting_says_what_it_means() -> None:
    silent = [line for line in settings_table().splitlines() if line.endswith("|  |")]
    assert silent == []


def test_every_hook_says_what_it_is_for() -> None:
    hooks = dict(every_hook())
    assert hooks
    assert [name for name, hook in hooks.items() if not hook.__doc__] == []


def test_every_type_of_event_is_documented() -> None:
    page = reference("events")
    types = {v for v in vars(events).values() if isinstance(v, str) and v.startswith("com.event.")}
    assert len(types) > 20
    assert sorted(one for one in types if f"| `{one}` |" not in page) == []


def test_every_type_of_event_stands_in_one_place() -> None:
    """Who would add one elsewhere would forget to document it."""
    found = [
        f"{module.name}: {node.value}"
        for module in modules()
        if module.name != "flowdapt.domain.events" and ".testing" not in module.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"com\.event\.\w+\.\w+", node.value)
    ]
    assert found == []
