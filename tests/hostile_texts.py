"""Texts that are no documents, by the row of the list of bad inputs that they stand for."""

from __future__ import annotations

__all__ = ["FLOW", "TEXTS"]

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
FLOW = "kind: workflow\nmetadata: {name: bad}\nspec: {stages: [{name: a, target: user_modules.work.stage}]}\n"
TEXTS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "row_20 python tag": (b"!!python/object/apply:os.system ['touch /tmp/x']", (422,)),
    "row_20 python name": (b"kind: !!python/name:os.system\n", (422,)),
    "row_20 local tag": (b"!x {a: 1}", (422,)),
    "row_20 binary tag": (b"a: !!binary aGk=", (422,)),
    "row_20 tag directive": (
        b"%TAG ! tag:yaml.org,2002:python/\n---\n!object/apply:os.system [x]",
        (422,),
    ),
    "row_21 aliases that multiply": (BOMB.encode(), (422,)),
    "row_21 a list that holds itself": (b"&a [*a]", (422,)),
    "row_21 merges that multiply": (
        b"a: &a {"
        + b",".join(b"k%d: 1" % n for n in range(100))
        + b"}\n"
        + b"\n".join(b"b%d: {<<: *a}" % n for n in range(200)),
        (422,),
    ),
    "row_22 20,000 brackets": (b"[" * 20_000, (422,)),
    "row_22 20,000 braces": (b"{a: " * 20_000, (422,)),
    "row_22 20,000 levels of a list": (b"- " * 20_000, (422,)),
    "row_22 1,000 levels by indent": (
        "".join(f"{' ' * n}a:\n" for n in range(1000)).encode(),
        (422,),
    ),
    "row_24 duplicate keys": (FLOW.encode() + b"kind: config\n", (422,)),
    "row_24 duplicate keys of another form": (b'a: 1\n"a": 2\n', (422,)),
    "row_24 a key that is no text": (b"true: 1\n", (422,)),
    "row_24 a key that is a list": (b"? [a]\n: 1\n", (422,)),
    "row_24 .inf": (b"a: .inf\n", (422,)),
    "row_25 byte order mark": (b"\xef\xbb\xbf" + FLOW.encode(), (422,)),
    "row_25 UTF-16": (FLOW.encode("utf-16"), (422,)),
    "row_25 UTF-16 without a mark": (FLOW.encode("utf-16-le"), (422,)),
    "row_25 tabs": (b"kind: workflow\nmetadata:\n\tname: bad\n", (422,)),
    "row_25 2 MB": (b"# " + b"x" * 2_000_000, (413,)),
    "row_25 a line of 1 MB": (b'a: "' + b"x" * 1_000_000, (422,)),
    "row_25 NUL": (b"kind: workflow\0\n", (422,)),
    "row_25 escape": (b"kind: \x1b[2J\n", (422,)),
    "row_25 C1 control": ("kind: a\x9b2J\n".encode(), (422,)),
    "row_25 escaped lone surrogate": (b'kind: "\\ud800"\n', (422,)),
    "row_25 escaped NUL": (b'kind: "a\\0b"\n', (422,)),
    "row_25 2,000 documents": (b"---\na: 1\n" * 2000, (422,)),
    "row_25 a good one before a bad one": (FLOW.encode() + b"---\nkind: [\n", (422,)),
    "row_25 nothing": (b"# only words\n", (422,)),
}
