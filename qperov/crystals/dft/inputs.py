"""Writes the inputs of DFT calculations for a dataset: one folder an entry, named by its id, and a job-array script.

When the jobs have run, ``qperov.read(folder, target="energy")`` reads the results back under the same ids.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from pymatgen.core import Structure
from pymatgen.io.pwscf import PWInput
from pymatgen.io.vasp.inputs import Kpoints
from pymatgen.io.vasp.sets import BadInputSetWarning, MPRelaxSet

from qperov.crystals.dft.presets import PRESETS, DftPreset
from qperov.errors import CalculationInputError
from qperov.storage.atomic import write_text

SCRIPT = "job-array.sh"
RUNS = "runs.txt"
_FILES = {"vasp": ("INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"), "espresso": ("pw.in",)}
_HUBBARD = ("LDAU", "LDAUU", "LDAUJ", "LDAUL", "LDAUTYPE", "LDAUPRINT")
#: Starting magnetisation of every element in a spin-polarised run of Quantum ESPRESSO, of its valence.
_START_MAGNETISATION = 0.3

_SCRIPTS = {
    "vasp": Template("""#!/bin/bash
#SBATCH --job-name=qperov-vasp
#SBATCH --array=1-$n
# Without a queue: SLURM_ARRAY_TASK_ID=1 bash $script
# VASP_PP_PATH is your folder of potentials, one folder a symbol (Pb_d/POTCAR); VASP_COMMAND runs VASP.
set -eu
cd "$${SLURM_SUBMIT_DIR:-.}"
run="$$(sed -n "$${SLURM_ARRAY_TASK_ID}p" $runs)"
cd -- "$$run"
if [ -f OUTCAR ] && grep -q "General timing and accounting" OUTCAR; then exit 0; fi
if [ ! -f POTCAR ]; then
    potentials="$${VASP_PP_PATH:?name your folder of VASP potentials}"
    while read -r symbol; do cat -- "$$potentials/$$symbol/POTCAR"; done < POTCAR.spec > POTCAR.part
    mv POTCAR.part POTCAR
fi
$${VASP_COMMAND:-srun vasp_std} > vasp.log 2>&1
"""),
    "espresso": Template("""#!/bin/bash
