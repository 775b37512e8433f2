"""Mistral: what is known of its layers."""

from repro.schema.families import Family, Layout

FAMILY = Family(
    layouts={
        "mistral": Layout(
            embedding="model.embed_tokens.weight",
            logits="widened",
            lora_all=("q_proj", "k_proj", "v_proj", "o_proj"),
        )
    }
)
