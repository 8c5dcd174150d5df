"""Executors whose library lives in a process of its own, the bridge: its loops, threads and crashes stay there.

`executor` is the daemon's side (trio), `launch` starts the process, `process` is the other side (asyncio),
`wire` what passes between them, `engine` what a cluster has to offer, `options` what can be set of any.
What engines share: `hearing` (words of a task), `endings` (outcomes that no body told), `lifting` and
`travelling` (values and code for workers that do not see our files), `files` (whether they do),
`neighbours` (whether they stand on this machine).
"""
