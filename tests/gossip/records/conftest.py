"""The fixtures of checkpoints: a lock is held by a run that writes some."""

from tests.gossip.checkpoint.conftest import no_reports as no_reports
from tests.gossip.checkpoint.conftest import small as small
