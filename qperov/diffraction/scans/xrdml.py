"""PANalytical's xrdml files, of one scan or several."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from qperov.diffraction.scans.scan import Scan
from qperov.errors import FileFormatError, ReadingError


def parse_xml(file: Path, text: str) -> ElementTree.Element:
    """The root of an XML text, names without their spaces.

    Raises
    ------
    FileFormatError
        If it is damaged, or has a document type, which could make it grow without bound.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFormatError(file, "an xml file with a document type, which no xrdml file has")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise FileFormatError(file, f"damaged xml: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    return root


def read_xrdml(file: Path, text: str) -> list[Scan | ReadingError]:
    """All scans of an xrdml file; the wavelengths are told in the words of its csv export."""
    root = parse_xml(file, text)
    words = {"kAlpha1": "Alpha1", "kAlpha2": "Alpha2", "ratioKAlpha2KAlpha1": "Ratio"}
    found: list[Scan | ReadingError] = []
    for measurement in root.iter("xrdMeasurement"):
        told = [f"{word} = {value}" for tag, word in words.items() if (value := measurement.findtext(f".//{tag}"))]
        for scan in measurement.iter("scan"):
            try:
                found.append(_scan(file, scan, "\n".join(told)))
            except ReadingError as error:
                found.append(error)
    if not found:
        raise FileFormatError(file, "no scan in it; export the scan again")
    return found


def _scan(file: Path, scan: ElementTree.Element, header: str) -> Scan:
    axis = next((a for a in scan.iter("positions") if a.get("axis") == "2Theta"), None)
    values = [found for tag in ("intensities", "counts") for found in scan.iter(tag)]
    if axis is None or not values:
        raise FileFormatError(file, "no scan over 2θ with intensities in it")
    try:
        counts = np.array((values[0].text or "").split(), dtype=float)
        listed = axis.findtext("listPositions")
        if listed is not None:
            angles = np.array(listed.split(), dtype=float)
        else:
            first, last = (float(axis.findtext(tag, "nan")) for tag in ("startPosition", "endPosition"))
            angles = np.linspace(first, last, len(counts))
        if values[0].tag == "counts":  # as received; <intensities> are multiplied by the attenuation already
            factors = next(scan.iter("beamAttenuationFactors"), next(scan.iter("commonBeamAttenuationFactor"), None))
            if factors is not None:
                counts = counts * np.array((factors.text or "").split(), dtype=float)
    except ValueError as error:
        raise FileFormatError(file, f"damaged: {error}") from error
    unit = {"counts": "counts", "cps": "counts/s"}.get((values[0].get("unit") or "").lower())
    return Scan(angles, counts, header, (), unit, scan.get("scanAxis"))
