"""Counts of models, made once for each definition and kept in a file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mnv4bench.io.errors import FileError, Mnv4benchError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.ledger.checks import Attention, NotHere

Counted = dict[str, int]
_FILE = TypeAdapter(dict[str, Counted])


@dataclass
class Counts:
    """Counts by digest of what was counted; a new one is written to `path` at once."""

    path: Path
    _known: dict[str, Counted] | None = field(default=None, init=False)
    _used: set[str] = field(default_factory=set, init=False)

    def forget_unused(self) -> None:
        """Drop from the file what nothing asked for: counts by code that has changed since."""
        if self._used < self._load().keys():
            self._known = {digest: count for digest, count in self._load().items() if digest in self._used}
            write_json(self.path, self._known)

    def detector(self, name: str, imgsz: int) -> Counted:
        """Return every count of a catalogue detector for 80 classes that measures.Detector may ask for.

        Raises:
            NotHere: the catalogue cannot build it on this installation.
        """
        from mnv4bench.ledger import costs

        def count() -> Counted:
            cost = costs.detector_cost(name, imgsz)
            return {
                "params": cost.params,
                "flops": cost.flops,
                "conv_flops": cost.conv_flops,
                "layer_flops": cost.conv_flops + cost.linear_flops,
                "profiled_flops": cost.profiled_flops,
                "train_params": cost.train_params,
            }

        return self._once(lambda: f"detector {costs.digest(name, imgsz)}", count)

    def classifier(self, name: str, imgsz: int, attention: Attention, kv_downsampling: bool) -> Counted:
        """Return the counts of a MobileNetV4 classifier for 1000 classes (see `costs.classifier_cost`)."""
        from mnv4bench.ledger import costs
        from mnv4bench.models.mobilenetv4.network import classifier

        def count() -> Counted:
            return costs.classifier_cost(classifier(name, 1000, attention, kv_downsampling), imgsz)

        what = f"classifier {name} {attention} {kv_downsampling} {imgsz}"
        return self._once(lambda: f"{what} {_code_digest()}", count)

    def head(self, name: str, imgsz: int) -> Counted:
        """Return "<branch> params" and "<branch> conv_flops" of a head's classification and regression."""
        from mnv4bench.ledger import costs

        def count() -> Counted:
            head = costs.head_cost(name, imgsz)
            branches = {"classification": head.classification, "regression": head.regression}
            return {
                f"{branch} {what}": getattr(cost, what)
                for branch, cost in branches.items()
                for what in ("params", "conv_flops")
            }

        return self._once(lambda: f"head {costs.digest(name, imgsz)}", count)

    def _once(self, definition: Callable[[], str], count: Callable[[], Counted]) -> Counted:
        try:
            digest = hashlib.sha256(definition().encode()).hexdigest()
            known = self._load()
            self._used.add(digest)
            if digest not in known:
                known[digest] = count()
                write_json(self.path, known)
            return known[digest]
        except Mnv4benchError as error:
            raise NotHere(str(error)) from error

    def _load(self) -> dict[str, Counted]:
        if self._known is None:
            self._known = self._read() if self.path.exists() else {}
        return self._known

    def _read(self) -> dict[str, Counted]:
        """Return what the file holds; put aside one that is damaged, as all can be counted again."""
        try:
            return _FILE.validate_python(read_json(self.path))
        except (FileError, ValidationError) as error:
            aside = self.path.with_name(f"{self.path.stem}-unusable.json")
            self.path.replace(aside)
            reason = error if isinstance(error, FileError) else f"{self.path}: not counts of this version"
            print(f"{reason}; it is {aside.name} now, and models are counted again", file=sys.stderr)
            return {}


def _code_digest() -> str:
    """Return a digest of everything that defines and counts networks; the catalogue's entries all hold it."""
    from mnv4bench.ledger import costs
    from mnv4bench.models.published import networks

    return costs.digest(networks.names()[0])
