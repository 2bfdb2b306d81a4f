"""What the repairs of FTCP, TL-VAE and iMatGen gain: each as published and as repaired, on the same split.

    python experiments/published_generators.py --models ftcp,tlvae --epochs 20 --out qperov-runs/published-generators

trains both modes on abx3 (or abx3_radii) with a fifth of the formulas held out, and prints and saves one row a model
and mode: reconstruction and property of what was held out, beside constants, and how many of the crystals drawn round
the training crystals nearest to the target decode, are valid, and are valid, unique and novel. --epochs is for all;
without it each mode has its own number, which takes hours on a processor. Published iMatGen has images of 64³ and
wants an accelerator; --grid 32 gives both modes smaller ones.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit

from qperov.commands import screen
from qperov.datasets.lookup import load_dataset
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.generative.bench.validation import validate
from qperov.generative.imatgen.model import IMatGen
from qperov.generative.models.base import GenerativeModel
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.models.tlvae import TLVAE
from qperov.generative.representations.voxels import Voxels

MODELS = {"ftcp": FTCPVAE, "tlvae": TLVAE, "imatgen": IMatGen}
MODES = ("published", "repaired")


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    models : str
        Separated by commas.
    data : str
    epochs, most, grid : int or None
        Epochs of all modes, crystals taken at most, points along the edge of iMatGen's images.
    count : int
        Crystals drawn.
    device : str
    seed : int
    out : Path
    """

    models: str = "ftcp,tlvae"
    data: str = "abx3"
    epochs: int | None = None
    most: int | None = None
    grid: int | None = None
    count: int = 200
    device: str = "cpu"
    seed: int = 0
    out: Path = Path("qperov-runs/published-generators")


def build(task: Task, name: str, mode: str) -> GenerativeModel:
    """One model in one mode."""
    given = {"mode": mode, "epochs": task.epochs, "device": task.device, "random_state": task.seed}
    if name == "imatgen":
        given |= {"cell_epochs": task.epochs, "basis_epochs": task.epochs}
        if task.grid is not None:
            depth = task.grid.bit_length() - 3
            given["representation"] = Voxels(grid=task.grid, max_elements=5 if mode == "published" else 3)
            given["basis_channels"] = (64,) * depth if mode == "published" else None
    return MODELS[name](**given)


def main(task: Task) -> pd.DataFrame:
    """Train and measure all; returns and saves the table."""
    dataset = load_dataset(task.data)
    rng = np.random.default_rng(task.seed)
    if task.most is not None and task.most < len(dataset):
        dataset = dataset.take(np.sort(rng.choice(len(dataset), task.most, replace=False)))
    formulas = [crystal.composition.reduced_formula for crystal in dataset.structures]
    rows = GroupShuffleSplit(1, test_size=0.2, random_state=task.seed).split(formulas, groups=formulas)
    train, held = (dataset.take(part) for part in next(rows))
    print(f"{len(train)} crystals of {task.data} to train on, {len(held)} held out")
    target = float(np.quantile(train.y, 0.1))
    median = sorted(train.structures, key=lambda crystal: crystal.volume)[len(train) // 2]
    constant = reconstruction_errors(held.structures, [median] * len(held)).mean().to_dict()
    found = [{"model": "constants", "mae": np.abs(held.y - train.y.mean()).mean(), "r2": 0.0} | constant]
    for name in task.models.split(","):
        for mode in MODES:
            model, began = build(task, name, mode), time.perf_counter()
            with screen.bar(f"{name}, {mode}") as advance:
                model.fit(train.structures, train.y, progress=advance)
            seconds = time.perf_counter() - began
            predicted = model.predict(held.structures)
            drawn = model.sample(task.count, method="local", target=target, random_state=task.seed)
            shares = validate(drawn, train.structures, dissimilarity=False).table.set_index("criterion")["share"]
            found.append(
                {
                    "model": name,
                    "mode": mode,
                    "epochs": len(model.history_["loss"]),
                    "seconds": seconds,
                    "mae": np.abs(predicted - held.y).mean(),
                    "r2": 1 - np.mean((predicted - held.y) ** 2) / held.y.var(),
                    **reconstruction_errors(held.structures, model.reconstruct(held.structures)).mean().to_dict(),
                    **shares[["decodable", "valid", "valid_unique_novel"]].to_dict(),
                }
            )
            print(pd.Series(found[-1]).to_string(), end="\n\n", flush=True)
    table = pd.DataFrame(found)
    task.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(task.out / "table.csv", index=False)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=Task.models, help="of ftcp, tlvae, imatgen, separated by commas")
    parser.add_argument("--data", default=Task.data, help="a dataset that comes with qperov")
    for number, words in {
        "epochs": "of all networks and modes",
        "most": "crystals taken",
        "grid": "points along an edge of iMatGen's images: 32 or 64",
        "count": "crystals drawn of each",
        "seed": "of split, training and draws",
    }.items():
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number), help=words)
    parser.add_argument("--device", default=Task.device, help="cpu, cuda, …")
    parser.add_argument("--out", type=Path, default=Task.out)
    parser.add_argument("--quick", action="store_true", help="100 crystals, one epoch, 32³ images: a minute a model")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    main(replace(task, epochs=1, most=100, grid=32, count=20) if quick else task)
