"""Runs tasks on a Ray cluster, one started on this machine or one at an address.

The daemon imports `executor` and `options` only. `entry`, `engine` and `session` live in the bridge's process,
`remote` is what runs inside the workers of any cluster.
"""
