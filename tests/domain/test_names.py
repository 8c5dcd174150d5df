"""Which names may exist."""

from __future__ import annotations

import pytest

from flowdapt.domain.errors import InvalidName
from flowdapt.domain.names import check_name, check_target, new_run_name, new_uid


@pytest.mark.parametrize("name", ["a", "Build_features-2.0", "9", "a" * 128])
def test_a_safe_segment_is_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "..%2f",
        "%252e%252e",
        "..\\",
        "/abs",
        "a/../../b",
        "a\x00b",
        "a" * 300,
        "a.",
        "a ",
        " a",
        "a\n",
        "CON",
        "con.txt",
        "nul",
        ":",
        "$ALL",
        "-a",
        "_a",
        "a..b",
        "\uff42",
        "\u0441ity",
        "a\u202eb",
        "a\u200bb",
        "\ufb01",
        "\u00e9",
        "a/b",
        "a b",
        "a:b",
    ],
)
def test_what_could_lead_elsewhere_is_no_name(name: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid name"):
        check_name(name)


@pytest.mark.parametrize(
    "target", ["pkg.mod.name", "pkg.mod:name", "pkg:name", "user_modules.a.b:C.d", "a._private.f"]
)
def test_a_dotted_path_is_a_target(target: str) -> None:
    assert check_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "f",
        "os:system()",
        "a.b:c.__globals__",
        "a:__class__",
        "../x:f",
        "a b:c",
        "a..b",
        "a.b.",
        "a:b:c",
        ".a.b",
        "1.a",
        "a.b\n",
        "\u0430.b",
        "a." * 10000 + "b",
        "a.b; import os",
    ],
)
def test_what_is_not_a_dotted_path_is_no_target(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        check_target(target)


def test_uids_differ_and_sort_by_time() -> None:
    uids = [new_uid() for _ in range(1000)]
    assert len(set(uids)) == 1000
    assert [uid[:10] for uid in uids] == sorted(uid[:10] for uid in uids)
    assert all(len(uid) == 32 and uid[12] == "7" and uid[16] in "89ab" for uid in uids)


def test_a_run_name_is_adjective_animal_hex() -> None:
    uid = new_uid()
    *words, tail = new_run_name(uid).split("-")
    assert (len(words), tail) == (2, uid[-8:])
    assert check_name(new_run_name(uid))
