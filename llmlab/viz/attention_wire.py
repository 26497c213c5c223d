"""How a reading travels to the browser: one byte a weight, and where in the bytes it stands.

A weight w is the byte round(255 w / m), where m is the largest weight of its row: rows of many
small weights keep their differences. The m of all rows go beside the bytes, as float32. A reading
of up to `WHOLE_BYTES` values is sent at once; of a larger one go small pictures of all heads, in
bytes round(255 w), and the layers when they are asked for.
"""

# L layers, H heads, T query position, S key position, R x C rows and columns of a thumbnail

import numpy as np

from llmlab.viz.attention_reading import Part, Reading

WHOLE_BYTES = 4_000_000
EXACT_NUMBERS = 1_000_000
THUMB_SIDE = 32


def rows_quantised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One byte a weight (..., T, S), 255 for the largest of its row, and these largest (..., T).

    >>> bytes_, peaks = rows_quantised(np.array([[0, 0.125, 0.25], [0, 0, 1]]))
    >>> bytes_.tolist(), peaks.tolist()
    ([[0, 128, 255], [0, 0, 255]], [0.25, 1.0])
    """
    peaks = weights.max(axis=-1).clip(0, 1).astype(np.float32)
    shares = weights / np.where(peaks > 0, peaks, 1)[..., np.newaxis]
    return quantised(shares), peaks


def quantised(weights: np.ndarray) -> np.ndarray:
    """One byte a weight, 255 for 1.

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
    """One layer, (H, T, S), and the mean of its heads, (T, S), a byte a weight; then their peaks.

    The peaks are float32: (H, T) of the heads and (T,) of the mean.
    """
    bytes_HTS, peaks_HT = rows_quantised(part.weights_LHTS[layer])
    bytes_TS, peaks_T = rows_quantised(part.mean_of_layer(layer))
    return b"".join(array.tobytes() for array in (bytes_HTS, bytes_TS, peaks_HT, peaks_T))


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
        "peaks_at": None,
        "mean_at": None,
        "mean_peaks_at": None,
        "statistics": {
            name: [float(value) for value in values_LH.ravel()]
            for name, values_LH in part.statistics.items()
        },
    }
    if exact:
        described["exact_at"] = bytes_.add(part.weights_LHTS, aligned=True)
    if whole:
        described["at"], described["peaks_at"] = bytes_.add_rows(*part.weights_LHTS)
        means_LTS = part.weights_LHTS.mean(axis=1)
        described["mean_at"], described["mean_peaks_at"] = bytes_.add_rows(means_LTS)
    described["all_at"], described["all_peaks_at"] = bytes_.add_rows(part.mean)
    thumbs_LHRC = thumbnails(part.weights_LHTS)
    rows, cols = thumbs_LHRC.shape[2:]
    described["thumb"] = {"rows": rows, "cols": cols, "at": bytes_.add(thumbs_LHRC)}
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

    def add_rows(self, *maps: np.ndarray) -> tuple[int, int]:
        """Append maps, a byte a weight, and then the peaks of all rows; give the places of both."""
        at, all_peaks = self._size, []
        for weights in maps:
            bytes_, peaks = rows_quantised(weights)
            self.add(bytes_)
            all_peaks.append(peaks.tobytes())
        peaks_at = self._size
        self._append(b"".join(all_peaks))
        return at, peaks_at

    def _append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def joined(self) -> bytes:
        return b"".join(self._pieces)
