"""Goes over to the compiled engine beside the running service, where that is the faster one.

With ``auto`` on a CPU a server ranks with ``eager`` from the first second. Once its ranking has taken as long as
compiling does, another process compiles and compares (``proofrank.core.evaluator.engine_choice``); a server that ranks
little never compiles. The answer is kept, so the next server on this graph goes over right after its start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.available_memory import available_host_bytes, resident_bytes
from proofrank.core.evaluator.engine_choice import AT_ONCE, COMPILED, EngineChoice, EngineQuestion
from proofrank.core.evaluator.engine_choice_process import DatasetSource, EngineChoiceProcess, NoAnswer
from proofrank.core.evaluator.modes import PARTIAL
from proofrank.core.evaluator.packages import is_available
from proofrank.core.policy import Policy
from proofrank.service.engine.by_shape import first_mode
from proofrank.service.engine.evaluators import buckets_of
from proofrank.service.engine.loaded import Loaded
from proofrank.service.engine.shape import Shape
from proofrank.service.errors import ServiceError
from proofrank.service.settings.settings import Settings
from proofrank.service.telemetry.metrics import ServiceMetrics, Switch
from proofrank.service.threads import DEFAULT_THREADS, start_daemon, use_threads

logger = logging.getLogger("proofrank")

COMPILE_AFTER_SECONDS = 60.0
"""Time of ranking after which compiling begins, in seconds: about what compiling takes, so that at worst the work is
doubled."""

OTHER = COMPILED
"""Engine to go over to."""

SECONDS_BETWEEN_LOOKS = 1.0
"""Time between two looks at whether there is something to do, in seconds."""

_BYTES_OF_COMPILER = 2**30
"""Memory that the compiler takes beside what the evaluator and the graph do."""


class EngineSwitch:
    """Watches one server; used on its event loop."""

    def __init__(
        self,
        settings: Settings,
        loaded: Loaded,
        live_policy: Callable[[], Policy],
        is_ready: Callable[[], bool],
        metrics: ServiceMetrics,
    ) -> None:
        """Does nothing before :meth:`start`.

        Args:
            settings: settings of the service, to which :meth:`is_for` has said yes.
            loaded: the graph and the evaluators.
            live_policy: gives the live policy.
            is_ready: says whether the service ranks; while it does not, no process compiles.
            metrics: counts what came of it.
        """
        self._settings = settings
        self._loaded = loaded
        self._live_policy = live_policy
        self._is_ready = is_ready
        self._metrics = metrics
        self._looked_up: set[Shape] = set()
        self._settled: set[Shape] = set()
        self._watching: asyncio.Task[None] | None = None

    @staticmethod
    def is_for(settings: Settings) -> bool:
        """Whether a server with ``settings`` may go over to another engine: only one that leaves the choice open."""
        return settings.engine == "auto" and first_mode(settings) == AT_ONCE

    def start(self) -> None:
        """Begins to watch, as a task of the running event loop."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ends it, and the process that compiles."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            if self._is_ready():
                live = self._loaded.evaluators.live
                if live.shape not in self._settled:
                    try:
                        await self._look(live.shape, live.scheduler.busy_seconds)
                    except Exception as error:
                        logger.exception("the look for a faster engine failed")
                        self._settled.add(live.shape)
                        self._stay(Switch.FAILED, type(error).__name__)
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def _look(self, shape: Shape, busy_seconds: float) -> None:
        """Goes over to the other engine if it is known to be the faster one, or finds out if it is time to."""
        policy = self._live_policy()
        question = EngineQuestion(
            self._loaded.dataset,
            policy,
            shape.settings,
            buckets_of(self._settings, "cpu") or (),
            fullgraph=self._settings.fullgraph,
            precision=self._settings.precision,
            calibrate=self._settings.calibrate,
            cache_folder=self._settings.cache_folder,
            other=OTHER,
        )
        choice: EngineChoice | NoAnswer | None = None
        if shape not in self._looked_up:
            self._looked_up.add(shape)
            choice = await self._kept_answer(question)
        if choice is None and busy_seconds >= COMPILE_AFTER_SECONDS:
            # In a thread, and not before: this loads the compiler.
            there = await asyncio.to_thread(is_available)
            choice = (
                await self._found(question) if there else NoAnswer("this version of torch makes no packages")
            )
        if choice is None:
            return
        if isinstance(choice, NoAnswer):
            self._stay(Switch.FAILED, choice.reason)
        elif not choice.pays:
            self._stay(Switch.STAYED, f"{OTHER} takes {choice.ratio:.2f} of its time")
        elif not await self._has_gone_over(policy, choice):
            self._looked_up.discard(shape)
            return
        self._settled.add(shape)

    async def _kept_answer(self, question: EngineQuestion) -> EngineChoice | None:
        def look_up() -> EngineChoice | None:
            # Artifacts differ by the number of threads, which is the calling thread's.
            use_threads(self._settings.threads)
            return question.kept_answer()

        _, found = start_daemon(look_up, "look up engine")
        return await asyncio.wrap_future(found)

    async def _found(self, question: EngineQuestion) -> EngineChoice | NoAnswer | None:
        """Compiles and measures in another process; None if the service has stopped ranking meanwhile."""
        wanted, left = resident_bytes() + _BYTES_OF_COMPILER, available_host_bytes()
        if wanted > left:
            return NoAnswer(
                f"compiling beside needs about {wanted / 2**30:.1f} GiB of memory, of which {left / 2**30:.1f} GiB are "
                "free"
            )
        source = DatasetSource(
            self._settings.dataset, self._settings.rules_format, question.dataset.content_hash
        )
        logger.info("compiling %s beside, to see whether it is faster than %s", OTHER, AT_ONCE)
        try:
            process = EngineChoiceProcess(question, source, self._settings.threads or DEFAULT_THREADS)
        except OSError as error:
            return NoAnswer(f"no process can be started: {error.strerror}")
        _, answered = start_daemon(process.answer, "compile beside")
        waiting = asyncio.wrap_future(answered)
        try:
            while self._is_ready():
                done, _ = await asyncio.wait([waiting], timeout=SECONDS_BETWEEN_LOOKS)
                if done:
                    return waiting.result()
            return None
        finally:
            await asyncio.shield(asyncio.to_thread(process.close))

    async def _has_gone_over(self, policy: Policy, choice: EngineChoice) -> bool:
        """Makes the other evaluator; False if it is to be tried again, because the service sleeps or stops."""
        try:
            await self._loaded.evaluators.switch(
                policy, OTHER if self._settings.fullgraph else OTHER + PARTIAL
            )
        except EvaluationError as error:
            self._stay(Switch.FAILED, str(error))
            return True
        except ServiceError:
            return False
        self._metrics.engine_switches.labels(Switch.SWITCHED).inc()
        logger.info(
            "engine %s ranks from now on: it takes %.2f of the time of %s; what has begun with %s ends with it",
            *(OTHER, choice.ratio, AT_ONCE, AT_ONCE),
        )
        return True

    def _stay(self, result: Switch, reason: str) -> None:
        self._metrics.engine_switches.labels(result).inc()
        level = logging.WARNING if result is Switch.FAILED else logging.INFO
        logger.log(level, "engine %s ranks on: %s", AT_ONCE, reason)
