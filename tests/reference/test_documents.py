"""Documents, words and events of the earlier flowdapt work unchanged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from flowdapt.client.endpoints import system as calls

if TYPE_CHECKING:
    from flowdapt.client import Client
    from tests.workstation import Workstation

OLD = """
kind: workflow
metadata: {name: build_features, annotations: {group: nowcast}}
spec:
  stages:
    - name: cities
      target: user_modules.towns.create_city_list
    - name: fetch
      target: user_modules.towns:fetch_city
      type: parameter
      depends_on: cities
      options: {map_on: cities, allow_partial_failure: true}
      resources: {cpus: 1, memory: 1GB}
      priority: 5
      description: ""
---
kind: config
metadata: {name: main, annotations: {group: nowcast}}
spec:
  selector: {type: annotation, value: {group: nowcast}}
  data: {model_train_parameters: {n_estimators: 100}}
---
kind: trigger_rule
metadata: {name: retrain}
spec:
  type: schedule
  rule: ["*/5 * * * *"]
  action: {target: run_workflow, parameters: {workflow: build_features, input: {a: 1}}}
---
kind: trigger_rule
metadata: {name: on_fail}
spec:
  type: condition
  rule:
    and:
      - eq: [{var: type}, com.event.workflow.workflow_finished]
      - eq: [{var: data.workflow}, build_features]
      - eq: [{var: data.state}, failed]
  action: {target: run_workflow, parameters: {workflow: build_features}}
"""
STAGES = """
    from flowdapt import get_run_context

    def create_city_list():
        return ["Berlin", "Oslo"]

    def fetch_city(city):
        return [city, get_run_context().config["model_train_parameters"]["n_estimators"]]
"""


@pytest.fixture(scope="module", autouse=True)
def _applied(station: Workstation) -> None:
    station.module("towns", STAGES)
    with station.client() as client:
        client.apply(OLD)


def test_the_documents_apply_and_their_workflow_runs(client: Client) -> None:
    run = client.run("build_features", wait=True, timeout=40)
    assert (run.state, run.result) == ("finished", [["Berlin", 100], ["Oslo", 100]])
    names = [one.metadata.name for one in client.resources.list("trigger_rule").items]
    assert names == ["on_fail", "retrain"]


def test_a_run_is_named_adjective_animal_and_eight_hex_digits(client: Client) -> None:
    run = client.run("build_features", wait=True, timeout=40)
    assert re.fullmatch(r"[a-z]+-[a-z]+-[0-9a-f]{8}", run.name)
    assert run.source == "api"


def test_the_data_of_workflow_events_is_the_run(client: Client) -> None:
    run = client.run("build_features", wait=True, timeout=40)
    (told,) = [
        event
        for event in client.ask(calls.events(run=run.uid))["items"]
        if event["type"] == "com.event.workflow.workflow_finished"
    ]
    assert set(told["data"]) >= {
        "uid", "name", "workflow", "source", "started_at", "finished_at", "result", "state",
    }  # fmt: skip
    assert (told["data"]["uid"], told["data"]["state"]) == (run.uid, "finished")
    assert told["data"]["result"] == run.result
