"""The variants that there are, by capability; those of other packages too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

from pytest_attn.problem.entry_points import offered
from pytest_attn.problem.registrar import Registrar
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.text import closest

ENTRY_POINT_GROUP = "pytest_attn.variants"
"""Entry points of this group name variants, or modules that register some."""

V = TypeVar("V", bound=type[Variant])

_VARIANTS: dict[str, type[Variant]] = {}

_REGISTRARS: dict[str, Registrar | None] = {}


def register_variant(variant: V) -> V:
    """Make a variant known by its capability; a decorator of its class.

    Raises ValueError for what is no class of a variant with a capability and a pattern, and where the capability is
    taken by another one.
    """
    if not isinstance(variant, type) or not issubclass(variant, Variant):
        raise ValueError(f"register_variant: {variant!r:.60}; allowed: a class derived from pytest_attn.Variant")
    _refuse_unnamed(variant)
    known = _VARIANTS.setdefault(variant.capability, variant)
    if (known.__module__, known.__qualname__) != (variant.__module__, variant.__qualname__):
        raise ValueError(f"variant {variant.__name__}: capability {variant.capability!r} is taken by {known.__name__}")
    _VARIANTS[variant.capability] = variant
    _REGISTRARS[variant.capability] = Registrar.calling(0)
    return variant


def _refuse_unnamed(variant: type[Variant]) -> None:
    capability, pattern = (getattr(variant, name, None) for name in ("capability", "pattern"))
    if not isinstance(capability, str) or not capability.isidentifier():
        raise ValueError(
            f"variant {variant.__name__}: capability is {capability!r:.60}; allowed: the name of a keyword"
        )
    try:
        re.compile(pattern if isinstance(pattern, str) else "(")
    except re.error:
        raise ValueError(
            f"variant {variant.__name__}: pattern is {pattern!r:.60}; allowed: a regular expression"
        ) from None


@cache
def _load_entry_points() -> None:
    before = set(_REGISTRARS)
    for loaded in offered(ENTRY_POINT_GROUP, "variant"):
        if isinstance(loaded, type) and issubclass(loaded, Variant):
            register_variant(loaded)
    # Whatever loading them registered, every process has.
    _REGISTRARS.update(dict.fromkeys(set(_REGISTRARS) - before))


def variants() -> dict[str, type[Variant]]:
    """All variants by capability: the built-in ones, then others."""
    _load_entry_points()
    return _VARIANTS


def variant_registrar(capability: str) -> Registrar | None:
    """The module that registered a variant; None where every process knows it."""
    return _REGISTRARS.get(capability)


def variant_of_token(token: str) -> Variant:
    """The variant of a token in an id. Raises ValueError naming the closest ones."""
    for variant in variants().values():
        match = re.fullmatch(variant.pattern, token)
        if match is not None:
            return variant.of_token(match.groups())
    raise ValueError(f"no variant {token!r}; allowed: {closest(token, (v.pattern for v in variants().values()))}")


def in_order(several: Iterable[Variant]) -> tuple[Variant, ...]:
    """Variants in the order of their registration, which is that of an id. Raises ValueError for what is no variant, or
    is not registered."""
    given = tuple(several)
    known = list(variants()) if given else []
    for variant in given:
        if not isinstance(variant, Variant):
            raise ValueError(f"case: variants has {variant!r}; allowed: instances of pytest_attn.Variant")
        if variant.capability not in known:
            name = type(variant).__name__
            raise ValueError(f"case: variants has {name}, which is not registered; allowed: register_variant({name})")
    return tuple(sorted(given, key=lambda variant: known.index(variant.capability)))
