"""Measure flowdapt against floors taken in the same run, and beside what a user would pick instead."""
