"""The same jobs on the nodes of a Ray cluster.

In: the work that the local engine would take. Out: the same records, brought home whole
(`transfer`), whatever happens to a node (`pool`). The only room that imports ray.
"""
