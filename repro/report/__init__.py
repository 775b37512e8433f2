"""Findings, shown: to a terminal, as a page, as Markdown, as CSV.

In: results folders, judged as `repro verify` does it (`collect`), or plans, audits and lists. Out:
text and HTML. It decides nothing; what is shown is plain data (`view`) by the time it is drawn. The
only room that imports rich and matplotlib.
"""
