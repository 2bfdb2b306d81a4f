from .dataset import CrystalDataset as CrystalDataset
from .named import load_dataset as load_dataset
from .reading import read as read
from .store import Store as Store