#SBATCH --job-name=qperov-espresso
#SBATCH --array=1-$n
# Without a queue: SLURM_ARRAY_TASK_ID=1 bash $script
# ESPRESSO_PSEUDO is your folder of pseudopotentials, which pw.x reads by itself; ESPRESSO_COMMAND runs pw.x.
set -eu
: "$${ESPRESSO_PSEUDO:?name your folder of pseudopotentials}"
cd "$${SLURM_SUBMIT_DIR:-.}"
run="$$(sed -n "$${SLURM_ARRAY_TASK_ID}p" $runs)"
cd -- "$$run"
if [ -f pw.out ] && grep -q "JOB DONE" pw.out; then exit 0; fi
$${ESPRESSO_COMMAND:-srun pw.x} -in pw.in > pw.out
"""),
}


@dataclass(frozen=True)
class WrittenInputs:
    """What was written.

    Attributes
    ----------
    folder : Path
    runs : tuple of str
        Folders of the runs, relative; the ids.
    script : Path
        The job array: ``sbatch job-array.sh`` from ``folder``.
    """

    folder: Path
    runs: tuple[str, ...]
    script: Path


def vasp_inputs(structure: Structure, preset: DftPreset) -> dict[str, str]:
    """INCAR, KPOINTS, POSCAR and POTCAR.spec by pymatgen's MPRelaxSet with the settings of a preset.

    The POSCAR lists its sites sorted by element. POTCAR.spec names the potentials, one a line; they themselves are
    licensed and stay the user's.

    Parameters
    ----------
    structure : Structure
    preset : DftPreset

    Returns
    -------
    dict of str
        File name → text.

    Raises
    ------
    CalculationInputError
        If the sites are shared by species, or the preset is for another code.
    """
    _check(structure, preset, "vasp")
    tolerance = preset.energy_tolerance * (len(structure) if preset.per_atom else 1)
    settings: dict[str, Any] = {
        "ENCUT": preset.cutoff,
        "EDIFF": float(f"{tolerance:.3g}"),
        "EDIFFG": -preset.force_tolerance,
        "ISPIN": 2 if preset.spin else 1,
        "ISMEAR": 1 if preset.smearing == "metal" else 0,
        "SIGMA": 0.2 if preset.smearing == "metal" else 0.05,
        "LORBIT": None,
    }
    settings |= {} if preset.spin else {"MAGMOM": None}
    settings |= {} if preset.hubbard else dict.fromkeys(_HUBBARD)
    settings |= {
        "nothing": {"NSW": 0, "IBRION": -1, "ISIF": 2},
        "positions": {"IBRION": 2, "ISIF": 2},
        "all": {"IBRION": 2, "ISIF": 3},
    }[preset.relax]
    with warnings.catch_warnings():
        # it warns of settings other than the Materials Project's, which are meant, and spglib of itself
        warnings.simplefilter("ignore", BadInputSetWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        chosen = MPRelaxSet(
            structure.copy().remove_oxidation_states(),
            user_incar_settings=settings,
            user_kpoints_settings=_k_points(structure, preset),
        )
        return {
            "INCAR": f"{chosen.incar}",
            "KPOINTS": f"{chosen.kpoints}",
            "POSCAR": chosen.poscar.get_str(significant_figures=16),
            "POTCAR.spec": "\n".join(chosen.potcar_symbols) + "\n",
        }


def espresso_input(structure: Structure, preset: DftPreset, pseudopotentials: Mapping[str, str] | None = None) -> str:
    """Input of pw.x, sites in the order of the structure.

    Parameters
    ----------
    structure : Structure
    preset : DftPreset
    pseudopotentials : mapping of str to str, optional
        Element → file in the folder that ``ESPRESSO_PSEUDO`` names; by default ``Pb.upf`` and so on.

    Raises
    ------
    CalculationInputError
        If the sites are shared by species, the preset is for another code, or an element has no pseudopotential.
    """
    _check(structure, preset, "espresso")
    plain = structure.copy().remove_oxidation_states()
    elements = [element.symbol for element in plain.composition]
    files = dict(pseudopotentials) if pseudopotentials is not None else {name: f"{name}.upf" for name in elements}
    if missing := [name for name in elements if name not in files]:
        raise CalculationInputError(f"{structure.formula}: no pseudopotential is named for {', '.join(missing)}")
    system: dict[str, Any] = {
        "ecutwfc": preset.cutoff,
        "occupations": "smearing",
        "smearing": "mp" if preset.smearing == "metal" else "gaussian",
        "degauss": 0.0147 if preset.smearing == "metal" else 0.0037,  # Ry: 0.2 and 0.05 eV
    }
    system |= {} if preset.density_cutoff is None else {"ecutrho": preset.density_cutoff}
    system |= {"nspin": 2, "starting_magnetization": [_START_MAGNETISATION] * len(elements)} if preset.spin else {}
    tolerance = preset.energy_tolerance * (len(structure) if preset.per_atom else 1)
    written = PWInput(
        plain,
        pseudo={name: files[name] for name in elements},
        control={
            "calculation": {"nothing": "scf", "positions": "relax", "all": "vc-relax"}[preset.relax],
            "forc_conv_thr": preset.force_tolerance,
            "nstep": 100,
            "tprnfor": True,
            "tstress": True,
            "outdir": "./out",
        },
        system=system,
        electrons={"conv_thr": tolerance},
        kpoints_grid=preset.k_points(structure),
        format_options={"coord_decimals": 12},
    )
    return f"{written}\n"


def write_calculations(
    structures: Sequence[Structure],
    ids: Sequence[str],
    folder: str | Path,
    preset: str | DftPreset,
    *,
    pseudopotentials: Mapping[str, str] | None = None,
) -> WrittenInputs:
    """Write the inputs of one calculation for each structure, and a script that runs them as a job array.

    A run's folder is its id, so that :func:`qperov.read` gives the results back under the ids. What is there already
    and reads the same is left as it is; the outputs of runs are never touched.

    Parameters
    ----------
    structures : sequence of Structure
    ids : sequence of str
        Unique relative paths.
    folder : str or Path
    preset : str or DftPreset
        A name among ``dft_presets.PRESETS``, or settings of your own (``dataclasses.replace`` changes a preset).
    pseudopotentials : mapping of str to str, optional
        For Quantum ESPRESSO: element → file.

    Raises
    ------
    CalculationInputError
        If an id cannot be a folder, a folder holds other inputs already, or a structure has no inputs. Nothing is
        written then.
    ValueError
        If there is no such preset, or ids and structures do not match.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise ValueError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
        preset = PRESETS[preset]
    if len(ids) != len(structures) or len(set(ids)) != len(ids) or not len(ids):
        raise ValueError(f"{len(structures)} structures need as many different ids, one or more")
    root = Path(folder)
    planned: dict[Path, str] = {}
    for entry_id, structure in zip(ids, structures, strict=True):
        _check_id(entry_id, preset)
        if preset.code == "vasp":
            texts = vasp_inputs(structure, preset)
        else:
            texts = {"pw.in": espresso_input(structure, preset, pseudopotentials)}
        planned |= {root / entry_id / name: text for name, text in texts.items()}
    planned[root / RUNS] = "".join(f"{entry_id}\n" for entry_id in ids)
    script = _SCRIPTS[preset.code].substitute(n=len(ids), runs=shlex.quote(RUNS), script=SCRIPT)
    planned[root / SCRIPT] = script
    for path, text in planned.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise CalculationInputError(f"{path}: other inputs are there already; choose another folder")
    for path, text in planned.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    (root / SCRIPT).chmod(0o755)
    return WrittenInputs(root, tuple(ids), root / SCRIPT)


def _k_points(structure: Structure, preset: DftPreset) -> Any:
    grid = preset.k_points(structure)
    # a hexagonal lattice loses its symmetry on a grid that is shifted off Γ
    return Kpoints.gamma_automatic(grid) if structure.lattice.is_hexagonal() else Kpoints.monkhorst_automatic(grid)


def _check(structure: Structure, preset: DftPreset, code: str) -> None:
    if preset.code != code:
        raise CalculationInputError(f"the preset is for {preset.code}, not for {code}")
    if not structure.is_ordered:
        raise CalculationInputError(f"{structure.formula}: sites are shared by species; write its orderings instead")


def _check_id(entry_id: str, preset: DftPreset) -> None:
    """An id names a folder below the root, and one that reading does not pass over."""
    parts = entry_id.split("/")
    forbidden = (*_FILES[preset.code], RUNS, SCRIPT)
    if any(not p or p.startswith(".") or p in forbidden or "\n" in p or "\0" in p or len(p) > 200 for p in parts):
        raise CalculationInputError(f"the id {entry_id!r} cannot be a folder of a run; rename the entry")
