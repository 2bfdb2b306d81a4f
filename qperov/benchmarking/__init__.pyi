from .runs import benchmark as benchmark
from .tasks import BenchmarkTask as BenchmarkTask
from .tasks import Protocol as Protocol
from .tasks import read_protocol as read_protocol
from .verdict import Verdict as Verdict
