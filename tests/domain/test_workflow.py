"""What a workflow's document may say, and everything that is told about one that may not."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path
from typing import Any

import pytest

from flowdapt.domain.documents import documents_of, read
from flowdapt.domain.validation import MAX_PROBLEMS, check, check_all, invalid
from flowdapt.domain.workflow import WorkflowSpec


def stage(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "target": "pkg.mod.fn", **fields}


def checked(spec: Any, **options: Any):
    document = {"kind": "workflow", "metadata": {"name": "w"}, "spec": spec}
    (one,), problems = documents_of([document])
    assert problems == []
    return check(one, **options)


def stored(spec: Any) -> dict[str, Any]:
    one = checked(spec)
    assert one.problems == ()
    assert one.resource is not None
    return one.resource.spec


def codes(spec: Any, **options: Any) -> list[str]:
    one = checked(spec, **options)
    assert one.resource is None
    return [problem.code for problem in one.problems]


# -- forms ------------------------------------------------------------------------------------------


def test_older_forms_and_new_ones_are_stored_alike() -> None:
    older = stored(
        {
            "stages": [
                stage("cities", type="simple", depends_on=None, description="", priority=0),
                stage(
                    "fetch",
                    type="parameter",
                    depends_on="cities",
                    options={"map_on": "cities", "allow_partial_failure": True},
                    resources={"cpus": 1, "memory": "8000MB", "hamster_wheels": 2},
                    timeout="120m",
                ),
            ]
        }
    )
    newer = stored(
        {
            "stages": [
                stage("cities"),
                stage(
                    "fetch",
                    type="parameterized",
                    depends_on=["cities"],
                    map_on="cities",
                    allow_partial_failure=True,
                    resources={"memory": "8GB", "hamster_wheels": 2},
                    timeout=7200,
                ),
            ]
        }
    )
    assert older == newer
    assert older["stages"][1] == {
        "name": "fetch",
        "target": "pkg.mod.fn",
        "type": "parameterized",
        "depends_on": ["cities"],
        "map_on": "cities",
        "allow_partial_failure": True,
        "resources": {"memory": "8GB", "hamster_wheels": 2},
        "timeout": "2h",
    }


def test_what_is_stored_is_read_as_the_same() -> None:
    spec = stored(
        {
            "stages": [stage("a", retry={"max_attempts": 3, "initial": "50ms"}, secrets=["KEY"])],
            "timeout": "1h30m",
            "concurrency": {"max_runs": 1},
            "input_schema": {"type": "object", "default": {}},
        }
    )
    assert stored(spec) == spec
    assert WorkflowSpec.model_validate(spec).timeout == 5400


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("workflow", "workflow"),
        ("Workflow", "workflow"),
        ("WORKFLOWS", "workflow"),
        ("configs", "config"),
        ("TriggerRule", "trigger_rule"),
        ("trigger-rules", "trigger_rule"),
        ("triggers", "trigger_rule"),
    ],
)
def test_a_kind_is_known_in_any_case_singular_or_plural(word: str, kind: str) -> None:
    specs: dict[str, Any] = {
        "workflow": {"stages": [stage("a")]},
        "config": {"selector": {"type": "all"}},
        "trigger_rule": {"type": "schedule", "rule": ["* * * * *"], "action": {"target": "log"}},
    }
    (document,), _ = documents_of([{"kind": word, "metadata": {"name": "w"}, "spec": specs[kind]}])
    one = check(document)
    assert one.problems == ()
    assert one.resource is not None
    assert one.resource.kind == kind


# -- what is wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "code"),
    [
        ([stage("a", depends_on=["b"]), stage("b", depends_on=["a"])], "workflow.cycle"),
        ([stage("a", depends_on=["a"])], "workflow.self_dependency"),
        ([stage("a", depends_on=["b"])], "workflow.unknown_dependency"),
        ([stage("a"), stage("a")], "workflow.duplicate_stage"),
        ([stage("a"), stage("b", depends_on=["a", "a"])], "workflow.repeated_dependency"),
        ([stage("a", type="parameterized")], "workflow.map_on_missing"),
        ([stage("a"), stage("b", type="parameterized", map_on="a")], "workflow.map_on_unknown"),
        ([{"name": "a", "target": "os system"}], "workflow.bad_target"),
        ([{"name": "a", "target": "a.b:c.__globals__"}], "workflow.bad_target"),
        ([{"name": "a"}], "document.missing_field"),
        ([stage("../a")], "name.invalid"),
        ([stage("a", type="mapped")], "document.bad_value"),
        ([stage("a", timeout="5x")], "document.bad_value"),
        ([stage("a", resources={"gpus": -1})], "document.bad_value"),
        ([stage("a", resources={"wheels": "many"})], "document.bad_value"),
        ([stage("a", options={"map": 1})], "document.unknown_field"),
        ([stage("a", state="running")], "document.unknown_field"),
        ([], "document.bad_value"),
        (None, "document.bad_value"),
        (["a"], "document.bad_value"),
    ],
)
def test_each_mistake_has_a_code(stages: Any, code: str) -> None:
    assert codes({"stages": stages}) == [code]


@pytest.mark.parametrize("field", ["uid", "owner", "epoch", "result_ref", "created_at", "state"])
def test_what_the_server_owns_cannot_be_sent_in_a_spec(field: str) -> None:
    assert codes({"stages": [stage("a")], field: 1}) == ["document.unknown_field"]


def test_everything_wrong_in_all_documents_is_told_at_once_with_its_place() -> None:
    text = """\
kind: workflow
metadata: {name: build}
spec:
  result: fetsch
  stages:
    - name: fetch
      target: os system
      needs: [x]
    - name: proces_data
      target: a.b
      depends_on: [fetc]
