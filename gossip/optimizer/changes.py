"""What happens to the parameters between two steps."""

from __future__ import annotations

import warnings

from algorithms import Algorithm
from gossip.optimizer.flat import FlatParameters
from gossip.optimizer.following import follows


class Changes:
    """Notices changes of the parameters, and refuses them where they cannot be.

    Args:
        algorithm: Not bound to a model.

    Attributes:
        fresh: Whether no step has been made from what the algorithm has started with.
        expected: Whether a state was loaded since the last step, and so the model is.
        standing: Whether the parameters were changed otherwise since the last step.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self.fresh = True
        self.expected = self.standing = False
        self._algorithm = algorithm
        self._read = False  # whether neighbours may be reading the parameters where they are
        self._told = False  # whether it has been looked at whether the algorithm follows changes

    def see_readers(self, flat: FlatParameters, read: bool, step: int) -> None:
        """After a step: whether neighbours may be reading the parameters from now on."""
        self._read = read
        if read:
            flat.watch(step)
        else:
            flat.stop_watching()

    def expect(self, flat: FlatParameters) -> None:
        """Nobody reads the parameters any more, and they may be loaded too, as the state was."""
        self.fresh, self._read, self.expected = False, False, True
        flat.stop_watching()

    def step(self) -> None:
        """A step is made from what the parameters are."""
        self.fresh = self.expected = self.standing = False

    def see(self, flat: FlatParameters) -> bool:
        """Whether the parameters were changed since they were bound; they lie in their stack again.

        Raises:
            RuntimeError: Neighbours may have been reading them, or one has another shape, type or device.
        """
        changed, name = flat.changed, type(self._algorithm).__name__
        if changed and self._read:
            raise RuntimeError(
                f"parameters were changed since the last step, while neighbours may have been reading them: {name} as "
                f"set up sends them during the next gradient computation; use an order without this overlap, such as "
                f'"adapt-then-combine"'
            )
        if flat.moved:
            flat.bring_back()
        if changed and not (self.fresh or self.expected):
            self.standing = True
        if self.standing and not self._told:
            self._told = True
            if not follows(self._algorithm):
                warnings.warn(
                    f"parameters were changed since the last step, and {name} keeps more of them than they show: it "
                    f"goes on as after no change or one of another size, unless the change has been taken back by now; "
                    f"DecentralizedSGD follows changes, and so does a new gossip.Optimizer",
                    stacklevel=2,
                )
        return changed
