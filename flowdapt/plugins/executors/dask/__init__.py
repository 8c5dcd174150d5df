"""Runs tasks on a Dask cluster, one started on this machine or one at an address.

The daemon imports `executor` and `options` only. `engine` and `cluster` live in the bridge's process,
`node` is a worker started here, `remote` is what runs inside the workers of any cluster.
"""