---
kind: confg
metadata: {name: ../main}
spec: {}
---
just text
"""
    documents, problems = read(text, source="w.yaml")
    error = invalid(check_all(documents), problems)
    assert error is not None
    told = [(p.code, p.line, p.column, p.suggestion) for p in error.problems]
    assert told == [
        ("workflow.result_unknown", 4, 11, "fetch"),
        ("workflow.bad_target", 7, 15, None),
        ("document.unknown_field", 8, 7, "depends_on"),
        ("workflow.unknown_dependency", 11, 20, "fetch"),
        ("document.unknown_kind", 13, 7, "config"),
        ("name.invalid", 14, 18, None),
        ("document.not_a_mapping", 17, 1, None),
    ]
    assert {p.source for p in error.problems} == {"w.yaml"}
    assert error.exact_code == "workflow.result_unknown"
    assert "(and 6 more)" in error.message


def test_a_sentence_names_the_stage_and_what_it_wants() -> None:
    (problem,) = checked(
        {"stages": [stage("fetch_data"), stage("proces_data", depends_on=["fetch_dat"])]}
    ).problems
    assert problem.message == 'stage "proces_data" depends on "fetch_dat", which does not exist'
    assert problem.suggestion == "fetch_data"
    assert problem.fix == 'write "fetch_data", or add the stage'
    assert problem.loc == ("spec", "stages", 1, "depends_on", 0)


def test_a_cycle_is_told_by_name() -> None:
    (problem,) = checked(
        {"stages": [stage("a", depends_on=["b"]), stage("b", depends_on=["a"])]}
    ).problems
    assert problem.message == "the stages form a cycle: a -> b -> a"


def test_a_map_over_an_input_key_that_the_schema_excludes_is_told() -> None:
    spec = {
        "stages": [stage("a", type="parameterized", map_on="citys")],
        "input_schema": {"properties": {"cities": {}}, "additionalProperties": False},
    }
    (problem,) = checked(spec).problems
    assert (problem.code, problem.suggestion) == ("workflow.map_on_unknown", "cities")
    spec["stages"][0]["map_on"] = "cities"  # type: ignore[index]
    assert stored(spec)


def test_targets_are_held_to_the_allowed_prefixes() -> None:
    spec = {"stages": [stage("a", target="user_modules.x:f"), stage("b", target="os:system")]}
    (problem,) = checked(spec, allowed_targets=["user_modules"]).problems
    assert (problem.code, problem.loc[2]) == ("workflow.target_not_allowed", 1)
    assert codes(
        {"stages": [stage("a", target="user_modules_evil.f")]}, allowed_targets=["user_modules"]
    ) == ["workflow.target_not_allowed"]


def test_options_that_do_nothing_are_warned_of() -> None:
    one = checked({"stages": [stage("a", options={"allow_partial_failure": True})]})
    assert one.warnings == ('stage "a" is simple, so `allow_partial_failure` does nothing',)


def test_the_same_resource_twice_is_told() -> None:
    document = {"kind": "config", "metadata": {"name": "c"}, "spec": {"selector": {"type": "all"}}}
    documents, _ = documents_of([document, {**document, "kind": "Configs"}])
    assert [[p.code for p in one.problems] for one in check_all(documents)] == [
        [],
        ["document.repeated"],
    ]


def test_trigger_rules_are_kept_whole() -> None:
    spec = {
        "type": "condition",
        "rule": {"and": [{"eq": [{"var": "type"}, "x"]}, {"not": {"bool": 1}}]},
        "action": {"target": "run_workflow", "parameters": {"workflow": "w", "input": {"a": 1}}},
    }
    (document,), _ = documents_of(
        [{"kind": "trigger_rule", "metadata": {"name": "t"}, "spec": spec}]
    )
    one = check(document)
    assert one.resource is not None
    assert one.resource.spec == spec


@pytest.mark.parametrize(
    "spec", [{"type": "schedule", "rule": [], "actions": []}, {"type": "cron"}]
)
def test_a_trigger_rule_without_its_parts_is_refused(spec: dict[str, Any]) -> None:
    (document,), _ = documents_of(
        [{"kind": "trigger_rule", "metadata": {"name": "t"}, "spec": spec}]
    )
    assert check(document).problems


# -- sizes ----------------------------------------------------------------------------------------------


def test_five_thousand_stages_are_checked_in_a_second() -> None:
    stages = [stage(f"s{i}", depends_on=[f"s{i - 1}"] if i else []) for i in range(5000)]
    # The processor's time: what else the machine does, and a long session's garbage, is not counted.
    gc.collect()
    began = time.process_time()
    assert len(stored({"stages": stages})["stages"]) == 5000
    assert time.process_time() - began < 1.0
    assert codes({"stages": [*stages, stage("more")]}) == ["document.bad_value"]


def test_thousands_of_problems_are_cut_and_cheap() -> None:
    stages = [stage(f"s{i}", depends_on=[f"x{i}"], oops=1) for i in range(5000)]
    began = time.perf_counter()
    assert len(codes({"stages": stages})) == MAX_PROBLEMS
    assert time.perf_counter() - began < 2.0


# -- words --------------------------------------------------------------------------------------------


def test_every_code_of_a_problem_is_documented_and_none_is_gone() -> None:
    root = Path(__file__).parents[2]
    families = r"(?:document|workflow|config)\.[a-z_]+"
    source = "".join(
        path.read_text(encoding="utf-8") for path in (root / "flowdapt/domain").glob("*.py")
    )
    page = (root / "docs/reference/workflow.md").read_text(encoding="utf-8")
    table = page[page.index("## What can be wrong") :]
    used = set(re.findall(f'"({families})"', source)) - {"document.invalid"}
    assert set(re.findall(f"`({families})`", table)) == used
