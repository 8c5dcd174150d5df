"""The `:` commands that name what they act on, so that they hold on every screen; without a name: what is in sight.

What is done, and what is asked before, is that of the keys (`screens/actions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowdapt.domain.errors import InvalidInput, NotFound
from flowdapt.tui.keys import KEYS

if TYPE_CHECKING:
    from flowdapt.domain.run import Run
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Named"]


class Named:
    """The part of `Everywhere` that is about named things."""

    _app: FlowdaptApp

    async def act_show_run(self, *words: str) -> None:
        run = await self._run_meant("show", *words)
        if run is not None:
            self._app.open_detail("run", run.uid, "show")

    async def act_logs_of(self, *words: str) -> None:
        run = await self._run_meant("logs", *words)
        if run is not None:
            self._app.open_detail("run", run.uid, "logs")

    async def act_run_named(self, *words: str) -> None:
        from flowdapt.tui.screens.actions.workflows import start_run

        if await self._allowed("run", words):
            await start_run(self._app, words[0])

    async def act_retry_named(self, *words: str) -> None:
        await self._do_to_run("retry", *words)

    async def act_cancel_named(self, *words: str) -> None:
        await self._do_to_run("cancel", *words)

    async def act_why_named(self, *words: str) -> None:
        await self._do_to_run("why", *words)

    async def act_fire_named(self, *words: str) -> None:
        from flowdapt.tui.screens.actions.triggers import fire_rule

        if await self._allowed("fire", words):
            await fire_rule(self._app, await self._app.client.triggers.status(words[0]))

    async def act_use_named(self, *words: str) -> None:
        from flowdapt.tui.screens.actions.executors import choose_executor, use_executor

        if not words:
            await choose_executor(self._app)
        elif await self._allowed("use", words):
            await use_executor(self._app, words[0])

    async def act_apply_file(self, *words: str) -> None:
        from flowdapt.tui.screens.actions.documents import apply_file

        if await self._allowed("apply", words or ("",)):
            await apply_file(self._app, *words)

    # --- inside ----------------------------------------------------------------------------------

    async def _do_to_run(self, deed: str, *words: str) -> None:
        from flowdapt.tui.screens.actions.runs import RunDeeds, hindrance

        run = await self._run_meant(deed, *words)
        if run is None:
            return
        reason = hindrance(deed, [run])
        if reason is not None:
            self._app.say(f"{deed} {run.name}: {reason}", "warn")
        elif deed == "why":
            await RunDeeds(self._app).why(run)
        else:
            await getattr(RunDeeds(self._app), deed)([run])

    async def _run_meant(self, deed: str, *words: str) -> Run | None:
        """Return the run that is named; where none is, leave it to the key on this screen."""
        if not await self._allowed(deed, words):
            return None
        try:
            return await self._app.client.runs.get(words[0])
        except NotFound as error:
            raise NotFound(error.message, fix=":runs shows them; tab completes a name") from None

    async def _allowed(self, deed: str, words: tuple[str, ...]) -> bool:
        """Say whether to go on with what is named; without a name the key of this screen does it."""
        view, key = self._app.view, KEYS["open" if deed == "show" else deed]
        if view is None:
            return False
        if not words:
            if key not in view.keys:
                raise InvalidInput(f"{deed} what?", fix=f":{deed} NAME, tab completes it")
            await view.do(key)
            return False
        # Not what the screen says of the thing in sight: it is about another one.
        reason = view.reason_of_desk(key)
        if reason is not None:
            self._app.say(f"{key.words}: {reason}", "warn")
        return reason is None
