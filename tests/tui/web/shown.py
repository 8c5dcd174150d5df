"""A program for a tab: says its size and each key, copies, links, names itself, and ends when told."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty

SAYS = {
    b"c": "\x1b]52;c;Y29waWVkIOKclA==\x07copied",
    b"?": "\x1b]52;c;?\x07asked",
    b"t": "\x1b]0;a title\x07titled",
    b"m": "\x1b[?1000h\x1b[?1006hmouse",
    b"p": "\x1b[?2004hpasting",
    b"e": f"{os.environ.get('TERM')} {os.environ.get('COLORTERM')} tmux={os.environ.get('TMUX')}",
    b"i": f"pid={os.getpid()};",
    b"l": "\x1b]8;;http://127.0.0.1:9/there\x1b\\LINK\x1b]8;;\x1b\\ \x1b]8;;javascript:alert(1)\x1b\\BAIT\x1b]8;;\x1b\\",
    b"u": "____    under",
    b"x": "\x1b[38;2;1;2;3mcolour\x1b[0m",
}


def say(text: str) -> None:
    os.write(1, text.encode() + b"\r\n")


def tell_size(*_: object) -> None:
    size = os.get_terminal_size(0)
    say(f"size {size.columns}x{size.lines}.")


def main() -> None:
    tty.setraw(0)
    attributes = termios.tcgetattr(0)
    attributes[1] |= termios.OPOST
    termios.tcsetattr(0, termios.TCSANOW, attributes)
    signal.signal(signal.SIGWINCH, tell_size)
    if "--stubborn" in sys.argv:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    tell_size()
    while keys := os.read(0, 1024):
        # Keys typed quickly come together; a sequence stays whole.
        for key in [bytes([one]) for one in keys] if keys.isalpha() else [keys]:
            heed(key)


def heed(key: bytes) -> None:
    if key == b"q":
        sys.exit(3)
    if key == b"f":
        say("flood " + "x" * 400_000 + " over")
    else:
        say(SAYS.get(key, f"key {key!r}"))


main()
