"""What a person does to documents: edit with a difference before it counts, compare revisions, apply, delete.

What a person wrote is never lost: whatever goes wrong, the text stays in a file that is named.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from flowdapt.domain.changes import document_of
from flowdapt.domain.errors import FlowdaptError, InvalidInput, Problem, StaleRevision
from flowdapt.domain.resource import Applied
from flowdapt.domain.wording import amount, moment
from flowdapt.domain.yaml_writing import to_yaml
from flowdapt.tui.keys import Key
from flowdapt.tui.screens.actions.bulk import do_to_all
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.dialogs import Ask, Confirm, Notice, TypedConfirm
from flowdapt.tui.widgets.diff import coloured_diff

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["DocumentActions", "apply_file"]

_REVISION = re.compile(r"^( {2}revision:\s*)(\d+)", re.MULTILINE)
_WORDS = {"workflow": "workflow", "config": "config", "trigger_rule": "trigger"}


class DocumentActions(View):
    """Mixed into screens that show documents of one kind; these say which are meant."""

    document_kind = ""

    def chosen_documents(self) -> Sequence[str]:
        """Return the names of the marked documents, or of the one in sight."""
        return ()

    def why_not(self, key: Key) -> str | None:
        if key.id in {"edit", "diff", "delete"} and not self.chosen_documents():
            return f"there is no {_WORDS[self.document_kind]}"
        return super().why_not(key)

    # --- edit ------------------------------------------------------------------------------------

    async def act_edit(self) -> None:
        """Open the document in the person's editor; what changed is shown before it counts."""
        name = self.chosen_documents()[0]
        document = await self.client.resources.get(self.document_kind, name)
        await self._edit(name, to_yaml(document_of(document)))

    async def _edit(self, name: str, before: str) -> None:
        draft = await asyncio.to_thread(_draft, f"{self.document_kind}-{name}", before)
        kept = True
        try:
            kept = not await self._edited(draft, name, before)
        finally:
            if kept:
                self.desk.say(f"your text is in {draft}", "warn")
            else:
                await asyncio.to_thread(draft.unlink)

    async def _edited(self, draft: Path, name: str, before: str) -> bool:
        """Say whether all is done: stored, or nothing was to be stored."""
        text = await self._in_editor(draft)
        while text != before:
            try:
                (planned,) = await self.client.apply(text, dry_run=True)
                return await self._stored(text, planned)
            except StaleRevision:
                # Somebody was quicker: before the difference was shown, or while it was.
                if not await self._over_theirs(name, _revision_of(before)):
                    return False
                text = await self._onto_newest(name, text, draft)
            except (FlowdaptError, ValueError) as error:
                if not await self._again(error):
                    return False
                text = await self._in_editor(draft)
        self.desk.say("nothing was changed")
        return True

    async def _over_theirs(self, name: str, base: int) -> bool:
        """Show what was stored since revision `base`; say whether the person's own is to go over it."""
        newest = await self.client.resources.get(self.document_kind, name)
        revision = newest.metadata.revision or 0
        choices = [
            ("theirs", f"keep revision {revision} as it is; your text stays in a file"),
            ("yours", "put yours in its place; what changes is shown first"),
            ("look", "see what they changed"),
        ]
        while True:
            title = f"{name} was stored by somebody else meanwhile. Whose counts?"
            chosen = await self.desk.ask(Choose(title, choices))
            if chosen != "look":
                return chosen == "yours"
            await self._show_diff(name, base, revision)

    async def _onto_newest(self, name: str, text: str, draft: Path) -> str:
        """Return the text as a change of the newest revision."""
        newest = await self.client.resources.get(self.document_kind, name)
        made = _REVISION.sub(rf"\g<1>{newest.metadata.revision}", text, count=1)
        await asyncio.to_thread(draft.write_text, made, "utf-8")
        return made

    async def _in_editor(self, draft: Path) -> str:
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            with self.app.suspend():
                failure = _run_editor(editor, draft)
        except SuspendNotSupported:
            failure = "cannot have this terminal"
        self.app.refresh(layout=True)
        if failure:
            raise InvalidInput(f"the editor {editor!r} {failure}", fix="set EDITOR")
        return await asyncio.to_thread(draft.read_text, "utf-8")

    async def _again(self, error: Exception) -> bool:
        if isinstance(error, FlowdaptError):
            words = problem_words(error)
            # A document with one fault is refused in the words of that fault.
            head = [] if any(error.message in one for one in words) else [error.message]
            text = "\n".join([*head, *words, error.fix or ""])
        else:
            text = "the file must hold one document"
        return await self.agrees(Confirm("It cannot be stored. Edit again?", text))

    async def _stored(self, text: str, planned: Applied) -> bool:
        if planned.action == "unchanged":
            self.desk.say("it means the same as before")
            return True
        title = f"Store {_WORDS[planned.kind]} {planned.name} as revision {planned.revision}?"
        if not await self.agrees(Confirm(title, coloured_diff(planned.diff, self.desk))):
            return False
        (stored,) = await self.client.apply(text)
        self.desk.say(f"{stored.action} {stored.name}, revision {stored.revision}")
        self.desk.record.add(self.desk.now(), "edit", _WORDS[stored.kind], stored.name)
        return True

    # --- compare ---------------------------------------------------------------------------------

    async def act_diff(self) -> None:
        """Show what changed between two revisions of the document."""
        name = self.chosen_documents()[0]
        found = (await self.client.resources.revisions(self.document_kind, name)).items
        if len(found) < 2:  # noqa: PLR2004 - there is nothing to compare with
            self.desk.say("it has one revision only")
            return
        choices = [
            (str(one.metadata.revision), moment(str(one.metadata.updated_at or one.metadata.created_at or "")))
            for one in found[1:]
        ]  # fmt: skip
        chosen = choices[0][0]
        if len(choices) > 1:
            chosen = await self.desk.ask(Choose(f"Compare revision {found[0].metadata.revision} with", choices)) or ""  # fmt: skip
        if chosen:
            await self._show_diff(name, int(chosen), found[0].metadata.revision or 0)

    async def _show_diff(self, name: str, old: int, new: int) -> None:
        from flowdapt.domain.changes import unified_diff

        before = await self.client.resources.get(self.document_kind, name, revision=old)
        after = await self.client.resources.get(self.document_kind, name, revision=new)
        text = unified_diff(before, after) or "they mean the same"
        title = f"{_WORDS[self.document_kind]} {name}: revision {old} to {new}"
        await self.desk.ask(Notice(title, coloured_diff(text, self.desk)))

    # --- apply -----------------------------------------------------------------------------------

    async def act_apply(self, *words: str) -> None:
        await apply_file(self.desk, *words)

    # --- delete ----------------------------------------------------------------------------------

    async def act_delete(self) -> None:
        """Delete documents; their runs and revisions stay. Many ask for a typed word."""
        names, word = list(self.chosen_documents()), _WORDS[self.document_kind]
        text = "Runs that were made of it stay. Applying its file brings it back."
        if len(names) == 1:
            agreed = await self.agrees(Confirm(f"Delete {word} {names[0]}?", text))
        else:
            title = f"Delete {amount(len(names), word)}?"
            agreed = await self.agrees(TypedConfirm(title, text, word=str(len(names))))
        if agreed:
            delete = self.client.resources.delete
            gone = await do_to_all(
                self.desk, "deleted", names, lambda name: delete(self.document_kind, name)
            )
            for name in gone:
                self.desk.record.add(self.desk.now(), "delete", word, name)


