"""Does the measurement agree with what was published?

The verifier reads manifests, records and the catalog. It needs no ML framework, imports
nothing of `runner`, and believes nothing that it can recompute.

What a verdict does not prove:

- `reproduced` says that the number comes out again under the settings tried, not that the
  conclusion drawn from it is right.
- `contradicted` says that this number or sentence does not stand as printed, not why.
- A record can be forged by someone who forges every log-likelihood in it; digests catch
  accidents and careless edits. Rerun what you cannot believe.
- Tier smoke exercises the machinery on tiny stand-ins. It says nothing about the paper's
  models, and no claim about them is decided there.
"""
