"""Evaluations in a manifest: their slots, who asks a model what, and what makes no sense in scores.

In: groups of a manifest, the catalog. Out: slots, a manifest with one more setting, mistakes.
"""
