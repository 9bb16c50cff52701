"""A loop of one's own is saved and goes on: everything that it has, on all ranks together, whole or not at all.

    DIRECTORY/saved-00000003/
        manifest.json    how many ranks have saved, and a checksum of what each of them has
        rank-0000.pt     what this rank has, as torch saves it

It is written into a hidden folder, which is renamed when everything is on disk; then the one before it is removed.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import xxhash

from gossip.errors import DataError, UsageError
from gossip.names import SAVED, UNSAVED
from gossip.network import Communicator
from gossip.optimizer.random_states import random_states, set_random_states
from gossip.optimizer.stopping import Stopping
from gossip.processes.calls import LOAD, SAVE, STOPPING
from gossip.processes.signals import tell_batch_script
from gossip.records.replacing import open_folder, put_in_place, remove_folder, write_through

MANIFEST = "manifest.json"

T = TypeVar("T")


class Resumable:
    """What a `gossip.Optimizer` has for jobs that are stopped and go on."""

    _processes: Communicator
    _stopping: Stopping
    _state: Any

    if TYPE_CHECKING:

        def state_dict(self) -> dict[str, Any]: ...
        def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...
        def _begin(self, call: str) -> None: ...

    @property
    def stopping(self) -> bool:
        """Whether a signal has asked this job to stop. To be asked after each step, on every rank; collective.

        All ranks get the same answer after the same step. From the first question on, SIGUSR1, SIGTERM, SIGHUP and
        Ctrl-C no longer end the process, but for a second Ctrl-C; and once the answer was True, the first three are
        ignored until the process is gone, since batch systems send more than one.
        """
        self._begin(STOPPING)
        return self._stopping.asked(self._state.step)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            "a gossip.Optimizer cannot be copied or pickled, as it is tied to its parameters and the other ranks: save "
            "its state_dict() and load that into another one"
        )

    def save(self, directory: str | Path, **parts: Any) -> None:
        """Save this optimizer, with what else belongs to the loop, in the place of what was saved there before.

        `optimizer.save("saved", model=model, scheduler=scheduler, step=step + 1)`. Random number generators of torch,
        NumPy and Python are saved too. A kill at any instant leaves what was saved before. Where this job is
        `stopping`, a batch script of `gossip.hpc` has it queued again. Collective: each rank writes what it has.

        Args:
            directory: A folder that all ranks see.
            parts: Objects with a `state_dict`, and values: tensors, numbers, strings, lists or dictionaries of them.

        Raises:
            DataError: on every rank, if it cannot be written.
            UsageError: (a ValueError) on every rank, if something could not be read back.
        """
        self._begin(SAVE)
        processes, root = self._processes, Path(directory)
        content = processes.together(lambda: _packed({"optimizer": self.state_dict(), **_taken(parts)}))
        number = processes.from_root(lambda: max([0, *_saved(root)]) + 1)
        final, folder = root / f"saved-{number:08d}", None
        try:
            aside = root / f".writing-{number:08d}"
            folder = processes.from_root(lambda: _explained(final, lambda: open_folder(aside, UNSAVED)))
            file = folder / _name(processes.rank)
            processes.together(lambda: _explained(final, lambda: write_through(file, content)))
            checksums = processes.gather(_checksum(content))
            processes.from_root(lambda: _explained(final, lambda: _close(folder, final, checksums)))
        except DataError:
            if processes.rank == 0 and folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        stopped_by = self._stopping.number
        if stopped_by is not None:
            processes.from_root(lambda: tell_batch_script(stopped_by, final))

    def load(self, directory: str | Path, **parts: Any) -> dict[str, Any]:
        """Go on from what was saved there, if there is anything, on as many ranks as have saved it. Collective.

        `step = optimizer.load("saved", model=model, scheduler=scheduler).get("step", 0)`.

        Args:
            directory: As given to `save`.
            parts: The objects that were saved.

        Returns:
            The values that were saved, by name; empty if nothing was.

        Raises:
            DataError: on every rank, if it is damaged.
            UsageError: (a ValueError) on every rank, if it is of other parts, or of another number of ranks.
        """
        self._begin(LOAD)
        processes, root = self._processes, Path(directory)
        number = processes.from_root(lambda: max(_saved(root), default=None))
        if number is None:
            return {}
        folder = root / f"saved-{number:08d}"
        checksums = processes.from_root(lambda: _checksums(folder, processes.size))
        content = processes.together(lambda: _read(folder / _name(processes.rank), checksums[processes.rank]))
        processes.together(lambda: _check_parts(folder, parts, content["states"]))
        self.load_state_dict(content["optimizer"])
        for name, part in parts.items():
            part.load_state_dict(content["states"][name])
        set_random_states(content["random"])
        values: dict[str, Any] = content["values"]
        return values


def _taken(parts: dict[str, Any]) -> dict[str, Any]:
    states = {name: part.state_dict() for name, part in parts.items() if hasattr(part, "state_dict")}
    values = {name: part for name, part in parts.items() if name not in states}
    return {"states": states, "values": values, "random": random_states()}


def _packed(content: dict[str, Any]) -> bytes:
    """As a file of torch, which can be read back."""
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
        buffer.seek(0)
        torch.load(buffer, map_location="meta", weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError) as error:
        raise UsageError(
            f"this cannot be saved so that it can be read back: {_first_line(error)}; save tensors, numbers, strings, "
            f"lists or dictionaries of them, and objects with a state_dict of these"
        ) from error
    return buffer.getvalue()


def _saved(root: Path) -> list[int]:
    """The numbers of what has been saved here."""
    if not root.is_dir():
        return []
    found = ((SAVED.fullmatch(path.name), path) for path in root.iterdir())
    return [int(name[1]) for name, path in found if name and path.is_dir() and not path.is_symlink()]


def _name(rank: int) -> str:
    return f"rank-{rank:04d}.pt"


def _checksum(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)


def _explained(final: Path, function: Callable[[], T]) -> T:
    try:
        return function()
    except OSError as error:
        raise DataError(f"cannot write {final} ({error.strerror}); what was saved before is whole") from error


def _close(folder: Path, final: Path, checksums: list[str]) -> None:
    """Put it in its place, and remove those before it."""
    write_through(folder / MANIFEST, json.dumps({"checksums": checksums}).encode())
    before = _saved(final.parent)
    put_in_place(folder, final)  # a file or a link of somebody else's may be in the way
    for number in before:
        with suppress(OSError):  # what cannot be removed stays
            remove_folder(final.with_name(f"saved-{number:08d}"))


def _checksums(folder: Path, ranks: int) -> list[str]:
    try:
        checksums: list[str] = json.loads((folder / MANIFEST).read_bytes())["checksums"]
        if not isinstance(checksums, list):
            raise TypeError("checksums are no list")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{folder} is damaged: {MANIFEST} cannot be read ({_first_line(error)})") from error
    if len(checksums) != ranks:
        raise UsageError(
            f"{folder} was saved by {len(checksums)} ranks and there are {ranks}: each goes on with its own"
        )
    return checksums


def _read(path: Path, checksum: str) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.parent} is damaged: {path.name} cannot be read ({error.strerror})") from error
    if _checksum(content) != checksum:
        raise DataError(f"{path.parent} is damaged: {path.name} is not what was written")
    try:
        loaded: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.PickleError, RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"{path.parent} is damaged: {path.name} is no file of torch ({_first_line(error)})") from error
    if not isinstance(loaded, dict) or not {"optimizer", "states", "values", "random"} <= loaded.keys():
        raise DataError(f"{path.parent} is damaged: {path.name} has not what is saved of a loop")
    return loaded


def _check_parts(folder: Path, parts: dict[str, Any], saved: dict[str, Any]) -> None:
    if parts.keys() != saved.keys():
        there, here = (", ".join(sorted(names)) or "nothing" for names in (saved, parts))
        raise UsageError(f"{folder} has the states of {there} beside the optimizer, and it is to be loaded into {here}")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
