"""Evaluations in a manifest: their slots, who asks a model what, and what makes no sense in claims
on scores and on tuned models.

In: groups of a manifest, the catalog. Out: slots, a manifest with one more setting, mistakes.
"""
