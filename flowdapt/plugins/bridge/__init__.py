"""Executors whose library lives in a process of its own, the bridge: its loops, threads and crashes stay there.

`executor` is the daemon's side (trio), `process` the other one (asyncio), `wire` what passes between
them, `engine` what a cluster has to offer.
"""
