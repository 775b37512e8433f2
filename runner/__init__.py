"""What do I measure if I run it? The only package that imports torch.

It reads `repro`'s contract, writes records, and knows nothing of verdicts.
"""
