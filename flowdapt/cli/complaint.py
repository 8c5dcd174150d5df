"""Decide how an error is told: what, where, what was probably meant, what to do. One shape everywhere."""

from __future__ import annotations

from flowdapt.cli.screen import Screen
from flowdapt.cli.usage import UsageProblem
from flowdapt.domain.errors import FlowdaptError, Problem

__all__ = ["complain", "complain_of_problems"]

_MOST = 20
_MEANT = "did you mean"


def complain(screen: Screen, error: FlowdaptError) -> None:
    """Write an error with every problem it carries."""
    problems = error.problems or (Problem(error.exact_code, error.message, fix=error.fix),)
    if len(error.problems) > 1 and not any(p.line for p in problems):
        _line(screen, "", error.message, error.exact_code)
    complain_of_problems(screen, problems)
    if error.fix and error.fix not in {problem.fix for problem in problems}:
        _fix(screen, error.fix)


def complain_of_problems(screen: Screen, problems: tuple[Problem, ...] | list[Problem]) -> None:
    for problem in problems[:_MOST]:
        _problem(screen, problem)
    if len(problems) > _MOST:
        screen.complain((f"  … and {len(problems) - _MOST} more", "dim"))


def _problem(screen: Screen, problem: Problem) -> None:
    code = "" if problem.code == UsageProblem.code else problem.code
    _line(screen, _place(problem), problem.message, code)
    if problem.suggestion:
        screen.complain((f'    did you mean "{problem.suggestion}"?', None))
    fix = _next_step(problem)
    if fix and not (problem.suggestion and fix.startswith(_MEANT)):
        _fix(screen, fix)


def _line(screen: Screen, place: str, message: str, code: str) -> None:
    first, *rest = message.splitlines() or [""]
    parts = [("✖ ", "bad"), (f"{place}  " if place else "", "bold"), (first, None)]
    screen.complain(*parts, (f"   [{code}]" if code else "", "dim"))
    for line in rest:
        screen.complain((f"    {line}", None))


def _fix(screen: Screen, fix: str) -> None:
    if fix.startswith(_MEANT):
        screen.complain((f"    {fix}", None))
        return
    screen.complain(("  fix:  ", "bold"), (fix, None))


def _place(problem: Problem) -> str:
    if problem.line is not None:
        place = f"{problem.source or '-'}:{problem.line}"
        return f"{place}:{problem.column}" if problem.column is not None else place
    path = ".".join(str(part) for part in problem.loc)
    return f"{problem.source}: {path}" if problem.source and path else problem.source or path


def _next_step(problem: Problem) -> str | None:
    """Return the fix; for a line of a file, with the command that comes after it."""
    if problem.line is None or problem.source in {None, "-"}:
        return problem.fix
    first = problem.fix or f"change line {problem.line}"
    return f"{first}, then  flowdapt apply -f {problem.source}"