async def apply_file(desk: FlowdaptApp, *words: str) -> None:
    """Store the documents of a file; what changes is shown first."""
    question = Ask("Apply a file", "YAML or JSON, one document or several")
    given: str | None = words[0] if words else None
    if not words:
        given = await desk.ask(question)
    if not given:
        return
    text = await asyncio.to_thread(_read, given)
    planned = await desk.client.apply(text, dry_run=True)
    changes = [one for one in planned if one.action != "unchanged"]
    if not changes:
        desk.say(f"{amount(len(planned), 'document')}: nothing would change")
        return
    diff = "\n".join(one.diff or f"+++ {one.kind} {one.name}" for one in changes)
    if await desk.ask(Confirm(f"Store {amount(len(changes), 'document')}?", coloured_diff(diff, desk))):  # fmt: skip
        for one in await desk.client.apply(text):
            desk.say(f"{one.action} {one.kind} {one.name}")
        desk.record.add(desk.now(), "apply", "-f", given)


def _revision_of(text: str) -> int:
    """Return the revision that an edit began with."""
    found = _REVISION.search(text)
    return int(found[2]) if found else 0


def problem_words(error: FlowdaptError) -> list[str]:
    """Return a line per thing that is wrong with a document."""
    return [_problem_line(one) for one in getattr(error, "problems", ()) or ()]


def _problem_line(one: Problem) -> str:
    places = [f"line {one.line}" if one.line else "", ".".join(map(str, one.loc))]
    meant = [f"did you mean {one.suggestion}?"] if one.suggestion else []
    return ": ".join([*filter(None, places), "   ".join([one.message, *meant])])


def _draft(name: str, text: str) -> Path:
    handle, path = tempfile.mkstemp(prefix=f"flowdapt-{name}-", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as draft:
        draft.write(text)
    return Path(path)


def _run_editor(editor: str, draft: Path) -> str:
    """Return in words why the editor failed; empty when it did not."""
    try:
        done = subprocess.run([*shlex.split(editor), str(draft)], check=False)  # noqa: S603 - the person's own editor
    except (OSError, ValueError) as error:
        return f"does not start: {getattr(error, 'strerror', None) or error}"
    return f"ended with {done.returncode}" if done.returncode else ""


def _read(given: str) -> str:
    path = Path(given).expanduser()
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path} cannot be read: {why}") from None
