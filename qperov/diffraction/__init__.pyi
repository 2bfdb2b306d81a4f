from .measured import MeasuredPattern as MeasuredPattern
from .measured import strip_kalpha2 as strip_kalpha2
from .measured import subtract_background as subtract_background
from .measured_reading import read_measured_pattern as read_measured_pattern
from .measured_reading import read_scans as read_scans
from .patterns import Pattern as Pattern
from .patterns import powder_patterns as powder_patterns
