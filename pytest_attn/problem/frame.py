"""The frame of a block-sparse pattern: block columns and rows that are always kept."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_SIZES = (128, 256, 512, 1024)
"""Block sizes of the published BSA kernel, for queries and for keys."""

BLOCK_SHAPES = tuple((query, key) for query in BLOCK_SIZES for key in BLOCK_SIZES)
"""The 16 (query, key) block shapes of the published BSA suite."""


@dataclass(frozen=True, slots=True, order=True)
class FrameWidths:
    """Blocks that are kept in any case, counted inside the sparsity budget.

    `left_cols` and `right_cols` are key-block columns kept in every sparse row; `top_rows` and `bottom_rows` are
    query-block rows kept whole.
    """

    left_cols: int = 0
    right_cols: int = 0
    top_rows: int = 0
    bottom_rows: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"FrameWidths: {name} is {value!r}; allowed: a whole number of blocks, 0 or more")

    @property
    def as_tuple(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom), in blocks."""
        return (self.left_cols, self.right_cols, self.top_rows, self.bottom_rows)

    @staticmethod
    def small(block_shape: tuple[int, int]) -> FrameWidths:
        """The frame of the published tests: about 256 key tokens left, 384 query tokens top, one block right and
        bottom.

        Raises ValueError for a block size that the published table does not have.
        """
        left = {128: 2, 256: 1, 512: 1, 1024: 1}
        top = {128: 3, 256: 2, 512: 1, 1024: 1}
        query_block, key_block = block_shape
        if query_block not in top or key_block not in left:
            raise ValueError(
                f"frame: no published frame for block shape {query_block}x{key_block}; "
                f"allowed block sizes: {', '.join(map(str, BLOCK_SIZES))}"
            )
        return FrameWidths(left[key_block], 1, top[query_block], 1)
