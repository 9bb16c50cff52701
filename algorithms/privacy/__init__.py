"""Differential privacy: methods that add noise, one file each, and what they say of it to an accountant."""

from algorithms.privacy.dp_fed_avg import AdaptiveClipping as AdaptiveClipping
from algorithms.privacy.dp_fed_avg import DPFedAvg as DPFedAvg
from algorithms.privacy.dp_ftrl import DPFTRL as DPFTRL
from algorithms.privacy.mechanisms import DiscreteGaussianMechanism as DiscreteGaussianMechanism
from algorithms.privacy.mechanisms import GaussianMechanism as GaussianMechanism
from algorithms.privacy.mechanisms import Mechanism as Mechanism
from algorithms.privacy.noisy_messages import NoisyMessages as NoisyMessages
from algorithms.privacy.spending import PrivateMethod as PrivateMethod
from algorithms.privacy.spending import PrivateOracle as PrivateOracle
from algorithms.privacy.spending import Spending as Spending
