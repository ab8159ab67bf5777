"""Reads a trace of ``torch.profiler``: the distribution of a device's time, and its idle time between two launches.

In: the Chrome trace from ``export_chrome_trace`` (times in microseconds). A kernel belongs to the innermost named range
in which the host launched it, found by the correlation number of both. Without kernels, as on a CPU, a range's own time
counts: its length without the ranges within it.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_COPY = "gpu_memcpy"
_ON_DEVICE = ("kernel", _COPY, "gpu_memset")
_LAUNCHES = ("cuda_runtime", "cuda_driver")
_RANGE = "user_annotation"


@dataclass(frozen=True)
class Event:
    """An event with a length, in microseconds."""

    name: str
    category: str
    thread: Any
    begin: float
    length: float
    correlation: int | None

    @property
    def end(self) -> float:
        """Time of its end."""
        return self.begin + self.length


@dataclass(frozen=True)
class Occupation:
    """How a device was occupied, in microseconds.

    The span is from the first kernel of the first replay of a graph to the last one of the last; without replays, from
    the first kernel to the last.

    Attributes:
        total: length of that span.
        busy: time in which at least one kernel ran.
        between_launches: time in which none ran, after the kernels of one launch and before those of another; a replay
            is one launch.
        between_replays: the same, where copies outside of replays count as idle, because they copy outcomes and prove
            nothing.
        num_replays: replays of graphs.
        num_kernels: kernels, copies and fills.
    """

    total: float
    busy: float
    between_launches: float
    between_replays: float
    num_replays: int
    num_kernels: int


def read_trace(path: Path) -> list[Event]:
    """Returns the events of a trace that have a length, by their start."""
    content = path.read_bytes()
    raw = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)["traceEvents"]
    events = [
        Event(
            name=entry["name"],
            category=entry.get("cat", ""),
            thread=(entry.get("pid"), entry.get("tid")),
            begin=float(entry["ts"]),
            length=float(entry.get("dur", 0)),
            correlation=entry.get("args", {}).get("correlation"),
        )
        for entry in raw
        if entry.get("ph") == "X"
    ]
    return sorted(events, key=lambda event: event.begin)


def device_events(events: Iterable[Event]) -> list[Event]:
    """Returns the events that ran on the device."""
    return [event for event in events if event.category in _ON_DEVICE]


def seconds_by_range(events: list[Event], prefix: str) -> dict[str, float]:
    """Returns the seconds of each range whose name begins with ``prefix``, by the rest of its name."""
    on_device = device_events(events)
    ranges = [event for event in events if event.category == _RANGE and event.name.startswith(prefix)]
    seconds: dict[str, float] = defaultdict(float)
    if not on_device:
        for event, own in _own_lengths(ranges):
            seconds[event.name.removeprefix(prefix)] += own / 1e6
        return dict(seconds)
    launches = [event for event in events if event.category in _LAUNCHES and event.correlation is not None]
    names = _innermost_ranges(ranges, launches)
    for event in on_device:
        name = names.get(event.correlation)
        if name is not None:
            seconds[name.removeprefix(prefix)] += event.length / 1e6
    return dict(seconds)


def seconds_by_kernel(events: list[Event]) -> dict[str, float]:
    """Returns the seconds of each kernel by its name, the longest first."""
    seconds: dict[str, float] = defaultdict(float)
    for event in device_events(events):
        seconds[event.name] += event.length / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def occupation(events: list[Event]) -> Occupation:
    """Returns the occupation of the device. Raises ValueError if nothing ran on one."""
    on_device = device_events(events)
    replays = {event.correlation for event in events if "GraphLaunch" in event.name}
    of_replays = [place for place, event in enumerate(on_device) if event.correlation in replays]
    if of_replays:
        on_device = on_device[of_replays[0] : of_replays[-1] + 1]
    if not on_device:
        raise ValueError("the trace has no kernels")
    without_copies = [event for event in on_device if event.category != _COPY or event.correlation in replays]
    end, busy, between_launches = _passes(on_device)
    return Occupation(
        total=end - on_device[0].begin,
        busy=busy,
        between_launches=between_launches,
        between_replays=_passes(without_copies).between_launches if without_copies else 0.0,
        num_replays=len(replays),
        num_kernels=len(on_device),
    )


class _Passes(NamedTuple):
    """The time from the start of the first of some events to the end of the last, in microseconds.

    Attributes:
        end: end of the last.
        busy: time in which at least one ran.
        between_launches: time in which none ran, after those of one launch and before those of another.
    """

    end: float
    busy: float
    between_launches: float


def _passes(on_device: list[Event]) -> _Passes:
    """Computes the passes of at least one event; the events are ordered by their start."""
    last = on_device[0]
    busy = last.length
    between_launches = 0.0
    for event in on_device[1:]:
        busy += max(0.0, event.end - max(last.end, event.begin))
        if event.correlation != last.correlation:
            between_launches += max(0.0, event.begin - last.end)
        if event.end >= last.end:
            last = event
    return _Passes(last.end, busy, between_launches)


def _own_lengths(ranges: list[Event]) -> list[tuple[Event, float]]:
    """Returns each range with its length without that of the ranges directly within it."""
    own: dict[int, float] = {}
    for within in _threads(ranges).values():
        open_ranges: list[Event] = []
        for event in within:
            while open_ranges and open_ranges[-1].end <= event.begin:
                open_ranges.pop()
            own[id(event)] = event.length
            if open_ranges:
                own[id(open_ranges[-1])] -= event.length
            open_ranges.append(event)
    return [(event, own[id(event)]) for event in ranges]


def _innermost_ranges(ranges: list[Event], launches: list[Event]) -> dict[int | None, str]:
    """Returns the name of the innermost range of each launch that has one, by the launch's correlation."""
    names: dict[int | None, str] = {}
    launches_of = _threads(launches)
    for thread, within in _threads(ranges).items():
        open_ranges: list[Event] = []
        own = launches_of.get(thread, [])
        # A range that starts together with a launch contains it.
        for event in sorted([*within, *own], key=lambda event: (event.begin, event.category != _RANGE)):
            while open_ranges and open_ranges[-1].end <= event.begin:
                open_ranges.pop()
            if event.category == _RANGE:
                open_ranges.append(event)
            elif open_ranges:
                names[event.correlation] = open_ranges[-1].name
    return names


def _threads(events: Iterable[Event]) -> dict[Any, list[Event]]:
    """Returns the events of each thread, in order; of events with the same start, the longer first."""
    threads: dict[Any, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.begin, -event.length)):
        threads[event.thread].append(event)
    return threads
