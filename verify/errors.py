"""Why there is no evidence for a claim, or none that can be trusted."""


class InvalidError(Exception):
    """The evidence for a claim cannot be trusted: why, in one sentence."""


class NotRunError(Exception):
    """There is no evidence for a claim: why, in one sentence."""
