# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmark`: measure, hold against the stored run, and write the report."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmark import plan, report
from benchmark.bars import figures, regressions
from benchmark.errors import BenchError
from benchmark.samples import Samples, load

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_DOCS: Final = _REPOSITORY / "docs"
_FAILED: Final = _REPOSITORY / "dist" / "bench"
"""Where a run goes that is not good enough to be stored."""


def main() -> int:
    """Run; 0 where nothing became worse."""
    parser = argparse.ArgumentParser(prog="benchmark", description=__doc__)
    parser.add_argument("--scale", choices=plan.SCALES, default="usual", help="how much is measured")
    parser.add_argument("--report", action="store_true", help="only write the report of the stored samples anew")
    chosen = parser.parse_args()
    try:
        if chosen.report:
            return _write_again()
        return _measure(plan.SCALES[chosen.scale])
    except BenchError as error:
        sys.stderr.write(f"benchmark: {error}\n")
        return 1


def _write_again() -> int:
    samples = load(_samples(_DOCS))
    if samples is None:
        raise BenchError("There are no stored samples: run make bench.")
    _write(samples, _DOCS)
    return 0


def _measure(scale: plan.Scale) -> int:
    with tempfile.TemporaryDirectory(prefix="pod-tracker-bench-") as folder:
        samples = asyncio.run(plan.run(Path(folder), scale, _say))
    new = figures(samples)
    for figure in new:
        bar = "" if figure.bar is None else f"  bar {figure.bar:g}: {'met' if figure.met else 'MISSED'}"
        spread = f"{figure.lowest:.3g} - {figure.highest:.3g}, {figure.count} rounds"
        _say(f"{figure.what}: {figure.value:.3g} {figure.unit} ({spread}){bar}")
    stored = load(_samples(_DOCS))
    worse = regressions(new, figures(stored)) if stored is not None and scale.rounds > 1 else []
    worse += [f"{figure.what}: {figure.value:g}" for figure in new if figure.unit == "messages" and not figure.met]
    target = _DOCS if not worse and scale.rounds > 1 else _FAILED
    _write(samples, target)
    _say(f"written: {target / 'benchmarks.md'}")
    if worse:
        raise BenchError(
            "Worse than stored by more than a quarter, so nothing stored was replaced:\n" + "\n".join(worse)
        )
    return 0


def _write(samples: Samples, folder: Path) -> None:
    from benchmark import plots  # noqa: PLC0415 - half a second that only this needs

    samples.store(_samples(folder))
    plots.draw(samples, folder / "benchmarks")
    (folder / "benchmarks.md").write_text(report.text(samples), encoding="utf-8")


def _samples(folder: Path) -> Path:
    return folder / "benchmarks" / "samples.json"


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
