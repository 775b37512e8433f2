"""How a roll-out's states lie in memory, and what it writes down at each step.

Natural order is (..., L, D, N): layers, channels, state entries. Where A is one scalar a channel
(Mamba-2, large N) that is also the order in memory. Where A has an entry for each n (Mamba-1, small
N) it is (..., N, D, L) instead, so that the inner loops run over channels and layers.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """One of the two orders."""

    entries_last: bool
    """(..., L, D, N); else (..., N, D, L)."""

    @property
    def axis(self) -> int:
        """The axis of n."""
        return -1 if self.entries_last else -3

    def laid(self, natural: Tensor) -> Tensor:
        """(..., L, D, N) in this order."""
        return natural if self.entries_last else natural.transpose(-1, -3).contiguous()

    def natural(self, recorded: Tensor) -> Tensor:
        """(T, M, L, D, 1) in this order as (T, M, L, D)."""
        return (recorded if self.entries_last else recorded.transpose(-1, -3))[..., 0]


class Recordings:
    """One block's recordings, reused by the next; views of each step, made once.

    Fresh memory costs more than the arithmetic that fills it.
    """

    def __init__(self, per_channel: Tensor, steps: int, modes: int) -> None:
        def buffer(rows: int) -> Tensor:
            return per_channel.new_zeros(steps, rows, *per_channel.shape)

        self.all = {
            "outputs": buffer(1 + modes),
            "latent": buffer(modes),
            "ratio": buffer(modes),
            "reach": buffer(modes),
            "state": buffer(1),
            "limited": buffer(1),
            "rounding": buffer(1),
        }
        self.outputs = self.all["outputs"].unbind(0)
        self.latent = self.all["latent"].unbind(0)
        self.ratio = self.all["ratio"].unbind(0)
        self.reach = self.all["reach"].unbind(0)
        self.state = self.all["state"][:, 0].unbind(0)
        self.limited = self.all["limited"][:, 0].unbind(0)
        self.rounding = self.all["rounding"][:, 0].unbind(0)


def sum_by_halves(product: Tensor) -> Tensor:
    """Sum over the third axis from the last, in place, by halves.

    torch.sum over an axis that is not the last adds in an order that depends on the size of the
    others, and no number may depend on how many layers a chunk has.
    """
    left = product.shape[-3]
    while left > 1:
        half = left // 2
        product[:, :half].add_(product[:, left - half : left])
        left -= half
    return product[:, :1]
