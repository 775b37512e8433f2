"""What this machine is, and what versions are on it.

In: the operating system, the driver, installed packages, the lock files. Out: the `Environment`
that every record carries and the part of a job's key that is the machine (`machine`), and the exact
version of every package (`pins`).
"""
