from .label_factory import label_dataset as label_dataset
from .label_factory import relaxed_dataset as relaxed_dataset
from .protocols import Protocol as Protocol
from .relaxation import relax as relax
