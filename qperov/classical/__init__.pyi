from .cnn import CNNRegressor as CNNRegressor
from .gan import WSPGAN as WSPGAN
