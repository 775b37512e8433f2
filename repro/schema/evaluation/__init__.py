"""Evaluations in a manifest: their slots, who asks a model what, which claims make no sense.

In: groups of a manifest, the catalog. Out: slots, a manifest with one more setting or with fewer,
mistakes in claims on scores and on tuned models.
"""
