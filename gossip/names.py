"""The names of what a run writes. Whatever has another name is the user's: neither taken for a run's own nor removed.

Digits are those of ASCII, and upper case is not lower case, whatever a file system thinks of that.
"""

from __future__ import annotations

import re

RUN = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}(-[0-9]+)?")
"""A run directory: the UTC time of its beginning, a hash of its configuration, and a number if that was taken."""

CHECKPOINT = re.compile(r"step-([0-9]{8}|[1-9][0-9]{8,})")
"""The folder of a checkpoint."""

UNFINISHED = re.compile(rf"\.(writing|removed)-{CHECKPOINT.pattern}(\.[0-9]+)?")
"""The folder of a checkpoint that is not there yet, or no longer."""

SAVED = re.compile(r"saved-([0-9]{8}|[1-9][0-9]{8,})")
"""What a `gossip.Optimizer` has saved of a loop of one's own."""

UNSAVED = re.compile(rf"\.(writing-[0-9]{{8,}}|removed-{SAVED.pattern})(\.[0-9]+)?")
"""The same, not there yet or no longer."""

ROWS = re.compile(r"rank-([0-9]{4}|[1-9][0-9]{4,})\.safetensors")
"""What a rank has written into a checkpoint."""

LITTER = re.compile(r"\.nfs.*|\._.*|\.DS_Store|Thumbs\.db")
"""What file systems and desktops leave in folders, of which nobody would miss anything."""
