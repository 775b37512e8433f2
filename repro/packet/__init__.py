"""A packet: a bundle's results in one file that a stranger can judge.

In: results folders. Out: a Process Run Crate (`crate`) with manifests, records, lock and page, a
list of digests and room for a signature (`build`); the same again on the way in.
"""
