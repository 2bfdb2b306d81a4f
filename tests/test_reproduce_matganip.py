"""The studies of MATGANIP's numbers: false species, three ways to split, the heat map."""

from __future__ import annotations

import dataclasses
import importlib.util
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from perovskites import perovskite, symmetry_image

import qperov


def experiment(name: str) -> ModuleType:
    """A study, which is a script and not part of the package."""
    path = Path(__file__).parents[1] / "experiments" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", path)
    module = importlib.util.module_from_spec(spec)
    __import__("sys").modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def matganip():
    return experiment("reproduce_matganip")


@pytest.fixture(scope="module")
def double():
    return experiment("double_perovskites")


@pytest.fixture
def published_folder(tmp_path) -> Path:
    """Twelve inequivalent orderings, three copies each, every other POSCAR in the style of VASP 4."""
    rng = np.random.default_rng(0)
    rows, flag = [], 0
    folder = tmp_path / "data"
    folder.mkdir()
    with tarfile.open(folder / "poscars.tar.gz", "w:gz") as archive:
        for ordering in qperov.orderings(perovskite((2, 2, 1)), "Br", ("Br", "I"), 4)[:12]:
            energy = -91.63 + 0.01 * rng.normal()
            for _ in range(3):
                copy = symmetry_image(ordering.structure, (2, 2, 1), rng).get_sorted_structure()
                lines = copy.to(fmt="poscar").splitlines()
                if flag % 2:
                    lines[0] = lines.pop(5)  # elements on the comment line only
                file = tmp_path / "POSCAR"
                file.write_text("\n".join(lines) + "\n")
                archive.add(file, f"POSCARS/train/{flag}/POSCAR")
                rows.append({"split": "train", "flag": flag, "energy_ev_per_cell": energy})
                flag += 1
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.mark.slow
def test_six_settings_in_one_table(matganip, published_folder, tmp_path):
    out = tmp_path / "out"
    task = matganip.Task(data=published_folder, out=out, epochs=1, steps=2, published_steps=2)
    table = matganip.main(task)
    assert len(table) == 2 * 3 * 8
    assert set(table["species"]) == {"right", "VASP 4 misread"}
    copies = table.groupby("split")["copies in training"].max()
    assert copies["by honest groups"] == 0
    errors = table.set_index(["species", "split", "model"])["MAE meV/atom"]
    # a look-up finds copies where there are any, but for orderings of one pattern, and fewer where half are misread
    assert copies["at random"] == 1
    remembered = errors["right", "at random", "nearest training matrix"]
    assert remembered < 0.2 * errors["right", "by honest groups", "nearest training matrix"]
    assert remembered < 0.5 * errors["VASP 4 misread", "at random", "nearest training matrix"]
    median = table[table["model"] == "median of the training labels"]
    np.testing.assert_allclose(median["MAE meV/atom"], median["MAE of the median"])
    saved = pd.read_csv(out / "settings.csv")
    np.testing.assert_allclose(saved["MAE meV/atom"], table["MAE meV/atom"])
    assert {f"{name}.png" for name in ("settings", "training-fixed", "training-matganip", "errors-fixed")} <= {
        file.name for file in out.iterdir()
    }
    # stopped after seven rows, it makes the others; a folder of other settings is refused
    saved.iloc[:7].to_csv(out / "settings.csv", index=False)
    pd.testing.assert_frame_equal(matganip.main(task), table)
    with pytest.raises(SystemExit, match="other settings"):
        matganip.main(dataclasses.replace(task, epochs=2))


def test_files_without_elements_are_found(matganip, published_folder):
    assert matganip.vasp4_ids(published_folder / "poscars.tar.gz") == {f"train/{flag}" for flag in range(1, 36, 2)}
    crystal = perovskite((2, 1, 1))
    false = matganip.misread(crystal)
    names = {"Cs": "H", "Pb": "He", "Br": "Li"}
    assert [site.species_string for site in false] == [names[site.species_string] for site in crystal]
    np.testing.assert_array_equal(false.frac_coords, crystal.frac_coords)


def table_of(n_formulas: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [(f"Cs2SnX{i}", name) for i in range(n_formulas) for name in ("Td", "Cs", "C2")]
    table = pd.DataFrame(rows, columns=["formula", "ordering"])
    table["t"] = np.repeat(np.arange(float(n_formulas)), 3)
    table["structure_factor"] = rng.normal(size=len(table))
    table["energy_ev_per_atom"] = -2 * table["t"]
    return table


def test_correlations_are_pearsons(double):
    table = table_of()
    table.loc[table["ordering"] == "Td", "structure_factor"] = 1 - table["energy_ev_per_atom"]
    by_ordering, by_compound = double.correlations(table)
    np.testing.assert_allclose(by_ordering["t"], -1)
    assert by_ordering.loc["Td", "structure_factor"] == pytest.approx(-1)
    part = table[table["ordering"] == "Cs"]
    expected = np.corrcoef(part["structure_factor"], part["energy_ev_per_atom"])[0, 1]
    assert by_ordering.loc["Cs", "structure_factor"] == pytest.approx(expected)
    assert by_compound.isna().all()  # equal energies inside a compound have no correlation


def test_the_heat_map_has_two_triangles_a_cell(double):
    table = table_of()
    figure = double.draw_heat_map(table, double.correlations(table)[0], "source")
    energies, factors = figure.axes[0].collections
    for patches, column in ((energies, "energy_ev_per_atom"), (factors, "structure_factor")):
        np.testing.assert_array_equal(patches.get_array(), table[column])
        assert len(patches.get_paths()) == len(table)
    # the two triangles of a cell share no more than its diagonal
    corners = [{tuple(v) for v in patches.get_paths()[0].vertices} for patches in (energies, factors)]
    assert corners[0] & corners[1] == {(1.0, 0.0), (0.0, 1.0)}
    assert corners[0] | corners[1] == {(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)}


def test_given_energies_are_joined_by_formula_and_ordering(double, tmp_path):
    table, path = table_of(), tmp_path / "energies.csv"
    table.sample(frac=1, random_state=0).to_csv(path, index=False)
    np.testing.assert_allclose(double.given_energies(path, table), table["energy_ev_per_atom"])
    table.iloc[1:].to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"missing: \['Cs2SnX0 Td'"):
        double.given_energies(path, table)
    pd.concat([table, table.iloc[:1]]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="some twice"):
        double.given_energies(path, table)
    table[["formula", "ordering"]].to_csv(path, index=False)
    with pytest.raises(ValueError, match="energy_ev_per_atom"):
        double.given_energies(path, table)


def test_both_cells_of_a_composition_are_one_group(double):
    dataset = double.tolerance_task(double.Task(compositions=12))
    assert len(np.unique(dataset.groups)) == 12
    for group in np.unique(dataset.groups):
        rows = np.flatnonzero(dataset.groups == group)
        assert [len(dataset.structures[i]) for i in rows] in ([5, 20], [5])
        assert np.ptp(dataset.y[rows]) == 0
