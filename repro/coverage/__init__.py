"""Which of the paper's printed numbers some claim is about.

In: the list of numbers, made from the paper's text (`numerals`), and the manifests. Out: each
number bound to a claim or set aside with a reason (`coverage`).
"""
