"""CEDAS: compressed exact diffusion with adaptive step sizes."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.compressed.lead import Lead


@dataclass(frozen=True)
class Cedas(Lead):
    """CEDAS: compressed exact diffusion with adaptive step sizes.

    Huang & Pu, "CEDAS: A Compressed Decentralized Stochastic Gradient Method with Improved Convergence", arXiv
    2301.05872.

    LEAD (see `Lead`) whose dual is not multiplied by the learning rate. With D, H and H_w = W H, all 0 at the start:

        X_1 = X_0 - lr G(X_0), then
        Y   = X - lr G(X) - D
        q   = Q(Y - H)                                    is sent
        Y'  = H + q;    Y'_w = H_w + W q;    H <- H + alpha q;    H_w <- H_w + alpha W q
        D  <- D + gamma / 2 (Y' - Y'_w)
        X  <- Y - gamma / 2 (Y' - Y'_w)                   = X - lr G - D

    The two are the same for a constant learning rate. For one that varies this one is, without compression and for
    gamma = 1, the exact diffusion recursion

        X_{k+1} = (I + W) / 2 (2 X_k - X_{k-1} - lr_k G_k + lr_{k-1} G_{k-1}).

    Its dual tends to minus lr times the local gradients at the optimum and has to follow a rate that changes. Since D
    stays in the range of I - W, the fixed points are the right ones after any change; but a sudden decay moves the
    models away from the optimum for a while. The theory is for rates that decay like 1 / k.

    Sent: one compressed vector to each out-neighbour, per round; nothing in the first step. W must be symmetric and the
    same in all rounds; what is said of the ranges of `Lead` holds here too.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Step size of the dual, > 0 and at most 2 / (1 - least eigenvalue of W).
        alpha: Step size of the public copies, in (0, 1].
        compressor: The compression operator Q, unbiased.
    """

    def dual_factor(self, lr: float) -> float:
        return 1.0
