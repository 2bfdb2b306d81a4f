from .dataset import CrystalDataset as CrystalDataset
from .lookup import load_dataset as load_dataset
from .pattern_dataset import PatternDataset as PatternDataset
from .reading import read as read
from .store import Store as Store
