"""A client in one secure sum: its secrets, which live as long as this sum, and what it makes of them.

What is cryptography here is that of published libraries: `cryptography` for X25519, HKDF-SHA-256, ChaCha20 and
ChaCha20-Poly1305, `Crypto` (pycryptodome) for Shamir's shares. Secrets come from the operating system.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from Crypto.Protocol.SecretSharing import Shamir
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SECRET = 16  # bytes of what is shared, and of a share
KEY = 32  # bytes of a public key
SEALED = 2 * SECRET + 16  # bytes of two shares with the tag that authenticates them
NONCE = bytes(12)  # each key seals one message


def mask_of(secret: bytes, d: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """(d,) the mask that follows from a secret: the key stream of ChaCha20, as unsigned integers."""
    stream = Cipher(ChaCha20(_derived(secret, b"mask"), bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(d * dtype.itemsize)), dtype.newbyteorder("<")).astype(dtype)


def agreed(private: X25519PrivateKey, public: bytes) -> bytes:
    """What two know who have the private key of one and the public key of the other."""
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def masking_key(seed: bytes) -> X25519PrivateKey:
    """The private key that follows from the secret that is shared."""
    return X25519PrivateKey.from_private_bytes(_derived(seed, b"masking key"))


def combined(shares: Sequence[tuple[int, bytes]]) -> bytes:
    """The secret of which these are enough shares: (number from 1, share)."""
    return cast(bytes, Shamir.combine(list(shares)))


@dataclass
class Member:
    """One client of a secure sum.

    Attributes:
        place: Its place among the clients, from 0.
        channel: Its private key for shares that travel through the server.
        seed: The secret that its private key for pairwise masks follows from; shared.
        own: The secret that its own mask follows from; shared.
        held: The shares that it holds, of each client by its place: of `seed` and of `own`.
    """

    place: int
    channel: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    seed: bytes = field(default_factory=lambda: os.urandom(SECRET))
    own: bytes = field(default_factory=lambda: os.urandom(SECRET))
    held: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def public_keys(self) -> Bytes:
        """(64,) that of the channel and that of the pairwise masks."""
        return _bytes(_public(self.channel) + _public(masking_key(self.seed)))

    def sealed_shares(self, keys: Bytes, threshold: int) -> Bytes:
        """(m - 1, 48) for each of the others in order, its shares of both secrets, which it alone can read.

        Args:
            keys: (m, 64), the public keys of all clients.
            threshold: t, how many shares give a secret.
        """
        halves = [Shamir.split(threshold, len(keys), secret) for secret in (self.seed, self.own)]
        pairs = [(seed, own) for (_, seed), (_, own) in zip(*halves, strict=True)]
        self.held[self.place] = pairs[self.place]
        rows = [
            self._box(keys, self.place, other).encrypt(NONCE, seed + own, None)
            for other, (seed, own) in enumerate(pairs)
            if other != self.place
        ]
        return np.stack([_bytes(row) for row in rows])

    def take_shares(self, keys: Bytes, sealed: Bytes) -> None:
        """Hold the shares that the others have sealed for this one, (m - 1, 48) in their order.

        Raises:
            cryptography.exceptions.InvalidTag: They are not what the others have sealed.
        """
        others = [other for other in range(len(keys)) if other != self.place]
        for other, row in zip(others, sealed, strict=True):
            opened = self._box(keys, other, self.place).decrypt(NONCE, row.tobytes(), None)
            self.held[other] = opened[:SECRET], opened[SECRET:]

    def masked(self, vector: NDArray[Any], keys: Bytes, own_mask: bool) -> NDArray[Any]:
        """(d,): a vector of the ring plus its masks: those with later clients added, those with earlier ones taken off.

        Args:
            vector: (d,), of unsigned integers.
            keys: (m, 64), the public keys of all clients.
            own_mask: Whether its own mask is added too.
        """
        total, private = vector.copy(), masking_key(self.seed)
        if own_mask:
            total += mask_of(self.own, len(vector), vector.dtype)
        for other in range(len(keys)):
            if other != self.place:
                total += pairwise_mask(private, keys, self.place, other, vector)
        return total

    def answer(self, survivors: Bytes, threshold: int) -> Bytes:
        """(m, 16): a share of each client's own mask if it has survived, else of its key; never of both.

        Args:
            survivors: (m,), 1 for those whose masked vectors the server has.
            threshold: t.

        Raises:
            ValueError: They are fewer than t, of whom nothing may be told.
        """
        if survivors.sum() < threshold:
            raise ValueError(f"secure aggregation: {survivors.sum()} survivors are below the threshold {threshold}")
        return np.stack([_bytes(self.held[other][1 if survived else 0]) for other, survived in enumerate(survivors)])

    def _box(self, keys: Bytes, sender: int, receiver: int) -> ChaCha20Poly1305:
        """What seals and opens the shares that one of both sends to the other, of whom this is one."""
        other = receiver if sender == self.place else sender
        purpose = b"shares" + sender.to_bytes(4, "little") + receiver.to_bytes(4, "little")
        return ChaCha20Poly1305(_derived(agreed(self.channel, keys[other, :KEY].tobytes()), purpose))


def pairwise_mask(private: X25519PrivateKey, keys: Bytes, place: int, other: int, like: NDArray[Any]) -> NDArray[Any]:
    """(d,): what the client at `place` adds for the one at `other`, who adds the opposite.

    Args:
        private: The masking key of the first.
        keys: (m, 64), the public keys of all clients.
        place: The first.
        other: The second.
        like: A vector (d,) of the ring.
    """
    mask = mask_of(agreed(private, keys[other, KEY:].tobytes()), len(like), like.dtype)
    return mask if other > place else np.negative(mask)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    """(32 bytes) a key for one purpose."""
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=b"gossip secure aggregation: " + purpose).derive(secret)


def _public(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def _bytes(content: bytes) -> Bytes:
    return np.frombuffer(content, np.uint8)
