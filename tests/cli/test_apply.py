"""apply, diff, validate, delete -f, edit, rollback: documents on their way in."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.cli.sources import Sources, gather
from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, problem

if TYPE_CHECKING:
    from pathlib import Path

BAD_WORKFLOW = """\
kind: workflow
metadata: {name: w}
spec:
  stages:
    - {name: fetch_data, target: m.fetch}
    - name: process
      target: m.process
      depends_on: [fetch_dat]
"""
GOOD = (
    "kind: config\nmetadata: {name: c}\nspec:\n  selector: {type: name, value: w}\n  data: {a: 1}\n"
)


def applied(action: str = "created", **more: Any) -> dict[str, Any]:
    return {
        "kind": "config",
        "name": "c",
        "action": action,
        "revision": 1,
        "diff": "",
        "warnings": [],
        **more,
    }


def ok(*many: dict[str, Any]) -> Any:
    return answer({"items": list(many)})


def test_a_file_is_sent_as_it_is(flowdapt: Program, fake: FakeDaemon, tmp_path: Path) -> None:
    fake.on("POST", "/apply", ok(applied(warnings=["mind this"])))
    file = tmp_path / "c.yaml"
    file.write_text(GOOD)
    ended = flowdapt("apply", "-f", str(file))
    assert (ended.code, ended.out.split()[-4:]) == (0, ["created", "config", "c", "1"])
    assert "mind this" in ended.err
    assert fake.asked[0].body == GOOD.encode()


def test_several_files_are_applied_all_or_none(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    fake.on("POST", "/apply", ok(applied(), applied()))
    (tmp_path / "deep").mkdir()
    for name in ("a.yaml", "b.yml", "c.json", "notes.txt", "deep/d.yaml"):
        (tmp_path / name).write_text(f"kind: {name}")
    flowdapt("apply", "-f", str(tmp_path))
    flowdapt("apply", "-R", str(tmp_path))
    shallow, deep = fake.asked
    assert shallow.body == b"kind: a.yaml\n---\nkind: b.yml\n---\nkind: c.json"
    assert b"deep/d.yaml" in deep.body


def test_a_problem_is_told_at_its_place_in_its_file(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("a: 1\nb: 2\n")
    second.write_text(BAD_WORKFLOW)
    wrong = {
        "loc": ["spec", "stages", 1, "depends_on", 0], "line": 12, "column": 20,
        "msg": 'stage "process" depends on "fetch_dat", which does not exist',
        "code": "workflow.unknown_dependency", "suggestion": "fetch_data",
    }  # fmt: skip
    fake.on("POST", "/apply", problem(422, "workflow.unknown_dependency", errors=[wrong]))
    ended = flowdapt("apply", "-f", str(first), "-f", str(second))
    assert ended.code == 5
    assert ended.err == (
        f'✖ {second}:8:20  stage "process" depends on "fetch_dat", which does not exist'
        "   [workflow.unknown_dependency]\n"
        '    did you mean "fetch_data"?\n'
        f"  fix:  change line 8, then  flowdapt apply -f {second}\n"
    )


@pytest.mark.parametrize("count", [1, 3])
def test_every_line_of_the_joined_text_finds_its_file(count: int) -> None:
    texts = [
        (f"{place}.yaml", b"\n".join(b"x%d" % n for n in range(place + 2)))
        for place in range(count)
    ]
    sources = Sources(tuple(texts))
    lines = sources.joined.decode().split("\n")
    for number, line in enumerate(lines, 1):
        if line != "---":
            name, place = sources.place(number)
            assert dict(texts)[name].decode().split("\n")[place - 1] == line


def test_validate_needs_no_daemon(flowdapt: Program, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    bad.write_text(BAD_WORKFLOW)
    good.write_text(GOOD)
    assert flowdapt("validate", "-f", str(good)).code == 0
    ended = flowdapt("validate", "-f", str(good), "-f", str(bad))
    assert ended.code == 5
    assert f"{bad}:8:" in ended.err
    assert 'did you mean "fetch_data"?' in ended.err


def test_diff_shows_and_says_by_its_code_whether_there_is_one(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on(
        "POST",
        "/apply",
        ok(applied("updated", diff="--- a\n+++ b\n-x\n+y\n")),
        ok(applied("unchanged")),
    )
    changed, same = flowdapt("diff", "-f", "-", stdin=GOOD), flowdapt("diff", "-f", "-", stdin=GOOD)
    assert (changed.code, changed.out) == (1, "--- a\n+++ b\n-x\n+y\n")
    assert (same.code, same.out) == (0, "")
    assert all(one.query == {"dry_run": ["true"]} for one in fake.asked)


def test_a_dry_run_changes_nothing(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", "/apply", ok(applied()))
    ended = flowdapt("apply", "-f", "-", "--dry-run", "-o", "json", stdin=GOOD)
    assert ended.json()["items"][0]["action"] == "created"
    assert [one.query for one in fake.asked] == [{"dry_run": ["true"]}]


def test_apply_with_diff_shows_first_and_then_stores(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", "/apply", ok(applied("updated", diff="+y\n")), ok(applied("updated")))
    ended = flowdapt("apply", "-f", "-", "--diff", stdin=GOOD)
    assert ended.out.startswith("+y\n")
    assert [one.query for one in fake.asked] == [{"dry_run": ["true"]}, {}]


def test_pruning_deletes_what_no_file_holds_and_only_with_a_yes(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    def named(name: str) -> dict[str, Any]:
        return {"kind": "config", "metadata": {"name": name}, "spec": {}}

    fake.on("POST", "/apply", ok(applied()))
    fake.on("GET", "/workflows", answer({"items": [], "next": None}))
    fake.on("GET", "/configs", answer({"items": [named("c"), named("old")], "next": None}))
    fake.on("DELETE", "/configs/old", answer(applied("deleted", name="old")))
    words = ("apply", "-f", "-", "--prune", "-l", "team=x")
    flowdapt(*words, stdin=GOOD)
    assert fake.calls("DELETE", "/configs/old") == []
    ended = flowdapt(*words, "--yes", stdin=GOOD)
    assert "deleted" in ended.out
    assert len(fake.calls("DELETE", "/configs/old")) == 1
    assert fake.calls("DELETE", "/configs/c") == []


def test_what_files_hold_can_be_deleted(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("DELETE", "/configs/c", answer(applied("deleted")))
    assert flowdapt("delete", "-f", "-", stdin=GOOD).code == 0
    assert len(fake.calls("DELETE", "/configs/c")) == 1


def test_a_missing_file_is_named_with_its_neighbour(flowdapt: Program, tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text(GOOD)
    ended = flowdapt("apply", "-f", str(tmp_path / "workflw.yaml"))
    assert ended.code == 3
    assert "workflow.yaml?" in ended.err
    with pytest.raises(Exception, match="holds no document"):
        gather([str(_empty(tmp_path))], recursive=False)


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


# -- edit ------------------------------------------------------------------------------------------

CONFIG = {
    "kind": "config",
    "metadata": {"name": "c", "uid": "u", "revision": 3},
    "spec": {"data": {"a": 1}},
}


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the person an editor that runs a sed script on the file; drafts lie in tmp_path."""

    def use(script: str) -> None:
        program = tmp_path / "editor"
        program.write_text(f"#!/bin/sh\nexec sed -i '{script}' \"$1\"\n")
        program.chmod(0o700)
        monkeypatch.setenv("EDITOR", str(program))
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    return use


