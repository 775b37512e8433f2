"""Language models of our own, where the paper's need kernels that are not everywhere."""
