"""The same workloads for the systems that a person would pick instead, and the comparison.

Each peer is one module, run in a virtual environment of its own; these modules use the standard library only.
"""
