"""Rules that make one row of several, some of which may be forged."""

from algorithms.robust.aggregators.aggregator import Aggregator as Aggregator
from algorithms.robust.aggregators.before import Bucketing as Bucketing
from algorithms.robust.aggregators.before import NearestNeighborMixing as NearestNeighborMixing
from algorithms.robust.aggregators.bulyan import Bulyan as Bulyan
from algorithms.robust.aggregators.centered_clipping import CenteredClipping as CenteredClipping
from algorithms.robust.aggregators.centered_clipping import NormBound as NormBound
from algorithms.robust.aggregators.coordinate_median import CoordinateMedian as CoordinateMedian
from algorithms.robust.aggregators.fools_gold import FoolsGold as FoolsGold
from algorithms.robust.aggregators.geometric_median import GeometricMedian as GeometricMedian
from algorithms.robust.aggregators.krum import Krum as Krum
from algorithms.robust.aggregators.mean import Mean as Mean
from algorithms.robust.aggregators.trimmed_mean import TrimmedMean as TrimmedMean
