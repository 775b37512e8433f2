"""Kinds of jobs, one file each: what a job of that kind says, what it reads and what it costs.

In comes a manifest's specification; out go models that planning, runner and verifier share. A kind
is registered in `repro.schema.jobs`.
"""
