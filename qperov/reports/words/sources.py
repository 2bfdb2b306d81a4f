"""The papers behind what a report shows, each only where it is used."""

from __future__ import annotations

from dataclasses import dataclass

from qperov.records.record import Record


@dataclass(frozen=True)
class Source:
    """A paper: a key to cite it by, who wrote what where, and its DOI, if it has one."""

    key: str
    text: str
    doi: str = ""


BOOTSTRAP = Source(
    "bootstrap",
    "A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997): the intervals.",
    "10.1017/CBO9780511802843",
)
T_TEST = Source(
    "t-test",
    "C. Nadeau and Y. Bengio, Machine Learning 52, 239 (2003): the corrected resampled t-test.",
    "10.1023/A:1024068626366",
)
HOLM = Source("holm", "S. Holm, Scandinavian Journal of Statistics 6, 65 (1979): the correction for many tests.")
EQUIVALENCE = Source(
    "equivalence",
    "G. Corani and A. Benavoli, Machine Learning 100, 285 (2015): the Bayesian correlated t-test.",
    "10.1007/s10994-015-5486-z",
)
REGION = Source(
    "region",
    "A. Benavoli, G. Corani, J. Demšar and M. Zaffalon, Journal of Machine Learning Research 18, 77 (2017): the region "
    "of practical equivalence.",
)
TSNE = Source("t-sne", "L. van der Maaten and G. Hinton, Journal of Machine Learning Research 9, 2579 (2008): t-SNE.")
OPEN_TSNE = Source(
    "opentsne",
    "P. G. Poličar, M. Stražar and B. Zupan, Journal of Statistical Software 109(3), 1 (2024): openTSNE.",
    "10.18637/jss.v109.i03",
)
TRUST = Source(
    "trust",
    "J. Venna and S. Kaski, Lecture Notes in Computer Science 2130, 485 (2001): trustworthiness of maps.",
    "10.1007/3-540-44668-0_68",
)
FIDELITY = Source(
    "fidelity", "V. Havlíček et al., Nature 567, 209 (2019): quantum kernels of fidelity.", "10.1038/s41586-019-0980-2"
)
BANDWIDTH = Source(
    "bandwidth",
    "R. Shaydulin and S. M. Wild, Physical Review A 106, 042407 (2022): the bandwidth of quantum kernels.",
    "10.1103/PhysRevA.106.042407",
)
PROJECTED = Source(
    "projected",
    "H.-Y. Huang et al., Nature Communications 12, 2631 (2021): projected kernels, the geometric difference.",
    "10.1038/s41467-021-22539-9",
)
CONCENTRATION = Source(
    "concentration",
    "S. Thanasilp, S. Wang, M. Cerezo and Z. Holmes, Nature Communications 15, 5200 (2024): concentration of kernels.",
    "10.1038/s41467-024-49287-w",
)
AUTOENCODER = Source(
    "autoencoder",
    "J. Romero, J. P. Olson and A. Aspuru-Guzik, Quantum Science and Technology 2, 045001 (2017): the quantum "
    "autoencoder.",
    "10.1088/2058-9565/aa8072",
)
CLUSTERS = Source(
    "clusters",
    "J. M. Sanchez, F. Ducastelle and D. Gratias, Physica A 128, 334 (1984): the cluster expansion.",
    "10.1016/0378-4371(84)90096-7",
)


MATGANIP = Source(
    "matganip",
    "J. Hu, M. Li and P. Gao, MATGANIP: Learning to Discover the Structure-Property Relationship in Perovskites with "
    "Generative Adversarial Networks, public repository j2hu/MATGANIP: the DFT energies behind the labels.",
)
CHGNET = Source(
    "chgnet",
    "B. Deng et al., Nature Machine Intelligence 5, 1031 (2023): CHGNet, behind the labels of cpx222 and abx3.",
    "10.1038/s42256-023-00716-3",
)
PEROV5 = (
    Source(
        "castelli-oxides",
        "I. E. Castelli et al., Energy & Environmental Science 5, 5814 (2012): oxides of perov5 and their DFT labels.",
    ),
    Source(
        "castelli-cubic",
        "I. E. Castelli et al., Energy & Environmental Science 5, 9034 (2012): the cubic perovskites of perov5; "
        "splits of the public repository txie-93/cdvae, labels of usnistgov/jarvis_leaderboard.",
    ),
)
#: Where the labels of the embedded datasets come from.
DATA = {"cpx321": (MATGANIP, CLUSTERS), "cpx222": (CHGNET,), "abx3": (CHGNET,), "perov5": PEROV5}


def sources(record: Record, *, mapped: bool) -> list[Source]:
    """What a report rests on, the data first; ``mapped`` where it has t-SNE maps."""
    comparison, studies = record.comparison, record.studies
    name = str(record.dataset.get("name", comparison.label["name"]))
    found = [*DATA.get(name, ()), BOOTSTRAP]
    if len(comparison.significance):
        found += [T_TEST, HOLM]
        if "rope" in comparison.significance:
            found += [EQUIVALENCE, REGION]
    if mapped:
        found += [TSNE, OPEN_TSNE, TRUST]
    if "family" in comparison.table and (comparison.table["family"] == "quantum").any():
        found += [FIDELITY, BANDWIDTH, PROJECTED, CONCENTRATION]
    if any(study.kind == "autoencoder" for study in studies):
        found.append(AUTOENCODER)
    if any("correlation" in str(name) for name in comparison.features):
        found.append(CLUSTERS)
    if any("cpx222" in study.title for study in studies):
        found.append(CHGNET)
    data = [Source(f"data-{number}", text) for number, text in enumerate(record.dataset.get("sources", ()), 1)]
    return [*dict.fromkeys(found), *data]
