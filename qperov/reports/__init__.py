"""Reports: figures, maps and one self-contained page, all from a record alone."""

from qperov.reports.figures import draw_parity, draw_scores
from qperov.reports.html import build_report
from qperov.reports.maps import DescriptorMap, draw_map, embed, map_descriptor

__all__ = ["DescriptorMap", "build_report", "draw_map", "draw_parity", "draw_scores", "embed", "map_descriptor"]
