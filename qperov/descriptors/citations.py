"""Where each kind of feature comes from, as BibTeX."""

from __future__ import annotations

PYMATGEN = (
    "@article{Ong2013, author = {Ong, Shyue Ping and Richards, William Davidson and Jain, Anubhav and Hautier, "
    "Geoffroy and Kocher, Michael and Cholia, Shreyas and Gunter, Dan and Chevrier, Vincent L. and "
    "Persson, Kristin A. and Ceder, Gerbrand}, title = {Python Materials Genomics (pymatgen): A robust, "
    "open-source python library for materials analysis}, "
    "journal = {Computational Materials Science}, volume = {68}, pages = {314--319}, "
    "year = {2013}, doi = {10.1016/j.commatsci.2012.10.028}}"
)
PEAK_SHAPES = (
    "@article{Thompson1987, author = {Thompson, P. and Cox, D. E. and Hastings, J. B.}, title = {Rietveld refinement "
    "of Debye-Scherrer synchrotron X-ray data from Al2O3}, journal = {Journal of Applied Crystallography}, "
    "volume = {20}, pages = {79--83}, year = {1987}, doi = {10.1107/S0021889887087090}}"
)
MATGANIP = (
    "@misc{HuMATGANIP, author = {Hu, Junjie and Li, Mu and Gao, Peng}, title = {MATGANIP: Learning to Discover the "
    "Structure-Property Relationship in Perovskites with Generative Adversarial Networks}}"
)
MIXED_ANIONS = (
    "@misc{HuMixedAnions, author = {Hu, Jun-Jie and Zhang, Zhe-Yong and Zhao, Guo-Xiang and Li, Qiao-Hong and "
    "Gao, Peng and Sa, Rong-Jian}, title = {Data-Driven Generation of Mixed X-Anion Perovskites Properties}}"
)
CLUSTER_EXPANSION = (
    "@article{Sanchez1984, author = {Sanchez, J. M. and Ducastelle, F. and Gratias, D.}, title = {Generalized cluster "
    "description of multicomponent systems}, journal = {Physica A}, volume = {128}, pages = {334--350}, "
    "year = {1984}, doi = {10.1016/0378-4371(84)90096-7}}"
)

#: kind of PXRDFeaturizer → BibTeX entries.
SOURCES: dict[str, tuple[str, ...]] = {
    "pattern": (PYMATGEN,),
    "profile": (PYMATGEN, PEAK_SHAPES),
    "structure_factors": (PYMATGEN,),
    "gram": (PYMATGEN, MATGANIP),
    "matganip": (PYMATGEN, MATGANIP),
    "difference_gram": (PYMATGEN, MIXED_ANIONS),
    "qsvr": (PYMATGEN, MIXED_ANIONS),
    "autoencoder": (PYMATGEN, MIXED_ANIONS),
    "degree": (PYMATGEN, MIXED_ANIONS),
    "adjacency": (PYMATGEN, MIXED_ANIONS),
    "laplacian": (PYMATGEN, MIXED_ANIONS),
    "correlations": (CLUSTER_EXPANSION,),
    "trans_pairs": (CLUSTER_EXPANSION,),
    "pair_shells": (CLUSTER_EXPANSION,),
}
