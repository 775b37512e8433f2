"""What was published, what was measured, what was decided: the contract and the command line.

Glossary, used throughout: a *manifest* is one table, figure or theorem as data; a
*published value* is a printed string with its place; a *claim* is one checkable
statement; a *job* is the smallest unit that is run; a *record* is what a job measured; a
*finding* is one claim decided; a *verdict* is the findings of one manifest.
"""

__version__ = "0.1.0"
