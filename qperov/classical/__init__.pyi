from .cnn import CNNRegressor as CNNRegressor
from .gan import WSPGAN as WSPGAN
from .pattern_network import PatternNetwork as PatternNetwork
