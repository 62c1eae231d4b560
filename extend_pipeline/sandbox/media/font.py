"""A 5x7 bitmap font with the few characters that the sandbox draws on its films: digits, `hop`, `s`, `.`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GLYPH_ROWS = 7
GLYPH_COLUMNS = 5

_GLYPHS = {
    "0": ".###. #...# #..## #.#.# ##..# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": ".###. #...# ....# ..##. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": ".###. #.... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ..#.. .#... .#... .#...",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ....# .###.",
    ".": "..... ..... ..... ..... ..... .##.. .##..",
    "s": "..... ..... .#### #.... .###. ....# ####.",
    "h": "#.... #.... #.##. ##..# #...# #...# #...#",
    "o": "..... ..... .###. #...# #...# #...# .###.",
    "p": "..... ####. #...# #...# ####. #.... #....",
    " ": "..... ..... ..... ..... ..... ..... .....",
}


def text_mask(text: str, scale: int) -> NDArray[np.bool_]:
    """Draw `text` as a mask of `7*scale` rows and `6*scale` columns per character. Raises KeyError for others."""
    import numpy as np

    columns = [[[pixel == "#" for pixel in row] + [False] for row in _GLYPHS[character].split()] for character in text]
    mask = np.concatenate([np.array(glyph, dtype=np.bool_) for glyph in columns], axis=1)
    return np.repeat(np.repeat(mask, scale, axis=0), scale, axis=1)
