"""A screen: under a further setting of float32, asking only what could be answered otherwise.

Two settings of float32 differ by 1e-4 nats or so in a log-likelihood, so that near ties alone can
fall the other way. With Q questions at one number of shots, all answered under the first setting:

    sample  a random sample of the questions, asked anew
    gap     of a question under the first setting, nats: what lies between its best two options
    d       largest change of a log-likelihood among the questions that were asked anew and
            answered as before, nats
    near    gap at most times x d; asked anew too, which may raise d, until none is left

A gap moves by 2 d at most where no log-likelihood moves by more than d, so that what is left out
would have to move times / 2 as far as anything that was seen. Where one that was asked answers
otherwise over a gap of more than times x d / 2, that does not hold, and all are asked. Options are
compared as `acc` does, and where a task has lengths as `acc_norm` does too: there the gap is
between log-likelihoods over characters, in units of the mean of 1 / characters of both.

Not covered: a task of one log-likelihood a question has no gap, and is asked whole.
"""

import hashlib
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from repro.schema.base import Frozen
from repro.schema.kinds.base import Setting

SAMPLE = 1000
"""Questions of a sample, at each number of shots: by it, with a confidence of 95 %, fewer than
0.3 % of the questions move further than d."""
TIMES = 8
"""Four times the 2 d that a gap can move by (docs/decision.md has what was seen)."""
NEAR = 0.005
"""Share of the questions that is expected to be near; a plan's, which no number depends on."""


class Screen(Frozen):
    """What a setting is screened against, and how."""

    against: Setting
    """The first setting: the same job under it answered every question."""
    times: Annotated[int, Field(ge=4)]
    sample: PositiveInt
    seed: NonNegativeInt
    """Of the sample."""

    def sampled(self, questions: int, shots: int) -> tuple[int, ...]:
        """Places of the sample among so many questions; all, where that would be most of them."""
        if self._size(questions) == questions:
            return tuple(range(questions))

        def drawn(place: int) -> bytes:  # the same on every machine, whatever draws elsewhere
            return hashlib.sha256(f"{self.seed}/{shots}/{place}".encode()).digest()

        return tuple(sorted(sorted(range(questions), key=drawn)[: self.sample]))

    def share(self, questions: int) -> float:
        """Share of so many questions that is expected to be asked."""
        return min(1.0, self._size(questions) / questions + NEAR)

    def _size(self, questions: int) -> int:
        return questions if 2 * self.sample > questions else self.sample


def screened_against(first: Setting, setting: Setting) -> Screen:
    """How a setting is screened; each draws a sample of its own, the same in every manifest."""
    said = setting.model_dump_json(exclude={"id"})
    seed = int.from_bytes(hashlib.sha256(said.encode()).digest()[:4])
    return Screen(against=first, times=TIMES, sample=SAMPLE, seed=seed)
