"""Every kind of attention that kernels are written for, at small shapes."""

import pytest_attn
from pytest_attn.plugin.attn import Attn


@pytest_attn.parametrize(sweep="core", group="core_window")
def test_core_window(attn: Attn) -> None:
    """Sliding windows of every width, with a causal mask and without."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_key_lengths")
def test_core_key_lengths(attn: Attn) -> None:
    """Padded batches: the longest, one key, none, a tile and one beside it."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_packed")
def test_core_packed(attn: Attn) -> None:
    """Sequences one behind the other, some without queries, some without keys."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_paged")
def test_core_paged(attn: Attn) -> None:
    """Keys and values in pages of 1 to 256, in random order."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_softcap")
def test_core_softcap(attn: Attn) -> None:
    """Logits capped far above their size and near it."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_alibi")
def test_core_alibi(attn: Attn) -> None:
    """Logits that fall with distance, at a slope of each head's own."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_bias")
def test_core_bias(attn: Attn) -> None:
    """A bias of every pair, shared by batches or heads or not, in both dtypes."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_sinks")
def test_core_sinks(attn: Attn) -> None:
    """A logit of each head that takes weight and has no value."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_splits")
def test_core_splits(attn: Attn) -> None:
    """Partial results of splits of the keys, each against its own keys, and merged."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_paired")
def test_core_paired(attn: Attn) -> None:
    """Batches of unequal lengths with windows, slopes, caps, biases and sinks."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_together")
def test_core_together(attn: Attn) -> None:
    """Any of them at once."""
    attn.check()


@pytest_attn.parametrize(sweep="core", group="core_models")
def test_core_models(attn: Attn) -> None:
    """A layer of each of fourteen models, as it is served."""
    attn.check()
