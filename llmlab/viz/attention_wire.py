"""How a reading travels to the browser: one byte a weight, and where in the bytes it stands.

A weight w in [0, 1] is the byte round(255 w). A reading of up to `WHOLE_BYTES` values is sent at
once; of a larger one go small pictures of all heads, and the layers when they are asked for.
"""

# L layers, H heads, T query position, S key position, R x C rows and columns of a thumbnail

import numpy as np

from llmlab.viz.attention_reading import Part, Reading

WHOLE_BYTES = 4_000_000
EXACT_NUMBERS = 1_000_000
THUMB_SIDE = 32


def quantised(weights: np.ndarray) -> np.ndarray:
    """One byte a weight.

    >>> quantised(np.array([0, 0.001, 0.002, 0.5, 1])).tolist()
    [0, 0, 1, 128, 255]
    """
    scaled = np.multiply(weights, 255, dtype=np.float32)
    return np.rint(scaled, out=scaled).clip(0, 255).astype(np.uint8)


def thumbnails(weights_LHTS: np.ndarray) -> np.ndarray:
    """Every map as bytes, at most 32 x 32 of them: each is the largest weight of its rectangle."""
    for axis in (2, 3):
        size = weights_LHTS.shape[axis]
        if size > THUMB_SIDE:
            starts = np.arange(THUMB_SIDE) * size // THUMB_SIDE
            weights_LHTS = np.maximum.reduceat(weights_LHTS, starts, axis=axis)
    return quantised(weights_LHTS)


def fits_whole(reading: Reading) -> bool:
    """Whether all its layers are sent at once."""
    return sum(part.weights_LHTS.size for part in reading.parts) <= WHOLE_BYTES


def packed(
    reading: Reading, *, whole: bool | None = None, exact: bool = False
) -> tuple[list[dict], bytes]:
    """Describe the parts of a reading, and give the bytes that the descriptions point into.

    `whole` sends all layers whatever their size, `exact` the float32 numbers as well (`exact_at`).
    """
    whole = fits_whole(reading) if whole is None else whole
    bytes_ = _Bytes()
    return [_packed_part(part, bytes_, whole, exact) for part in reading.parts], bytes_.joined()


def packed_layer(part: Part, layer: int) -> bytes:
    """One layer, (H, T, S), and then the mean of its heads, (T, S), a byte a weight."""
    mean_TS = quantised(part.mean_of_layer(layer))
    return quantised(part.weights_LHTS[layer]).tobytes() + mean_TS.tobytes()


def _packed_part(part: Part, bytes_: "_Bytes", whole: bool, exact: bool) -> dict:
    described = {
        "name": part.name,
        "queries": list(part.queries),
        "keys": list(part.keys),
        "layers": part.layers,
        "heads": part.heads,
        "causal": part.causal,
        "whole": whole,
        "at": None,
        "mean_at": None,
        "statistics": {
            name: [float(value) for value in values_LH.ravel()]
            for name, values_LH in part.statistics.items()
        },
    }
    if exact:
        described["exact_at"] = bytes_.add(part.weights_LHTS, aligned=True)
    thumbs_LHRC = thumbnails(part.weights_LHTS)
    if whole:
        described["at"] = bytes_.add_layers(part.weights_LHTS)
        described["mean_at"] = bytes_.add(quantised(part.weights_LHTS.mean(axis=1)))
    described["all_at"] = bytes_.add(quantised(part.mean))
    rows, cols = thumbs_LHRC.shape[2:]
    same = whole and thumbs_LHRC.shape == part.weights_LHTS.shape
    at = described["at"] if same else bytes_.add(thumbs_LHRC)
    described["thumb"] = {"rows": rows, "cols": cols, "at": at}
    return described


class _Bytes:
    """Arrays one after another, each remembered by where it starts."""

    def __init__(self):
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, array: np.ndarray, *, aligned: bool = False) -> int:
        """Append the array's own bytes; aligned, at a place that is a multiple of 4."""
        if aligned:
            self._append(bytes(-self._size % 4))
        at = self._size
        self._append(array.tobytes())
        return at

    def add_layers(self, weights_LHTS: np.ndarray) -> int:
        """Append all layers, a byte a weight; one at a time, to save memory."""
        at = self._size
        for weights_HTS in weights_LHTS:
            self._append(quantised(weights_HTS).tobytes())
        return at

    def _append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def joined(self) -> bytes:
        return b"".join(self._pieces)
