"""What a page says, before it has a form: plain data, made by rule from findings.

In: findings and what was seen of their records (`ReportData`). Out: the sentences that a page opens
with, a card for each claim in the paper's order, its tables cell by cell, what is open and what
that takes. Nothing here knows which paper it is about. HTML, LaTeX, CSV and figures are made of it.
"""
