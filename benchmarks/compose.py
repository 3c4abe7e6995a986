"""Composition of 1,500 runs, as each sweep, status and report begins with.

    python benchmarks/compose.py corpus.root=path/to/emodb

The runs are five systems of parthasarathy2019 on ten folds of EMO-DB with 30 seeds. Prints minima
over rounds of the processor time, beside Hydra's own composition of one run for each system, which
is the least that can be done.

Bar: 3 s.
"""

import sys
import time
from collections.abc import Callable

from hydra import compose, initialize_config_dir

from ser.config import CONF
from ser.sweeps.grid import compose_grid

ROUNDS = 3
BAR = 3.0
SYSTEMS = [
    f"parthasarathy2019/{name}"
    for name in (
        *("utterance_baseline", "utterance_aae_vanilla", "utterance_aae"),
        *("frame_baseline", "frame_aae"),
    )
]


def least(function: Callable[[], object]) -> float:
    """Return the processor time of the fastest of several calls, in seconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    data = ["corpus=emodb", "target=emotion", *sys.argv[1:]]
    grid = ["grid=parthasarathy2019_table1", f"experiment={','.join(SYSTEMS)}", "seed=range(30)"]

    def compose_all() -> None:
        assert len(compose_grid([*grid, *data]).runs) == 1500

    def compose_systems() -> None:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            for system in SYSTEMS:
                compose("train", [f"experiment={system}", *data], return_hydra_config=True)

    runs, systems = least(compose_all), least(compose_systems)
    print(f"1,500 runs of {len(SYSTEMS)} systems: {runs:.2f} s (bar {BAR})")
    print(f"one run of each system by Hydra: {systems:.2f} s, ratio {runs / systems:.1f}")


if __name__ == "__main__":
    main()
