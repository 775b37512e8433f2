"""Which jobs a run takes, in what order, and what they cost.

In: a manifest, a tier, what is on this machine. Out: a `Plan` with a key for each job, or the
reason why there is none; seconds, memory and disk, before anything starts.
"""
