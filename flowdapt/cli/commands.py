"""Decide which commands there are and where each lives; nothing of them is imported here.

The one list behind dispatch, `--help`, completion and the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENTRIES", "Entry", "find_entry", "overview"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One word after `flowdapt`. A group has commands of its own, named in `usage`."""

    name: str
    usage: str
    summary: str
    module: str
    section: str
    group: bool = False
    also: tuple[str, ...] = ()

    @property
    def members(self) -> list[str]:
        """Return the commands of a group."""
        return self.usage.split("|") if self.group else []


def _entries(section: str, *rows: tuple[str, str, str, str]) -> tuple[Entry, ...]:
    made = []
    for words, usage, summary, module in rows:
        name, *also = words.rstrip("*").split("|")
        group = words.endswith("*")
        made.append(Entry(name, usage, summary, module, section, group, tuple(also)))
    return tuple(made)


ENTRIES: tuple[Entry, ...] = (
    *_entries(
        "First minutes",
        ("demo", "[--clean]", "run a small machine-learning project on real data", "demo"),
        ("init", "DIR", "make a small working project", "init"),
        ("ui", "[--view NAME] [--web PORT]", "the workstation in this terminal", "ui"),
    ),
    *_entries(
        "Runs",
        (
            "run",
            "WORKFLOW [--KEY VALUE …] [--follow]",
            "start a run, wait for it or follow it",
            "run",
        ),
        (
            "runs*",
            "ls|show|metrics|cancel|retry|wait|result|why|compare|rm",
            "look at runs and change them",
            "runs",
        ),
        ("logs", "RUN [-f] [--grep RE]", "print what the stages of a run said", "logs"),
    ),
    *_entries(
        "Workflows and configs",
        (
            "apply",
            "-f FILE|DIR|- [--dry-run] [--diff] [--prune]",
            "store documents, all or none",
            "apply",
        ),
        ("diff", "-f FILE", "show what apply would change (1: something)", "apply"),
        ("validate", "-f FILE", "check documents without storing them", "apply"),
        ("explain", "KIND[.FIELD]", "say what a document may hold", "explain"),
        ("get", "KIND [NAME]", "list or print resources and runs", "resources"),
        ("describe|inspect", "KIND NAME", "tell everything about one of them", "resources"),
        ("edit", "KIND NAME", "change one in your editor", "edit"),
        ("rollback", "KIND NAME --to REVISION", "go back to an earlier revision", "edit"),
        ("delete", "KIND NAME | -f FILE", "delete resources or runs", "resources"),
    ),
    *_entries(
        "Triggers",
        (
            "trigger|triggers*",
            "ls|next|fire|pause|resume|test|history",
            "rules that start workflows by themselves",
            "trigger",
        ),
    ),
    *_entries(
        "Artifacts and secrets",
        ("artifact|artifacts*", "ls|get|put|rm|preview", "files that stages stored", "artifact"),
        ("secret|secrets*", "set|ls|rm", "values that only named stages see", "secret"),
    ),
    *_entries(
        "Where stages run",
        ("use", "NAME|URL|-", "check an executor and switch to it: laptop to cluster", "use"),
        (
            "executor|executors*",
            "ls|add|check|workers|rm",
            "what runs the stages",
            "executor",
        ),
    ),
    *_entries(
        "The daemon",
        ("up", "[--foreground]", "start the daemon; return when it is ready", "up"),
        ("down", "[--now]", "let running stages end and stop the daemon", "up"),
        ("status", "", "what the daemon is and does", "status"),
        ("top", "", "the daemon and its runs, live", "top"),
        ("events", "[-f] [--type GLOB]", "what has happened", "events"),
        ("post", "TYPE [--data JSON|@FILE]", "tell an event of your own; rules see it", "events"),
        ("metrics", "[NAME]", "the daemon's figures (Prometheus)", "status"),
        ("plugin|plugins*", "ls|check", "what is plugged in", "plugin"),
        ("db*", "migrate|backup|restore|gc", "care for the database", "db"),
        ("service*", "install|remove", "run the daemon under systemd", "service"),
        ("doctor", "[--fix]", "find what is wrong with files and store", "doctor"),
        ("bundle", "[FILE]", "collect what a bug report needs", "doctor"),
    ),
    *_entries(
        "Other",
        ("api", "METHOD PATH [-d JSON]", "send any request", "api"),
        ("openapi", "", "print the REST contract", "api"),
        ("completion", "bash|zsh|fish", "print the shell's completion script", "completion"),
        ("version", "", "print the version", "status"),
    ),
)


def find_entry(word: str) -> Entry | None:
    return next((one for one in ENTRIES if word == one.name or word in one.also), None)


def overview() -> str:
    """Return the text of `flowdapt --help`."""
    lines = [
        "usage: flowdapt COMMAND [OPTIONS]",
        "",
        "Durable machine-learning workflows from the terminal.",
    ]
    section = ""
    for entry in ENTRIES:
        if entry.section != section:
            section = entry.section
            lines += ["", f"{section}:"]
        lines.append(f"  {entry.name:<11} {entry.summary}")
    lines += [
        "",
        "Options of every command:",
        "  -o table|wide|json|jsonl|yaml|name   form of the output",
        "  -s ADDRESS, -n NAMESPACE, --request-timeout TIME, --yes, -q, -v, --no-color",
        "",
        "`flowdapt COMMAND --help` says more.  First try: flowdapt demo",
    ]
    return "\n".join(lines) + "\n"
