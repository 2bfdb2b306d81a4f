from .comparison import compare as compare
from .learning_curves import learning_curve as learning_curve
from .progress import Progress as Progress
from .results import Comparison as Comparison
