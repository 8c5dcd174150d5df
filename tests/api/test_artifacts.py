"""Artifacts over REST: bytes in and out, bounded, never run in a browser, never outside their folder."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from flowdapt.api.backend import ApiLimits
from tests.api.backends import running_api

if TYPE_CHECKING:
    from tests.api.backends import Api

pytestmark = pytest.mark.trio
FILE = "/api/v1/artifacts/default/model/weights.bin"


async def test_what_was_put_is_got(api: Api) -> None:
    content = bytes(range(256)) * 5000
    put = await api.client.put(FILE, content=content)
    assert (put.status_code, put.json()["size_bytes"]) == (201, len(content))
    got = await api.client.get(FILE)
    assert got.content == content


async def test_a_download_cannot_run_in_a_browser(api: Api) -> None:
    page = "/api/v1/artifacts/default/report/index.html"
    await api.client.put(page, content=b"<script>alert(1)</script>")
    headers = (await api.client.get(page)).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="index.html"'
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


async def test_artifacts_are_listed_looked_at_and_deleted(api: Api) -> None:
    await api.client.put(FILE, content=b"x")
    await api.client.put("/api/v1/artifacts/default/model/notes.txt", content=b"words")
    (found,) = (await api.client.get("/api/v1/artifacts/default")).json()["items"]
    assert (found["name"], found["files"], found["size_bytes"]) == ("model", 2, 6)
    detail = (await api.client.get("/api/v1/artifacts/default/model")).json()
    assert sorted(file["name"] for file in detail["files"]) == ["notes.txt", "weights.bin"]
    preview = "/api/v1/artifacts/default/model/notes.txt/preview"
    assert (await api.client.get(preview)).json()["text"] == "words"
    assert (await api.client.delete(FILE)).status_code == 204
    assert (await api.client.get(FILE)).status_code == 404
    assert (await api.client.delete("/api/v1/artifacts/default/model")).status_code == 204
    assert (await api.client.get("/api/v1/artifacts/default")).json()["items"] == []


# Refused early, httpx leaves the generator of the body to the collector of garbage.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
async def test_a_file_over_the_limit_leaves_no_half() -> None:
    async with running_api(limits=ApiLimits(artifact_bytes=1000)) as api:

        async def parts():  # type: ignore[no-untyped-def]
            for _ in range(30):
                yield b"x" * 100

        assert (await api.client.put(FILE, content=b"x" * 2000)).status_code == 413
        assert (await api.client.put(FILE, content=parts())).status_code == 413
        assert (await api.client.get(FILE)).status_code == 404
    gc.collect()


NAMES = ["..%2f", "%252e%252e", "..\\", "%2fabs", "a%2f..%2fb", "a%00", "n" * 300, "dot.", "CON"]


@pytest.mark.parametrize("name", [*NAMES, "a b", "trailing%20", "%E2%80%AEevil", "-x", ".hidden"])
async def test_a_name_outside_its_alphabet_is_refused(api: Api, name: str) -> None:
    for path in (f"/default/model/{name}", f"/default/{name}/f", f"/{name}/model/f"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.client.request(method, f"/api/v1/artifacts{path}", content=b"x")
            assert answer.status_code in (404, 422), (method, path, answer.text)
    assert not list(api.home.glob("artifacts/**/*.bin"))


async def test_a_link_that_a_stage_placed_is_not_followed(api: Api) -> None:
    await api.client.put(FILE, content=b"x")
    secret = api.home / "id_rsa"
    secret.write_text("private")
    (link,) = api.home.glob("artifacts/**/weights.bin")
    link.unlink()
    link.symlink_to(secret)
    answer = await api.client.get(FILE)
    assert answer.status_code == 404
    assert "private" not in answer.text
