"""Every call of the REST interface as a value: the request, and how to read the answer. No I/O.

`Client`, `AsyncClient` and the command line share them, so none of them knows a path.
"""
