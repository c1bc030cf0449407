"""The class that config.json names, against the one whose modules are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from tracer.infer.canonical import NESTED, canonical
from tracer.infer.derive import Known, doubts
from tracer.infer.families import GEMMA, MISTRAL, NAMED, PLAIN, QWEN2, Family

_LLAMAS = frozenset({PLAIN.name, *PLAIN.shared, MISTRAL.name, GEMMA.name})
"""One set of modules: only numbers and functions tell these from each other."""
_FUSED = {"Phi3ForCausalLM": _LLAMAS | {QWEN2.name}, "MiMoForCausalLM": frozenset({QWEN2.name})}
"""Engines save the first with the names of the second's fused matrices; drafting layers are left out at will."""
_DECODERS = ("ForCausalLM", "LMHeadModel")


def mismatched(known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Only between decoders that are known: a class of somebody's own may have any names."""
    names = config.get("architectures")
    claimed = [NAMED.get(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if not claimed or not _comparable(known, config):
        return
    stored = known.family
    for family in claimed:
        if family is None or not family.name.endswith(_DECODERS) or _alike(family, stored):
            return
    family = claimed[0]
    why = _why(known, family, config) if family else ""
    if family and why:
        sure = not doubts(known)
        others = "" if sure else f" or of a class with the same modules ({', '.join(stored.shared)})"
        yield Finding(
            "arch.mismatch", "error", family.name,
            f"config.json says {family.name}, the tensors are those of {stored.name}{others}: {why}",
            {"field": "architectures", "found": family.name, "tensors": stored.name, "absent": why.startswith("no ")},
            f"{_set(stored, config)} and the rest of config.json to match" if sure else None,
        )  # fmt: skip


def _set(stored: Family, config: Mapping[str, Any]) -> str:
    """The class, and the type where that is another's: Transformers goes by the type, other engines by the class."""
    typed = config.get("model_type") not in (None, stored.model_type)
    return f"set architectures to [{stored.name}]{f', model_type to {stored.model_type}' if typed else ''}"


def _comparable(known: Known, config: Mapping[str, Any]) -> bool:
    """Whether it is one decoder, whole, of a family that has a name, and its headers are here: an index may be of
    another upload than the files.
    """  # fmt: skip
    names = known.names
    nested = any(isinstance(config.get(key), dict) for key in NESTED)
    alone = not names.towers and not names.doubt and not nested
    seen = bool(known.solved.atoms) and not known.source
    return seen and alone and known.whole and bool(names.stack) and known.family.name.endswith(_DECODERS)


def _alike(said: Family, stored: Family) -> bool:
    """Whether names and shapes cannot tell the two apart."""
    kin = {stored.name, *stored.shared} | _FUSED.get(stored.name, frozenset())
    return said.name in kin or stored.name in said.shared or {said.name, stored.name} <= _LLAMAS


def _plain(ways: Sequence[str]) -> list[str]:
    """Without experts, which Transformers has renamed and fused in every class since its fifth version."""
    return [way for way in ways if "experts" not in way and "block_sparse_moe" not in way]


def _why(known: Known, said: Family, config: Mapping[str, Any]) -> str:
    """What of the class is not there, or what is there that it does not have; empty where neither can be named."""
    modules = known.names.modules
    missing = [way for way in _plain(said.has) if not any(module in modules for module in way.split("|"))]
    if missing:
        return f"no {missing[0].replace('|', ' or ')} is stored"
    projections = [group for group in known.names.groups if group.role in ("q", "qkv")]
    if said.biased and projections and not any(group.leaf == "bias" for group in projections):
        return f"no bias of {projections[0].module} is stored, which {said.name} always has"
    asked = said.biased or canonical(config).get("attention_bias") is True
    if known.family.biased and projections and said.name in _LLAMAS and not asked:
        return f"a bias of {projections[0].module} is stored, which {said.name} does not read without attention_bias"
    odd = [module for module in said.lacks if module in modules]
    if said.name in _LLAMAS and not doubts(known):  # of others the marks are known, not everything they have
        odd += [way for way in _plain(known.family.has) if way not in said.has and way in modules]
    return f"{odd[0]} is stored, which {said.name} does not have" if odd else ""
