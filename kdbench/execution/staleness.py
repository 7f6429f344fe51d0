"""Stale results: those that the present code, data or teacher might not give again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from kdbench.declared import method_params
from kdbench.environment.sources import Code, module_of
from kdbench.registered.offers import SCHEME
from kdbench.registry import Registry
from kdbench.run import NUMERIC_VERSION, Role, Run
from kdbench.store.records import Basis, Record


class Present:
    """What results would rest on now. `data_sha256` is None while the data are not loaded, and then not compared."""

    def __init__(self, registry: Registry, data_sha256: str | None = None):
        self._registry = registry
        self._data_sha256 = data_sha256

    def basis(self, run: Run, data_sha256: str, teacher_sha256: str | None, pre_stage_sha256: str | None) -> Basis:
        """The basis of a run that is trained now."""
        code = self.code(run)
        return Basis(
            numeric_version=NUMERIC_VERSION,
            data_sha256=data_sha256,
            teacher_sha256=teacher_sha256,
            pre_stage_sha256=pre_stage_sha256,
            sources=code.files,
            packages=code.packages,
        )

    def why_stale(self, run: Run, basis: Basis, records: Mapping[str, Record]) -> str | None:
        """Why a result with that basis is stale, or None. `records` holds teachers' and pre-stages', by run id."""
        if basis.numeric_version != NUMERIC_VERSION:
            return (
                f"kdbench computes differently since (numeric version {basis.numeric_version}, now {NUMERIC_VERSION})"
            )
        now = self.code(run)
        files, packages = _changed(basis.sources, now.files), _changed(basis.packages, now.packages)
        versions = [f"{name} {_version(name, basis.packages)} → {_version(name, now.packages)}" for name in packages]
        if files or packages:
            return f"code has changed: {', '.join([*files, *versions])}"
        if self._data_sha256 not in (None, basis.data_sha256):
            return "the data set has changed"
        trained_by = run.teacher.trained_by if run.teacher else None
        for needed, sha256 in ((trained_by, basis.teacher_sha256), (run.pre_stage, basis.pre_stage_sha256)):
            record = records.get(needed.id) if needed else None
            if needed is None or record is None:
                continue
            if record.weights_sha256 != sha256:
                return f"its {needed.title} was trained again"
            why = self.why_stale(needed, record.basis, records)
            if why:
                return f"its {needed.title} is stale ({why})"
        return None

    def code(self, run: Run) -> Code:
        """The code that a run rests on now."""
        networks = [run.student]
        if run.teacher and run.teacher.imported:
            # One that was trained has its network's code in the basis of its own record.
            networks.append(run.teacher.architecture)
        return Code(*self._registry.ask(_code, run.role, run.method, run.params, networks))


def _code(
    registry: Registry, role: Role, method: str, params: dict[str, Any], networks: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Files and packages of the code that a run of a method rests on, and of networks: a question for the registry."""
    from kdbench.training.member import method_class

    found = method_class(role, method, registry)
    builders = [registry.architecture(name).builder for name in networks]
    things = (found, *_held(method_params(found, params)), *builders)
    code = Code.union(registry.sources.of(module_of(thing)) for thing in things)
    return code.files, code.packages


def _held(params: BaseModel) -> Iterator[type[BaseModel]]:
    """The models among the values of parameters, and among theirs: a method computes with what they say."""
    for _, value in params:
        if isinstance(value, BaseModel):
            yield type(value)
            yield from _held(value)


def _changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _version(name: str, versions: dict[str, str]) -> str:
    return versions.get(name, "(none)")


def read_sources(registry: Registry) -> None:
    """Take the digests of all that can be trained, as it was loaded: its files may change before a run begins."""
    for name in registry.usable("method"):
        _read(registry, registry.method(name))
    for name in registry.usable("architecture"):
        _read(registry, registry.architecture(name).builder)
    for name in registry.usable(SCHEME):
        _read(registry, registry.scheme(name))


def _read(registry: Registry, thing: object) -> None:
    # A source that cannot be read stops the runs that need it, and no others.
    with contextlib.suppress(Exception):
        registry.sources.of(module_of(thing))
