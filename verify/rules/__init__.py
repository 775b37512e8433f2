"""How a claim is decided: a file a kind of claim.

In: printed values, and what records came to. Out: an outcome with both sides, the margin and the
reason. `docs/verdicts.md` says in words what these files do.
"""
