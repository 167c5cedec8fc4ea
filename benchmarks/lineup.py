"""Which systems can be measured here: started, compared with the reference, and tuned."""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import equality
from benchmarks.bare import Bare
from benchmarks.closed_loop import LoadError
from benchmarks.equality import Unequal
from benchmarks.options import Options
from benchmarks.peers.choosing import chosen
from benchmarks.peers.known import NAMES
from benchmarks.peers.tuning import TUNED, Tuning
from benchmarks.platform import MODEL, offers_precisions, platform
from benchmarks.progress import say
from benchmarks.results import Results
from benchmarks.runtimes import Vectors, graphs
from benchmarks.served import Served
from benchmarks.system import BARE, PLATFORM, System
from benchmarks.texts import KINDS, Source, Text, Words
from triptych_bundles.manifest import Bundle
from triptych_bundles.repository import Repository
from triptych_local.session import Session


def find_model(repository: Path) -> Bundle:
    """The model that is measured. Raises ValueError where the repository has none of its name."""
    for bundle in Repository(repository).bundles():
        if bundle.name == MODEL:
            return bundle
    raise ValueError(f"the repository has no {MODEL}")


@dataclass(slots=True)
class Lineup:
    """Starts systems until the stack is closed, and keeps those that answer as they should."""

    options: Options
    stack: ExitStack
    results: Results
    bundle: Bundle
    source: Source = field(init=False)
    systems: list[System] = field(default_factory=list)
    idle: dict[str, int] = field(default_factory=dict)
    """Pids of what must do nothing while the bare runtime is measured."""
    sessions: dict[str, Session] = field(default_factory=dict)
    """The platforms, by precision."""
    bares: dict[str, Bare] = field(default_factory=dict)
    """The bare runtimes, by precision."""
    _texts: list[Text] = field(init=False)
    _reference: Vectors = field(init=False)

    def __post_init__(self) -> None:
        self.source = Source(Words.read(self.bundle.file("tokenizer.json")))
        self._texts = equality.trial_texts(self.source)
        self._reference = Bare(self.bundle, "fp32", self.source).embed(self._texts)

    @property
    def model(self) -> Path:
        """The folder that the bundle was compiled from, which peers read."""
        return next((self.options.repository / ".cache").glob("gt-*")).resolve()

    @property
    def served(self) -> list[Served]:
        """The systems behind HTTP."""
        return [system for system in self.systems if isinstance(system, Served)]

    def add_precision(self, precision: str) -> None:
        """The bare runtime and the platform at a precision, or the reason why not."""
        usable, reason = graphs(self.bundle, precision)
        if not usable:
            self.results.left_out[precision] = reason
            return
        bare = self._bare(precision)
        if BARE in self.options.systems:
            self.keep(bare)
        if PLATFORM in self.options.systems:
            self._add_platform(precision, bare)

    def add_peers(self) -> None:
        """Those that were asked for, each at its best, at each precision that it has."""
        tuning = Tuning(TUNED)
        for name in (name for name in NAMES if name in self.options.systems):
            try:
                peer = chosen(name, self.model, self.source, tuning)
                precisions = filter(self._compares, peer.precisions)
                for precision, best in itertools.product(precisions, peer.best):
                    if set(best.kinds) & {row.kind for row in self.options.rows}:
                        say(f"starting {name}, {precision}, {best.setting}")
                        self.keep(self.stack.enter_context(peer.start(best, precision)))
            except LoadError as error:
                self.results.left_out[name] = str(error)
                say(f"{name} is left out: {error}")
        self.results.trials = tuning.trials

    def _compares(self, precision: str) -> bool:
        """Whether a peer's precision is of use: a lower one is held against ours."""
        lower = precision == "fp32" or self.sessions.keys() - {"fp32"}
        return bool(lower) and precision in self.options.precisions

    def keep(self, system: System) -> bool:
        """Compare a system with the reference; one that differs is not kept."""
        name = f"{system.name} {system.precision}"
        try:
            least = equality.check(system, self._texts, self._reference)
        except (Unequal, LoadError) as error:
            self.results.left_out[name] = str(error)
            say(f"{name} is left out: {error}")
            return False
        earlier = self.results.cosines.get(name, 1.0)
        self.results.cosines[name] = min(earlier, round(least, 6))
        self.systems.append(system)
        return True

    def _add_platform(self, precision: str, bare: Bare) -> None:
        if precision != "fp32" and not offers_precisions():
            self.results.left_out[f"platform {precision}"] = "the encoder knows no precisions"
            return
        say(f"starting the platform, {precision}")
        started = platform(self.options.repository, precision, self.source, bare.rates)
        session, served = self.stack.enter_context(started)
        if self.keep(served):
            self.sessions[precision] = session
            self.idle |= {f"platform {precision} {name}": pid for name, pid in served.roots.items()}

    def _bare(self, precision: str) -> Bare:
        bare = self.bares[precision] = Bare(self.bundle, precision, self.source, self.idle)
        for kind in (kind for kind in KINDS if kind in {row.kind for row in self.options.rows}):
            bare.tune(kind)
            layout = bare.layouts[kind].name
            self.results.layouts[f"{precision} {kind}"] = layout
            say(f"bare, {precision}, {kind}: {layout}, {bare.rates[kind]:.0f} tokens/s")
        return bare
