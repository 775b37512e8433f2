"""What was measured, kept.

In: the values and arrays of one finished job, under its key. Out: records that are whole or
refused, and the run file, which says before the first number what was asked and claimed. `keys`
says when two jobs are the same, `store` writes and reads, `contents` lists and clears up.
"""
