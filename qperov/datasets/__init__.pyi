from .dataset import CrystalDataset as CrystalDataset
from .film_simulation import simulated_films as simulated_films
from .lookup import load_dataset as load_dataset
from .pattern_dataset import PatternDataset as PatternDataset
from .reading import read as read
from .store import Store as Store
