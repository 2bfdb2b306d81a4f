"""Reports: figures, maps and one self-contained page, all from a record alone."""

from qperov.reports.figures.style import draw_parity, draw_scores
from qperov.reports.html import build_report
from qperov.reports.maps.drawing import draw_map
from qperov.reports.maps.embedding import DescriptorMap, embed, map_descriptor
from qperov.reports.maps.kernel_maps import KernelMap, kernel_distances, map_kernel

__all__ = [
    "DescriptorMap",
    "KernelMap",
    "build_report",
    "draw_map",
    "draw_parity",
    "draw_scores",
    "embed",
    "kernel_distances",
    "map_descriptor",
    "map_kernel",
]