def drafts(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("flowdapt-*.yaml"))


def test_an_edit_is_shown_asked_for_and_stored(
    flowdapt: Program, fake: FakeDaemon, editor: Any, tmp_path: Path
) -> None:
    editor("s/a: 1/a: 2/")
    fake.on("GET", "/configs/c", answer(CONFIG))
    fake.on(
        "POST", "/apply", ok(applied("updated", diff="+a: 2\n")), ok(applied("updated", revision=4))
    )
    ended = flowdapt("edit", "config", "c", "--yes")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "+a: 2")
    planned, stored = fake.calls("POST", "/apply")
    assert (planned.query, stored.query) == ({"dry_run": ["true"]}, {})
    assert b"a: 2" in stored.body
    assert b"revision: 3" in stored.body, "the precondition of storing it"
    assert drafts(tmp_path) == []


def test_an_edit_that_changes_nothing_stores_nothing(
    flowdapt: Program, fake: FakeDaemon, editor: Any, tmp_path: Path
) -> None:
    editor("s/nothing/x/")
    fake.on("GET", "/configs/c", answer(CONFIG))
    ended = flowdapt("edit", "config", "c", "--yes")
    assert (ended.code, fake.calls("POST", "/apply"), drafts(tmp_path)) == (0, [], [])


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([problem(409, "resource.stale", "somebody was faster")], 4),
        ([problem(422, "document.invalid", "no", errors=[{"loc": [], "msg": "no", "line": 2}])], 5),
        ([ok(applied("updated")), problem(409, "resource.stale", "somebody was faster")], 4),
        ([problem(503, "store.busy")], 7),
    ],
)
def test_whatever_goes_wrong_the_persons_text_is_kept(
    flowdapt: Program, fake: FakeDaemon, editor: Any, tmp_path: Path, answers: list[Any], code: int
) -> None:
    editor("s/a: 1/a: 2/")
    fake.on("GET", "/configs/c", answer(CONFIG))
    fake.on("POST", "/apply", *answers)
    ended = flowdapt("edit", "config", "c", "--yes")
    (draft,) = drafts(tmp_path)
    assert ended.code == code
    assert str(draft) in ended.err
    assert "a: 2" in draft.read_text()
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600


