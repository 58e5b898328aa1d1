"""CPU-seconds and peak memory of a whole process tree (JVM and Python workers included), sampled from outside."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Usage:
    """What one command and all its descendants used."""

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    output: str


class Sampler(threading.Thread):
    """CPU-seconds and peak memory of a process and its descendants, while they live."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.cpu, self.peak, self.done = root, {}, 0.0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.1):
            self.sample()

    def sample(self) -> None:
        memory = 0.0
        try:
            root = psutil.Process(self.root)
            family = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in family:
            try:
                times = process.cpu_times()
                self.cpu[(process.pid, process.create_time())] = times.user + times.system
                memory += process.memory_info().rss / 1e6
            except psutil.Error:
                continue
        self.peak = max(self.peak, memory)


def measure(command: list[str], env: Mapping[str, str], cwd: Path) -> Usage:
    """Run a command to its end. Raises RuntimeError with its last lines when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    sampler = Sampler(process.pid)
    sampler.start()
    output = process.communicate()[0]
    sampler.done.set()
    sampler.join()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n" + "\n".join(output.splitlines()[-15:]))
    return Usage(sum(sampler.cpu.values()), time.monotonic() - started, sampler.peak, output)
