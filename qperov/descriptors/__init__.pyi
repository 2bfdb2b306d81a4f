from .featurizer import PXRDFeaturizer as PXRDFeaturizer
from .rank_pca import RankPCA as RankPCA
