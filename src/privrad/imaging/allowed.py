"""The elements of a DICOM file that privrad reads, each with what it is for; every other is passed over unread."""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword

META = {
    "TransferSyntaxUID": "how the file is encoded",
    "MediaStorageSOPClassUID": "what the file holds, where it is said nowhere else",
}
"""Of the file meta information; without the name of the machine that sent the file, or the file's own identifier."""

_PIXELS = {
    "SamplesPerPixel": "grey or colours",
    "PhotometricInterpretation": "whether low values are bright; which colours",
    "NumberOfFrames": "one picture or several",
    "Rows": "the size of the picture",
    "Columns": "the size of the picture",
    "BitsAllocated": "how pixels are stored",
    "BitsStored": "how pixels are stored",
    "HighBit": "how pixels are stored",
    "PixelRepresentation": "how pixels are stored",
    "PlanarConfiguration": "how colours are stored",
    "PixelPaddingValue": "which pixels are no part of the picture",
    "PixelPaddingRangeLimit": "which pixels are no part of the picture",
    "RescaleSlope": "from stored values to those of the modality",
    "RescaleIntercept": "from stored values to those of the modality",
    "ModalityLUTSequence": "the same as a table",
}
_ASIDE = {
    "SOPClassUID": "what the file holds: a picture as it was taken, or a captured screen or a document",
    "Modality": "what made the picture",
    "ConversionType": "whether it was scanned or captured, and may show names",
    "BurnedInAnnotation": "whether it shows names",
    "ImageType": "whether it is a captured screen; of CT, whether a slice or an overview, a projection",
}
RADIOGRAPH = {
    **_ASIDE,
    **_PIXELS,
    "WindowCenter": "which values matter",
    "WindowWidth": "which values matter",
    "VOILUTFunction": "which values matter",
    "VOILUTSequence": "the same as a table",
    "PresentationLUTShape": "whether low values are bright",
    "RedPaletteColorLookupTableDescriptor": "the grey that a stored index stands for",
    "GreenPaletteColorLookupTableDescriptor": "the grey that a stored index stands for",
    "BluePaletteColorLookupTableDescriptor": "the grey that a stored index stands for",
    "RedPaletteColorLookupTableData": "the grey that a stored index stands for",
    "GreenPaletteColorLookupTableData": "the grey that a stored index stands for",
    "BluePaletteColorLookupTableData": "the grey that a stored index stands for",
}
SLICE = {
    **_ASIDE,
    **_PIXELS,
    "SeriesInstanceUID": "which slices belong together",
    "SeriesNumber": "which of several series is meant, when one has to be chosen",
    "FrameOfReferenceUID": "whether places can be compared",
    "AcquisitionNumber": "whether two phases lie one between the other",
    "ImagePositionPatient": "where the slice lies",
    "ImageOrientationPatient": "which way it lies",
    "PixelSpacing": "the size of its pixels",
    "RescaleType": "whether values are Hounsfield units",
}
TABLE = {"LUTDescriptor": "the form of a table", "LUTData": "the entries of a table"}
"""Of the items of ModalityLUTSequence and VOILUTSequence, the only sequences that are read."""
PIXELS = {
    "FloatPixelData": "the pixels",
    "DoubleFloatPixelData": "the pixels",
    "PixelData": "the pixels",
}


def tags(keywords: dict[str, str]) -> frozenset[int]:
    """The tags of elements given by keyword."""
    found = {keyword: tag_for_keyword(keyword) for keyword in keywords}
    return frozenset(tag for tag in found.values() if tag is not None)
