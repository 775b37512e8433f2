"""What is asked of models, and what can be claimed of their answers: settings, slots, scores.

In: groups of a manifest, the catalog. Out: the settings that they run under, the slots that their
answers fill, claims on scores and differences, and what makes no sense in them.
"""
