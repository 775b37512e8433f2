"""The recurrence itself: Lyapunov exponents, deviations and their bounds.

In: layers that are random or trained (`random_layers`, `trained_layers`), a perturbation, a
precision. Out: exponents, measured deviations and the bounds that the theorems give, in float64,
with controls that have to fail. `weight_tying` checks Theorem 3 in exact integers.
"""