def test_a_wrong_edit_is_told_once_where_nobody_can_be_asked(
    flowdapt: Program, fake: FakeDaemon, editor: Any
) -> None:
    editor("s/a: 1/a: [/")
    wrong = problem(422, "document.invalid", "no", errors=[{"loc": [], "msg": "no", "line": 2}])
    fake.on("GET", "/configs/c", answer(CONFIG))
    fake.on("POST", "/apply", wrong)
    ended = flowdapt("edit", "config", "c")
    assert (ended.code, ended.err.count("✖")) == (5, 1)


def test_an_editor_that_does_not_start_leaves_nothing_behind(
    flowdapt: Program,
    fake: FakeDaemon,
    editor: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor("s/a/b/")
    monkeypatch.setenv("EDITOR", "/nowhere/editor")
    fake.on("GET", "/configs/c", answer(CONFIG))
    ended = flowdapt("edit", "config", "c")
    assert (ended.code, drafts(tmp_path)) == (2, [])
    assert "fix:  set EDITOR" in ended.err


def test_without_a_yes_the_edit_is_kept_and_not_stored(
    flowdapt: Program, fake: FakeDaemon, editor: Any, tmp_path: Path
) -> None:
    editor("s/a: 1/a: 2/")
    fake.on("GET", "/configs/c", answer(CONFIG))
    fake.on("POST", "/apply", ok(applied("updated")))
    ended = flowdapt("edit", "config", "c")
    assert ended.code == 1
    assert len(fake.calls("POST", "/apply")) == 1
    assert len(drafts(tmp_path)) == 1


def test_rollback_stores_the_old_revision_as_a_new_one(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/configs/c", answer(CONFIG))
    fake.on("POST", "/apply", ok(applied("updated", diff="-a\n")))
    assert flowdapt("rollback", "config", "c", "--to", "1").code == 0
    assert fake.calls("GET", "/configs/c")[0].query == {"revision": ["1"]}
    assert fake.calls("POST", "/apply")[1].json() == [
        {"kind": "config", "metadata": {"name": "c"}, "spec": {"data": {"a": 1}}}
    ]


@pytest.mark.parametrize("command", ["apply", "validate"])
def test_a_file_without_a_document_is_named(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path, command: str
) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing yet\n")
    fake.on("POST", "/apply", problem(422, "document.none", "there is no document in the body"))
    ended = flowdapt(command, "-f", str(empty))
    assert ended.code == 5
    assert f"{empty} holds no document" in ended.err


def test_what_a_library_says_is_told_in_the_words_of_documents(
    flowdapt: Program, tmp_path: Path
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("kind: workflow\nmetadata: {name: w}\nspec: {stages: []}\n")
    ended = flowdapt("validate", "-f", str(file))
    assert f"{file}:3:16  spec.stages: it should have at least 1 item, not 0" in ended.err
