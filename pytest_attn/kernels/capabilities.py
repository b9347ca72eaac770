"""What a kernel claims to be able to; everything is closed unless claimed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pytest_attn.kernels.needs import needs_of
from pytest_attn.kernels.refusal import Refuses, declared_refusals, refusals, refused
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.registry import variants
from pytest_attn.problem.vocabulary import DTYPES, Layout
from pytest_attn.text import closest, names_unknown_fields

DEVICE_TYPES = ("cpu", "cuda", "npu")

SIZES = {"head_dim": "head_dims", "key_heads": "key_heads", "block_sizes": "block_sizes"}
"""The capability that lists the sizes of a need."""

WORDS = (
    *("lse", "causal", "causal_top_left", "gqa", "block_sparse", "block_sparse_causal", "cross_attention"),
    *("value_dim", "any_scale", "strided", "bsnd", "backward"),
)
"""The capabilities of which a problem may have need, one word each."""


@names_unknown_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The problems that a kernel takes. A keyword reaches the kernel only where the capability of its row is
    claimed."""

    devices: tuple[str, ...] = DEVICE_TYPES
    """Device types."""

    dtypes: tuple[str, ...] = DTYPES
    """Data types of query, key, value and output; float64 is claimed by name."""

    head_dims: tuple[int, ...] | None = None
    """Head dimensions; None = any."""

    key_heads: tuple[int, ...] | None = None
    """Numbers of key heads; None = any."""

    lse: bool = False
    """Passed `return_lse`; where True, returns (out, lse): natural log of the sum of exponentials of the scaled scores,
    float32 `[B, Hq, Sq]`, float64 for inputs of float64."""

    causal: bool = False
    """Passed `causal`: query i sees keys j <= i + Skv - Sq (bottom-right)."""

    causal_top_left: bool = False
    """Passed `causal_top_left`: query i sees keys j <= i."""

    gqa: bool = False
    """Takes fewer key heads than query heads; query head h reads key head h // (Hq // Hkv)."""

    block_sparse: bool = False
    """Passed `block_mask`: a `BlockMask` of the kept tiles, or None."""

    block_sizes: tuple[int, ...] | None = None
    """Sizes of query and key blocks that a block mask may have; None = any."""

    block_sparse_causal: bool = False
    """Takes `block_mask` and `causal` together: keys that both allow."""

    cross_attention: bool = True
    """Takes key lengths that differ from the query length."""

    value_dim: bool = False
    """Takes values whose head dimension differs from that of query and key."""

    any_scale: bool = True
    """Passed `scale`; where not claimed, the kernel applies 1 / sqrt(head_dim) itself."""

    strided: bool = False
    """Takes query, key and value each with strides of its own, the last of which is 1; else they are contiguous."""

    bsnd: bool = False
    """Takes query, key and value in the memory of `[B, S, H, D]`, seen as `[B, H, S, D]` by their strides; claimed with
    `strided`."""

    out_variant: bool = False
    """Passed `out` and, with `lse`, `lse` (None where not asked for): the tensors to fill; what it returns is not
    looked at."""

    deterministic: bool = False
    """Gives the same bits for the same inputs, whenever it is called; judged where it is claimed."""

    backward: bool = False
    """Gives the gradients of query, key and value: through autograd of its function, or of a function of its own (see
    `pytest_attn.kernels.gradients`)."""

    split_tile: int = 1
    """Keys of a tile, of which each split has whole ones, for `num_splits`."""

    variants: tuple[str, ...] = ()
    """Variants that it takes, by capability: `window_size` and so on, each of which may also be claimed by a keyword of
    its own; it is then passed the keywords of the variant."""

    unread_padding: bool = False
    """Reads no key and no value beyond the length of its sequence, which then hold NaN."""

    refuses: Refuses = field(default_factory=dict, hash=False)
    """What it does not take of all this: by reason, a function of the `Problem` that is True where the reason holds."""

    def __post_init__(self) -> None:
        for item in fields(self):
            if isinstance(item.default, bool):
                _refuse_other_than_bool(item.name, getattr(self, item.name))
        if not _is_size(self.split_tile):
            raise ValueError(f"kernel: split_tile is {self.split_tile!r}; allowed: a whole number, 1 or more")
        self._keep("devices", _words("devices", self.devices, DEVICE_TYPES))
        self._keep("dtypes", _words("dtypes", self.dtypes, tuple(data_types())))
        self._keep("variants", _words("variants", self.variants, tuple(variants()) if self.variants else ()))
        self._keep("refuses", declared_refusals(self.refuses))
        for name in SIZES.values():
            self._keep(name, _sizes(name, getattr(self, name)))
        if self.bsnd and not self.strided:
            raise ValueError("kernel: bsnd is True and strided is False; allowed: strided=True beside bsnd=True")

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @staticmethod
    def of(**claims: Any) -> Capabilities:
        """Capabilities from keywords, those of variants among them. Raises ValueError naming an unknown one and the
        closest that exist."""
        names = [item.name for item in fields(Capabilities)]
        given: dict[str, Any] = {}
        claimed = [*_several(claims.get("variants", ()))]
        for name, value in claims.items():
            if name in names:
                given[name] = value
                continue
            if name not in variants():
                raise ValueError(
                    f"kernel: unknown capability {name!r}; allowed: {closest(name, [*names, *variants()])}"
                )
            _refuse_other_than_bool(name, value)
            if value:
                claimed.append(name)
        return Capabilities(**given | {"variants": tuple(dict.fromkeys(claimed))})

    def why_not(self, problem: Problem, device_type: str, layout: Layout = "contiguous") -> str | None:
        """The first thing that `problem` needs and this does not claim, or the first reason for which it is refused, as
        a constant text; None if all is claimed. Raises RefusalError where a refusal says neither yes nor no."""
        return self._missing(problem, device_type, layout) or refused(self.refuses, problem)

    def missed(self, problem: Problem, layout: Layout = "contiguous") -> int:
        """How many needs of a problem on any device are not claimed, and reasons for which it is refused."""
        needs = needs_of(problem, self.devices[0], layout) if self.devices else ()
        return sum(not self.claims(need) for need in needs) + refusals(self.refuses, problem)

    @property
    def tryable(self) -> tuple[str, ...]:
        """Every claim that some problem can try, in the words of `needs_of`; devices are not the problem's."""
        sizes = [f"{need} {size}" for need, name in SIZES.items() for size in getattr(self, name) or ()]
        words = [word for word in WORDS if getattr(self, word)]
        return (*(f"dtype {dtype}" for dtype in self.dtypes), *sizes, *words, *self.variants)

    def claims(self, need: str) -> bool:
        """Whether a need of `needs_of` is claimed."""
        name, _, value = need.partition(" ")
        if name in ("device", "dtype"):
            return value in getattr(self, f"{name}s")
        if name in SIZES:
            sizes = getattr(self, SIZES[name])
            return sizes is None or int(value) in sizes
        if name == "bsnd":
            return self.bsnd or self.strided
        return name in self.variants or getattr(self, name, False) is True

    def widened(self, problem: Problem, device_type: str, layout: Layout = "contiguous") -> Capabilities:
        """These and what the problem needs beside, without the refusals of it."""
        found = self
        while need := found._missing(problem, device_type, layout):
            found = found._with(need)
        while reason := refused(found.refuses, problem):
            found = replace(found, refuses={other: found.refuses[other] for other in found.refuses if other != reason})
        return found

    def _missing(self, problem: Problem, device_type: str, layout: Layout) -> str | None:
        return next((need for need in needs_of(problem, device_type, layout) if not self.claims(need)), None)

    def _with(self, need: str) -> Capabilities:
        name, _, value = need.partition(" ")
        if name in ("device", "dtype"):
            return replace(self, **{f"{name}s": (*getattr(self, f"{name}s"), value)})  # type: ignore[arg-type]
        if name in SIZES:
            return replace(self, **{SIZES[name]: None})  # type: ignore[arg-type]
        if name in variants():
            return replace(self, variants=(*self.variants, name))
        if name == "bsnd":
            return replace(self, strided=True, bsnd=True)
        return replace(self, **{name: True})  # type: ignore[arg-type]


def _several(value: Any) -> tuple[Any, ...]:
    """The values of a collection; of a single value, that one."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)


def _words(name: str, value: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    words = _several(value)
    for word in words:
        if word not in allowed:
            raise ValueError(f"kernel: {name} has {word!r}; allowed: {closest(str(word), allowed)}")
    return words


def _sizes(name: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    sizes = _several(value)
    for size in sizes:
        if not _is_size(size):
            raise ValueError(f"kernel: {name} has {size!r}; allowed: None, or whole numbers, 1 or more")
    return sizes


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _refuse_other_than_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"kernel: {name} is {value!r}; allowed: True, False")
