"""Records, read and recomputed.

In: a record with its arrays, as any machine wrote it. Out: answers, flips, scores and speeds that
were counted again from the arrays, or the reason why the record is invalid. A file a kind of job.
"""
