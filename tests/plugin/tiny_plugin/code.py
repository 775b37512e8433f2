"""Mistral, by transformers' own class."""

from runner.models.transformers_model import AttentionModel

MODEL = AttentionModel("mistral", widens=("mistral",))
