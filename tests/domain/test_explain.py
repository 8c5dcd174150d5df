"""What `explain` says comes from the models and is complete."""

from __future__ import annotations

import pytest

from flowdapt.domain.errors import NotFound
from flowdapt.domain.explain import SPECS, explain


def names(path: str) -> list[str]:
    return [field.name for field in explain(path).fields]


def test_a_path_leads_through_lists_and_models() -> None:
    assert names("workflow") == ["kind", "metadata", "spec"]
    assert "max_attempts" in names("workflow.spec.stages.retry")
    assert names("workflows.stages.retry") == names("workflow.spec.stages.retry")
    assert explain("workflow.stages.timeout").type == "duration"
    assert explain("workflow.stages.resources.memory").type == "size"


def test_a_field_says_type_default_and_meaning() -> None:
    (field,) = [f for f in explain("workflow.stages").fields if f.name == "on_lost"]
    assert (field.type, field.default, field.required) == ("retry, fail", '"retry"', False)
    assert field.description


@pytest.mark.parametrize("kind", SPECS)
def test_every_field_of_every_kind_has_words(kind: str) -> None:
    todo, silent = [kind], []
    while todo:
        path = todo.pop()
        for field in explain(path).fields:
            below = f"{path}.{field.name}"
            if field.name != "type" and not field.description:
                silent.append(below)
            if field.name not in {"type", "kind"}:
                todo.append(below)
    assert silent == []


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("workflow.stages.retr", "did you mean 'retry'?"),
        ("workfow", "kinds are workflow, config, trigger_rule"),
        ("workflow.stages.name.x", "fields there: none"),
    ],
)
def test_a_wrong_path_is_told_with_a_way_out(path: str, fix: str) -> None:
    with pytest.raises(NotFound) as raised:
        explain(path)
    assert raised.value.fix == fix
