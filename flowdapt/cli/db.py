"""Commands that care for the database: `flowdapt db …`. migrate and restore work on the files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.offline import new_store, owned_files, sqlite_file
from flowdapt.cli.session import Session
from flowdapt.cli.starting import answers
from flowdapt.cli.tables import Column
from flowdapt.cli.views import text
from flowdapt.client.endpoints import system
from flowdapt.domain.wording import amount, size

commands = Commands()


BACKUP_COLUMNS = (
    Column("backup", text("path"), keep=True),
    Column("size", lambda row: size(row["size_bytes"]), right=True),
)


@commands.add("migrate")
def migrate(session: Session) -> None:
    """Bring the database to this version's schema, after a backup. No daemon may run."""
    import trio

    with owned_files() as settings:
        store = new_store(settings)

        async def opened() -> str:
            await store.open()
            try:
                return (await store.info()).schema
            finally:
                await store.close()

        schema = trio.run(opened)
    session.output.one(
        {"schema": schema}, lambda: session.screen.note(f"✔ schema {schema}", "good")
    )


@commands.add("backup")
def backup(session: Session) -> None:
    """Write a checked copy of the database, while runs go on or with no daemon running."""
    if session.local and not answers(session.paths):
        found = _backup_of_files()
    else:
        found = session.ask(system.backup())
    session.output.one(
        found,
        lambda: session.screen.styled(
            (str(found["path"]), None), (f"  {size(found['size_bytes'])}", "dim")
        ),
        name=str(found["path"]),
    )


def _backup_of_files() -> dict[str, Any]:
    from flowdapt.stores.backup import file_name, write_backup

    with owned_files() as settings:
        target = settings.paths.backups / file_name(datetime.now(UTC))
        count = write_backup(sqlite_file(settings), target)
    return {"path": str(target), "size_bytes": count}


@commands.add("restore")
def restore(
    session: Session,
    file: Annotated[
        Path | None, Arg("the backup; without one they are listed", "FILE", "file")
    ] = None,
) -> int:
    """Put a backup in the place of the database, which is kept aside. No daemon may run."""
    from flowdapt.stores.backup import list_backups
    from flowdapt.stores.backup import restore as put_back

    if file is None:
        found = list_backups(session.paths.backups)
        rows = [{"path": str(one), "size_bytes": one.stat().st_size} for one in found]
        session.output.many(
            {"items": rows, "next": None}, BACKUP_COLUMNS, name=lambda row: row["path"]
        )
        if not found:
            session.screen.note("flowdapt db backup  writes one", "dim")
        return 0
    with owned_files() as settings:
        database = sqlite_file(settings)
        if not session.confirm(f"put {file} in the place of {database}?"):
            return 1
        put_back(file.absolute(), database)
    words = f"✔ restored; the database before is beside it: {database.name}.before-restore"
    done = {"path": str(database), "from": str(file)}
    session.output.one(done, lambda: session.screen.note(words, "good"), name=str(database))
    return 0


@commands.add("gc")
def gc(
    session: Session,
    *,
    dry_run: Annotated[bool, Opt("--dry-run", "say what would go, and delete nothing")] = False,
) -> None:
    """Delete what retention and orphaned files leave to delete."""
    found = session.ask(system.gc(dry_run=dry_run))
    verb = "would delete" if dry_run else "deleted"
    words = f"{verb} {amount(found['runs'], 'run')} and {amount(found['orphans'], 'orphaned file')}"
    session.output.one(found, lambda: session.screen.data(words))
