"""The kernel of decorated crystals with one qubit a site, against direct simulation and what theory says of it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import halide_sites, perovskite, random_decoration, symmetry_image, with_iodine
from pymatgen.core import Structure
from scipy.linalg import hadamard
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

import qperov
from qperov.crystals.orderings.cluster_expansion import cluster_orbits, correlation_functions
from qperov.descriptors.decorations import Decorations
from qperov.descriptors.reduced_densities import ReducedDensities, pair_expectations
from qperov.errors import CircuitSizeError, DescriptorError
from qperov.quantum.estimators.ising_process import IsingGaussianProcess
from qperov.quantum.kernels.ising import IsingKernel, coloured
from qperov.quantum.kernels.ising_overlaps import contracted_amplitudes, walsh_hadamard
from qperov.serving.pipeline_file import read_pipeline, write_pipeline

SITES = 8
RING = np.arange(SITES)
#: Nearest and next-nearest neighbours of a ring, and its rotations and mirrors.
BONDS = np.array([(shell, i, (i + shell + 1) % SITES) for shell in (0, 1) for i in RING])
GROUP = np.concatenate([(RING[:, None] + RING) % SITES, (RING[:, None] - RING) % SITES])
LENGTHS = (4.0, 6.5)
SPINS = np.random.default_rng(0).choice([-1.0, 1.0], size=(12, SITES))
SETTINGS = [
    {"couplings": [0.31, 0.17]},
    {"couplings": [0.31, 0.17], "field": 0.4},
    {"couplings": 0.3, "decay": 3.0, "lengths": LENGTHS},
    {"couplings": 0.2, "mixing": (0.7, -0.3)},
    {"couplings": 0.2, "mixing": (0.7,), "field": 0.3},
]


def ring_kernel(**parameters) -> IsingKernel:
    return IsingKernel(BONDS, GROUP, **parameters)


def pennylane_states(spins: np.ndarray, angles: np.ndarray, field: float, mixing: tuple[float, ...]) -> np.ndarray:
    """|φ(σ)⟩ of several decorations from the formula, bond by bond, shape (n_samples, 2**SITES)."""
    spins = spins.T

    @qml.qnode(qml.device("default.qubit", wires=SITES))
    def state():
        for wire in RING:
            qml.Hadamard(wire)
        for layer in range(len(mixing) + 1):
            if layer:
                for wire in RING:
                    qml.RX(mixing[layer - 1], wire)
            for shell, i, j in BONDS.tolist():
                qml.IsingZZ(-2 * float(angles[shell]) * spins[i] * spins[j], wires=(i, j))
            for wire in RING:
                qml.RZ(-2 * field * spins[wire], wire)
        return qml.state()

    return np.asarray(state())


@pytest.mark.parametrize("parameters", SETTINGS)
def test_parity_with_pennylane_on_eight_sites(parameters) -> None:
    kernel = ring_kernel(**parameters)
    angles = np.broadcast_to(kernel.couplings, 2)
    if kernel.decay:
        angles = kernel.couplings * np.exp(-np.subtract(LENGTHS, LENGTHS[0]) / kernel.decay)
    rows, columns = SPINS[:3], SPINS[3:5]

    def mean_fidelity(one: np.ndarray, other: np.ndarray) -> float:
        found = pennylane_states(np.array([one, *(other[g] for g in GROUP)]), angles, kernel.field, kernel.mixing)
        return float(np.mean(np.abs(found[1:] @ found[0].conj()) ** 2))

    norms = [[mean_fidelity(s, s) for s in side] for side in (rows, columns)]
    expected = [[mean_fidelity(a, b) for b in columns] for a in rows] / np.sqrt(np.outer(*norms))
    np.testing.assert_allclose(kernel(rows, columns), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("parameters", SETTINGS)
def test_circuit_prepares_the_state_of_the_formula(parameters) -> None:
    kernel = ring_kernel(**parameters)
    angles = kernel._shell_angles()
    ours = qperov.quantum.simulation.statevector.states(kernel.circuit(SPINS[0]), SITES, 1)[0]
    theirs = pennylane_states(SPINS[:2], angles, kernel.field, kernel.mixing)[0]
    assert abs(np.vdot(ours, theirs)) == pytest.approx(1, abs=1e-12)


def test_bonds_stand_in_layers_without_common_sites() -> None:
    pairs = coloured(list(combinations(range(6), 2)))
    layers, busy = 1, set()
    for pair in pairs:
        if busy & set(pair):
            layers, busy = layers + 1, set()
        busy |= set(pair)
    assert sorted(pairs) == list(combinations(range(6), 2))
    assert layers < 10, "one layer a site, were they as they come"


@pytest.mark.parametrize("parameters", SETTINGS)
def test_invariant_and_positive_semi_definite(parameters) -> None:
    kernel = ring_kernel(**parameters)
    every = np.array(np.meshgrid(*[[-1.0, 1.0]] * SITES)).reshape(SITES, -1).T
    K = kernel(every)
    assert np.array_equal(K, K.T)
    assert (K.diagonal() == 1).all()
    assert np.linalg.eigvalsh(K)[0] > -1e-11
    images = np.array([spins[g] for spins, g in zip(every, np.resize(GROUP, (256, SITES)), strict=True)])
    np.testing.assert_allclose(kernel(images, SPINS), kernel(every, SPINS), rtol=0, atol=1e-12)
    if kernel.field == 0:
        np.testing.assert_allclose(kernel(-every, SPINS), kernel(every, SPINS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("field", [0.0, 0.4])
def test_kernel_is_a_cluster_expansion_of_positive_weights(field) -> None:
    """k(σ, σ′) = Σ_α W_α Φ_α(σ) Φ_α(σ′), W from the outcomes of one circuit in the X basis."""
    kernel = ring_kernel(couplings=[0.31, 0.17], field=field)
    parent = qperov.quantum.simulation.statevector.states(kernel.circuit(), SITES, 1)[0]
    p = np.abs(hadamard(2**SITES) @ parent) ** 2 / 2**SITES
    w = hadamard(2**SITES) @ (hadamard(2**SITES) @ p) ** 2 / 2**SITES
    assert w.min() > -1e-12
    k = np.full((len(SPINS), len(SPINS)), w[0])
    for order in range(1, SITES + 1):
        for orbit in cluster_orbits(GROUP, order):
            weight = w[[sum(1 << (SITES - 1 - site) for site in cluster) for cluster in orbit.tolist()]].sum()
            assert field or order % 2 == 0 or weight < 1e-12
            values = correlation_functions(SPINS, [orbit])[:, 0]
            k += weight * np.outer(values, values)
    norms = np.sqrt(k.diagonal())
    np.testing.assert_allclose(kernel(SPINS), k / np.outer(norms, norms), rtol=0, atol=1e-12)


def test_small_couplings_leave_linear_kernel_of_pairs() -> None:
    theta = 1e-3
    kernel = ring_kernel(couplings=[theta, 2 * theta])
    products = np.einsum("ab,cb->ac", *[SPINS[:, BONDS[:, 1]] * SPINS[:, BONDS[:, 2]]] * 2)
    pairs = np.zeros_like(products)
    for shell, angle in enumerate((theta, 2 * theta)):
        here = BONDS[BONDS[:, 0] == shell, 1:]
        means = (SPINS[:, here[:, 0]] * SPINS[:, here[:, 1]]).mean(axis=1)
        pairs += 2 * angle**2 * len(here) * np.outer(means, means)
    own = pairs.diagonal()
    expected = pairs - (own[:, None] + own) / 2
    np.testing.assert_allclose(kernel(SPINS) - 1, expected, atol=20 * theta**4 * SITES**2)


@pytest.mark.parametrize("parameters", SETTINGS)
def test_gradient_is_the_slope(parameters) -> None:
    bounds = {"field_bounds": (1e-3, 1.0)} if parameters.get("field") else {}
    kernel = ring_kernel(**parameters, **bounds)
    _, gradient = kernel(SPINS, eval_gradient=True)
    assert gradient.shape[2] == len(kernel.theta) > 0
    for number in range(len(kernel.theta)):
        step = 1e-5 * np.eye(len(kernel.theta))[number]
        above, below = (kernel.clone_with_theta(kernel.theta + sign * step)(SPINS) for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, :, number], (above - below) / 2e-5, atol=1e-8)


def test_outcomes_of_one_circuit_give_the_kernel() -> None:
    """Frequencies of bits in the X basis stand for probabilities; the matrix stays positive with any noise."""
    kernel = ring_kernel(couplings=[0.31, 0.17], field=0.4)
    parent = qperov.quantum.simulation.statevector.states(kernel.circuit(), SITES, 1)[0]
    p = np.abs(hadamard(2**SITES) @ parent) ** 2 / 2**SITES
    drawn = np.random.default_rng(0).choice(2**SITES, size=100_000, p=p / p.sum())
    bits = drawn[:, None] >> np.arange(SITES - 1, -1, -1) & 1
    np.testing.assert_allclose(clone(kernel).set_params(outcomes=bits)(SPINS), kernel(SPINS), atol=0.02)
    noise = np.random.default_rng(1).integers(0, 2, size=(7, SITES))
    K = clone(kernel).set_params(outcomes=noise)(SPINS)
    assert np.linalg.eigvalsh(K)[0] > -1e-12
    np.testing.assert_allclose(clone(kernel).set_params(outcomes=noise)(SPINS[:, GROUP[11]]), K, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9), st.integers(0, 100))
def test_walsh_hadamard_is_the_matrix_of_signs(n_qubits, seed) -> None:
    values = np.random.default_rng(seed).normal(size=(3, 2**n_qubits))
    np.testing.assert_allclose(walsh_hadamard(values), values @ hadamard(2**n_qubits), atol=1e-10)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"couplings": -0.1}, "couplings must be positive"),
        ({"couplings": [0.1, 0.1, 0.1]}, "one for each of 2 shells, got 3"),
        ({"couplings": 0.1, "decay": 2.0}, "lengths has the lengths of 2 shells"),
        ({"field": -1.0}, "field must be zero or positive"),
        ({"permutations": np.array([[1, 0, 2, 3, 4, 5, 6, 7]])}, "does not map the bonds"),
        ({"permutations": np.array([[0, 0, 2, 3, 4, 5, 6, 7]])}, "permutations must be rows"),
        ({"bonds": np.array([[0, 1, 9]])}, "bonds must be rows of a shell and two of 8 sites"),
        ({"outcomes": np.full((3, SITES), 2)}, "outcomes must be bits on each of 8 sites"),
    ],
)
def test_impossible_parameters_are_refused(parameters, message) -> None:
    with pytest.raises(ValueError, match=message):
        ring_kernel().set_params(**parameters)(SPINS)


def test_samples_that_are_no_spins_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each of 8 sites.*Decorations.*got 8 columns of 0 to 0"):
        ring_kernel()(np.zeros((2, SITES)))
    with pytest.raises(ValueError, match="got 3 columns"):
        ring_kernel()(np.ones((2, 3)))
    with pytest.raises(ValueError, match="leave Y out"):
        ring_kernel()(SPINS, SPINS, eval_gradient=True)


def test_too_many_sites_are_refused_with_numbers() -> None:
    bonds = np.column_stack([np.zeros(40, int), np.arange(40), np.roll(np.arange(40), 1)])
    kernel = IsingKernel(bonds, np.arange(40)[None])
    with pytest.raises(CircuitSizeError, match=r"40 qubits.*26 qubits"):
        kernel(np.ones((1, 40)), eval_gradient=True)
    with pytest.raises(CircuitSizeError, match=r"40 sites: .* without mixing"):
        clone(kernel).set_params(mixing=(0.1,))(np.ones((1, 40)))
    every = np.array([(0, i, j) for i, j in combinations(range(60), 2)])
    halves = np.repeat([[1.0], [-1.0]], 30, axis=1).reshape(1, 60)
    with pytest.raises(CircuitSizeError, match=r"1 overlaps of 60 sites: .* a tensor of 2\^.* multiplications"):
        contracted_amplitudes(IsingKernel(every, np.arange(60)[None])._angles()[0], 0.0, halves)


@pytest.mark.parametrize("parameters", SETTINGS[:2])
def test_networks_give_the_overlaps_of_the_transform(parameters, monkeypatch) -> None:
    expected = ring_kernel(**parameters)(SPINS), ring_kernel(**parameters)(SPINS[:4], SPINS[4:])
    monkeypatch.setattr("qperov.quantum.kernels.ising.MAX_QUBITS", 4)
    for whole, side in zip(expected, (None, SPINS[4:]), strict=True):
        rows = SPINS if side is None else SPINS[:4]
        np.testing.assert_allclose(ring_kernel(**parameters)._evaluate(rows, side), whole, atol=1e-12)


def test_forty_sites_against_a_closed_form() -> None:
    """One flip on a ring: |A|² = cos⁴ 2J; two flips far apart: its square; with a field, times cos² 2h each."""
    bonds = np.column_stack([np.zeros(40, int), np.arange(40), np.roll(np.arange(40), 1)])
    spins = np.ones((3, 40))
    spins[1, 7] = spins[2, 7] = spins[2, 20] = -1
    one = np.cos(0.6) ** 4
    kernel = IsingKernel(bonds, np.arange(40)[None], couplings=0.3)
    np.testing.assert_allclose(kernel(spins[:1], spins), [[1, one, one**2]], atol=1e-12)
    kernel.set_params(field=0.2)
    one = (np.cos(1.6) / 4 + np.cos(0.4) / 2 + np.cos(0.8) / 4) ** 2
    assert kernel(spins[:1], spins)[0, 0] == pytest.approx(1)


def test_repr_names_what_was_chosen() -> None:
    assert repr(ring_kernel(couplings=0.1)) == "IsingKernel(8 sites, couplings=0.1)"
    assert repr(ring_kernel(couplings=[0.1, 0.12345], field=0.2)).endswith("couplings=[0.1, 0.123], field=0.2)")


# --- from structures ----------------------------------------------------------------------------

SHAPE = (3, 2, 1)


@pytest.fixture(scope="module")
def crystals() -> list[Structure]:
    rng = np.random.default_rng(0)
    return [random_decoration(perovskite(SHAPE), 6, rng) for _ in range(30)]


@pytest.fixture(scope="module")
def fitted(crystals) -> Decorations:
    return Decorations(n_shells=4).fit(crystals)


def test_decorations_do_not_see_symmetry_or_order(crystals, fitted) -> None:
    rng = np.random.default_rng(1)
    images = [symmetry_image(crystal, SHAPE, rng) for crystal in crystals]
    assert np.array_equal(fitted.transform(images), fitted.transform(crystals))
    assert fitted.transform(crystals).sum(axis=1).tolist() == [6.0] * 30
    assert fitted.transform([]).shape == (0, 18)
    assert len(set(fitted.get_feature_names_out())) == 18


def test_shells_of_the_321_cell(fitted) -> None:
    """Eight nearest neighbours a site at a/√2; at a two across Pb, and four across Cs."""
    np.testing.assert_allclose(fitted.lengths_, 6 * np.sqrt([0.5, 1, 1, 1.5]), atol=1e-6)
    per_site = 2 * np.bincount(fitted.bonds_[:, 0]) / 18
    assert per_site[0] == 8
    # along c a site is its own neighbour, which is no bond
    assert (per_site[1:3] <= 4).all()
    assert fitted.permutations_.shape == (24, 18)


def test_kernel_of_crystals_is_invariant(crystals, fitted) -> None:
    kernel = IsingKernel(fitted.bonds_, fitted.permutations_, couplings=0.05)
    X = fitted.transform(crystals)
    turned = np.array([spins[g] for spins, g in zip(X, np.resize(fitted.permutations_, (30, 18)), strict=True)])
    np.testing.assert_allclose(kernel(turned), kernel(X), atol=1e-12)


def test_relaxed_crystals_go_to_the_sites_of_a_parent(crystals, fitted) -> None:
    rng = np.random.default_rng(2)
    relaxed = []
    for crystal in crystals:
        moved = crystal.copy()
        moved.perturb(0.3)
        strained = moved.lattice.matrix * (1 + 0.02 * rng.normal(size=(3, 1)))
        relaxed.append(Structure(strained, moved.species, moved.frac_coords + np.array([0.03, 0, 0])))
    given_parent = Decorations(perovskite(SHAPE), n_shells=4).fit(relaxed)
    assert np.array_equal(given_parent.transform(relaxed), fitted.transform(crystals))


def test_three_species_have_a_column_each() -> None:
    parent = perovskite((2, 1, 1))
    sites = halide_sites(parent)
    crystals = []
    for chlorine, iodine in [(0, 1), (0, 2), (3, 4), (1, 5)]:
        crystal = with_iodine(parent, [sites[iodine]])
        crystal[int(sites[chlorine])] = "Cl"
        crystals.append(crystal)
    decorations = Decorations(n_shells=2).fit(crystals)
    X = decorations.transform(crystals)
    assert X.shape == (4, 18)
    assert (X.reshape(4, 6, 3).sum(axis=2) == -1).all(), "one of three on every site"
    K = IsingKernel(decorations.bonds_, decorations.permutations_, couplings=0.2)(X)
    assert np.linalg.eigvalsh(K)[0] > -1e-12
    like = np.add.reduceat(np.ones(18), [0, 6, 12])
    assert like.sum() == 18
    names = decorations.get_feature_names_out()
    assert {name.split()[2] for name in names} == {"Br", "Cl", "I"}


def test_what_does_not_fit_the_lattice_is_refused(crystals, fitted) -> None:
    lacking = crystals[0].copy()
    lacking.remove_sites([29])
    foreign = crystals[0].copy()
    foreign[int(halide_sites(foreign)[0])] = "Cl"
    far = Structure(crystals[0].lattice, crystals[0].species, crystals[0].frac_coords ** 1.5)
    with pytest.raises(DescriptorError, match=r"structure 1 .* has 29 sites, its parent lattice 30: vacancies"):
        fitted.transform([crystals[0], lacking])
    with pytest.raises(DescriptorError, match="has Cl where the parent lattice knows"):
        fitted.transform([foreign])
    with pytest.raises(DescriptorError, match="does not lie on the parent lattice"):
        fitted.transform([perovskite(SHAPE, edge=6.3)])
    with pytest.raises(DescriptorError, match=r"2 different parent lattices \(30 of 30 sites, 1 of 15 sites\)"):
        Decorations().fit([*crystals, perovskite((3, 1, 1))])
    with pytest.raises(DescriptorError, match="nothing to decorate"):
        Decorations().fit([perovskite()])
    with pytest.raises(DescriptorError, match=r"structure 0 .* Å from the nearest free site of the parent"):
        Decorations(perovskite(SHAPE)).fit([far])
    with pytest.raises(DescriptorError, match="a str is no crystal structure"):
        fitted.transform([crystals[0], "POSCAR"])


def test_in_pipelines_searches_and_gaussian_processes(crystals, fitted) -> None:
    y = np.array([qperov.PXRDFeaturizer("pair_shells").fit_transform(crystals)[:, 0]]).ravel()
    kernel = IsingKernel(fitted.bonds_, fitted.permutations_, lengths=fitted.lengths_, decay=3.0)
    pipeline = make_pipeline(Decorations(n_shells=4), qperov.QuantumSVR(kernel, C=10, epsilon=0.001))
    grid = {"quantumsvr__kernel__couplings": [0.02, 0.1], "quantumsvr__kernel__decay": [2.0, 5.0]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(crystals, y)
    assert search.best_score_ > 0.9
    X = fitted.transform(crystals)
    process = IsingGaussianProcess(clone(kernel).set_params(decay=None, couplings=[0.02] * 4)).fit(X[:20], y[:20])
    found = process.kernel_.k1.k2
    assert found.couplings[0] > 10 * max(found.couplings[1:]), "the labels count pairs of the first shell"
    assert np.sqrt(np.mean((process.predict(X[20:]) - y[20:]) ** 2)) < 0.05 * y.std()


def test_a_stored_model_predicts_what_it_did(crystals, fitted, tmp_path) -> None:
    kernel = IsingKernel(fitted.bonds_, fitted.permutations_, lengths=fitted.lengths_, couplings=0.1, decay=3.0)
    y = fitted.transform(crystals)[:, 0] + np.arange(30.0)
    for machine in (qperov.QuantumSVR(kernel), IsingGaussianProcess(kernel, n_subset=10, max_iter=2)):
        pipeline = Pipeline([("pxrd", Decorations(perovskite(SHAPE), n_shells=4)), ("model", machine)]).fit(crystals, y)
        write_pipeline(pipeline, tmp_path)
        stored = read_pipeline(tmp_path)
        assert np.array_equal(stored.predict(crystals), pipeline.predict(crystals))


# --- density matrices ---------------------------------------------------------------------------


def test_expectations_of_pairs_are_those_of_pennylane() -> None:
    J = np.triu(np.random.default_rng(0).normal(scale=0.3, size=(6, 6)), 1)
    J += J.T

    @qml.qnode(qml.device("default.qubit", wires=6))
    def measured():
        for wire in range(6):
            qml.Hadamard(wire)
        for i, j in combinations(range(6), 2):
            qml.IsingZZ(-2 * J[i, j], wires=(i, j))
        pairs = [(qml.PauliY, qml.PauliY), (qml.PauliY, qml.PauliZ), (qml.PauliZ, qml.PauliY), (qml.PauliZ, qml.PauliZ)]
        return [qml.expval(one(0) @ other(1)) for one, other in pairs]

    *expected, zz = measured()
    np.testing.assert_allclose(pair_expectations(J[0, 1], J[0, 2:], J[1, 2:]), expected, atol=1e-12)
    assert zz == pytest.approx(0, abs=1e-12)


def test_density_matrices_do_not_see_the_cell(crystals) -> None:
    featurizer = ReducedDensities(n_shells=4).fit(crystals[:1])
    values = featurizer.transform(crystals[:3])
    doubled = [crystal * (1, 1, 2) for crystal in crystals[:3]]
    np.testing.assert_allclose(featurizer.transform(doubled), values, atol=1e-12)
    np.testing.assert_allclose(ReducedDensities(n_shells=4).fit(doubled).weights_, featurizer.weights_, atol=1e-12)
    pure = featurizer.transform([perovskite((1, 1, 1)), perovskite((2, 1, 1))])
    np.testing.assert_allclose(pure, [featurizer.weights_] * 2, atol=1e-12)
    assert (np.abs(values) <= featurizer.weights_ + 1e-12).all()


def test_density_matrices_need_their_species_and_lattice(crystals) -> None:
    featurizer = ReducedDensities(n_shells=2).fit(crystals[:1])
    with pytest.raises(DescriptorError, match="another lattice"):
        featurizer.transform([perovskite(edge=6.3)])
    with pytest.raises(DescriptorError, match="holds neither Cl nor I"):
        ReducedDensities(("Cl", "I")).fit([perovskite()])
