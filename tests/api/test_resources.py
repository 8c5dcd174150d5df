"""Resources over REST: applied all or none, changed under preconditions, refused with a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.backends import WORKFLOW

if TYPE_CHECKING:
    from tests.api.backends import Api

pytestmark = pytest.mark.trio
FLOW = "/api/v1/workflows/flow"
YAML = {"content-type": "application/yaml"}
DOCUMENT = {
    "kind": "workflow",
    "metadata": {"name": "flow"},
    "spec": {"stages": [{"name": "only", "target": "a.b"}]},
}


def changed(priority: int, **metadata: object) -> dict[str, object]:
    spec = {"stages": [{"name": "only", "target": "a.b"}], "priority": priority}
    return {"kind": "workflow", "metadata": {"name": "flow", **metadata}, "spec": spec}


async def test_applying_says_what_became_of_each_document(api: Api) -> None:
    text = WORKFLOW % "a" + "---" + WORKFLOW % "b"
    first = await api.apply(text=text)
    assert [one["action"] for one in first.json()["items"]] == ["created", "created"]
    again = await api.apply(text=text)
    assert [one["action"] for one in again.json()["items"]] == ["unchanged", "unchanged"]


async def test_json_is_applied_like_yaml(api: Api) -> None:
    answer = await api.client.post("/api/v1/apply", json=[DOCUMENT])
    assert answer.json()["items"][0]["action"] == "created"


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    answer = await api.client.post("/api/v1/apply?dry_run=true", json=DOCUMENT)
    assert answer.json()["items"][0]["action"] == "created"
    assert (await api.client.get(FLOW)).status_code == 404


async def test_one_wrong_document_keeps_all_out(api: Api) -> None:
    answer = await api.apply(text=WORKFLOW % "good" + "---\nkind: workflow\nspec: {}\n")
    assert answer.status_code == 422
    problem = answer.json()["errors"][0]
    assert problem["line"] > 5
    assert (await api.client.get("/api/v1/workflows/good")).status_code == 404


async def test_pruning_deletes_what_is_not_sent(api: Api) -> None:
    mine = {**DOCUMENT, "metadata": {"name": "old", "annotations": {"team": "a"}}}
    await api.client.post("/api/v1/apply", json=[mine])
    answer = await api.client.post("/api/v1/apply?prune=team%3Da", json=[DOCUMENT])
    assert [one["action"] for one in answer.json()["items"]] == ["created", "deleted"]


async def test_a_resource_is_created_once(api: Api) -> None:
    answer = await api.client.post("/api/v1/workflows", json=DOCUMENT)
    assert (answer.status_code, answer.headers["location"]) == (201, FLOW)
    assert answer.headers["etag"] == '"1"'
    again = await api.client.post("/api/v1/workflows", json=DOCUMENT)
    assert again.status_code == 409


async def test_what_was_got_can_be_edited_and_put(api: Api) -> None:
    await api.client.post("/api/v1/workflows", json=DOCUMENT)
    got = await api.client.get(FLOW)
    document = got.json()
    document["spec"]["priority"] = 7
    put = await api.client.put(FLOW, json=document, headers={"If-Match": got.headers["etag"]})
    assert (put.status_code, put.headers["etag"]) == (200, '"2"')
    assert (await api.client.get(f"{FLOW}?revision=1")).json()["spec"].get("priority", 0) == 0
    revisions = (await api.client.get(f"{FLOW}/revisions")).json()["items"]
    assert [one["metadata"]["revision"] for one in revisions] == [2, 1]


async def test_a_stale_etag_fails_the_precondition(api: Api) -> None:
    await api.client.post("/api/v1/workflows", json=DOCUMENT)
    await api.client.put(FLOW, json=changed(1))
    stale = {"If-Match": '"1"'}
    for answer in (
        await api.client.put(FLOW, json=changed(2), headers=stale),
        await api.client.patch(FLOW, json={"spec": {"priority": 3}}, headers=stale),
        await api.client.delete(FLOW, headers=stale),
    ):
        assert answer.status_code == 412, answer.text
    assert (await api.client.get(FLOW)).json()["spec"]["priority"] == 1


async def test_a_star_asks_for_any_revision(api: Api) -> None:
    star = {"If-Match": "*"}
    assert (await api.client.put(FLOW, json=DOCUMENT, headers=star)).status_code == 412
    await api.client.put(FLOW, json=DOCUMENT)
    assert (await api.client.put(FLOW, json=changed(1), headers=star)).status_code == 200


async def test_a_stale_revision_inside_the_document_is_a_conflict(api: Api) -> None:
    await api.client.put(FLOW, json=DOCUMENT)
    await api.client.put(FLOW, json=changed(1))
    assert (await api.client.put(FLOW, json=changed(2, revision=1))).status_code == 409


async def test_a_patch_changes_a_part(api: Api) -> None:
    await api.client.put(FLOW, json=changed(1))
    answer = await api.client.patch(FLOW, json={"spec": {"priority": None, "timeout": "5m"}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["timeout"] == "5m"
    assert answer.json()["spec"].get("priority", 0) == 0


@pytest.mark.parametrize("patch", [[1], "text", {"metadata": None}, {"kind": "config"}, 3])
async def test_a_patch_that_leaves_no_document_is_refused(api: Api, patch: object) -> None:
    await api.client.put(FLOW, json=DOCUMENT)
    assert (await api.client.patch(FLOW, json=patch)).status_code == 422


async def test_the_name_of_the_path_is_the_name_of_the_document(api: Api) -> None:
    answer = await api.client.put("/api/v1/workflows/other", json=DOCUMENT)
    assert (answer.status_code, answer.json()["code"]) == (422, "document.other_name")
    answer = await api.client.put("/api/v1/configs/flow", json=DOCUMENT)
    assert (answer.status_code, answer.json()["code"]) == (422, "document.other_kind")


async def test_a_deleted_resource_is_gone(api: Api) -> None:
    await api.client.put(FLOW, json=DOCUMENT)
    assert (await api.client.delete(FLOW)).json()["action"] == "deleted"
    assert (await api.client.delete(FLOW)).status_code == 404


async def test_lists_are_by_name_and_filtered(api: Api) -> None:
    for name, team in (("b", "x"), ("a", "x"), ("c", "y")):
        document = {**DOCUMENT, "metadata": {"name": name, "annotations": {"team": team}}}
        await api.client.put(f"/api/v1/workflows/{name}", json=document)
    query = "/api/v1/workflows?annotation=team%3Dx&limit=1"
    first = (await api.client.get(query)).json()
    rest = (await api.client.get(f"{query}&cursor={first['next']}")).json()
    names = [one["metadata"]["name"] for one in first["items"] + rest["items"]]
    assert names == ["a", "b"]


async def test_other_kinds_do_not_exist(api: Api) -> None:
    assert (await api.client.get("/api/v1/secretz")).status_code == 404
    assert (await api.client.post("/api/v1/status")).status_code == 405


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch /tmp/pwned']",
        BOMB,
        "[" * 20_000,
        "kind: workflow\nkind: config\n",
        "kind: workflow\nspec: {on: yes, stages: []}\n",
        "\tkind: workflow",
        "kind: [",
        "just text",
        "- 1\n- 2",
    ],
)
async def test_hostile_yaml_is_refused_at_once(api: Api, text: str) -> None:
    answer = await api.client.post("/api/v1/apply", content=text, headers=YAML)
    assert answer.status_code == 422, answer.text
    assert answer.elapsed.total_seconds() < 2
    assert (await api.client.get("/api/v1/workflows")).json()["items"] == []


@pytest.mark.parametrize("text", ["kind: x".encode("utf-16"), b"\xff\xfe", b"\x80", b"a: \x00"])
async def test_text_that_is_not_utf_8_is_refused(api: Api, text: bytes) -> None:
    answer = await api.client.post("/api/v1/apply", content=text, headers=YAML)
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "x"])
async def test_other_content_types_are_not_read(api: Api, kind: str) -> None:
    answer = await api.client.post(
        "/api/v1/apply", content=b"kind: workflow", headers={"content-type": kind}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "http.content_type")
