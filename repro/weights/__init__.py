"""Files of weights that others made, read without running them.

In: checkpoints as torch pickles them, OLMo's layout, a Llama in GGUF, folders of shards. Out: named
tensors, bit for bit (of GGUF: what its blocks stand for), as safetensors. Anything that is not
plain data is refused by name; `torch.load` is never called.
"""
