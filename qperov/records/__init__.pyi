from .record import Record as Record
from .record import read_record as read_record
from .study import Chart as Chart
from .study import Reference as Reference
from .study import Study as Study
from .writing import write_record as write_record
