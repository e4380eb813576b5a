"""Which places of ScanNetV2 the official splits of the benchmark give to training, validation and the hidden test."""

from __future__ import annotations

#: Places 0..706 were scanned for training and validation, the rest for the test.
TRAIN_VAL, ALL = 707, 807
#: Every scan of these places is for validation (312 scans).
VAL_PLACES = (
    11, 15, 19, 25, 30, 46, 50, 63, 64, 77, 81, 84, 86, 88, 95, 100, 131, 139, 144, 146, 149, 153, 164, 169, 187, 193, 196, 203, 207, 208, 217, 221,
    222, 231, 246, 249, 251, 256, 257, 277, 278, 300, 304, 307, 314, 316, 328, 329, 334, 338, 342, 343, 351, 353, 354, 355, 356, 357, 377, 378, 382,
    389, 406, 412, 414, 423, 426, 427, 430, 432, 435, 441, 458, 461, 462, 474, 488, 490, 494, 496, 500, 518, 527, 535, 549, 550, 552, 553, 558, 559,
    565, 568, 574, 575, 578, 580, 583, 591, 593, 595, 598, 599, 606, 607, 608, 609, 616, 618, 621, 629, 633, 643, 644, 645, 647, 648, 651, 652, 653,
    655, 658, 660, 663, 664, 665, 670, 671, 678, 684, 685, 686, 689, 690, 693, 695, 696, 697, 699, 700, 701, 702, 704,
)  # fmt: skip


def split_of(place: int) -> str:
    """The official split (train, val or test) of all scans of a place, the first number of a scene id."""
    if place >= TRAIN_VAL:
        return "test"
    return "val" if place in _VAL else "train"


_VAL = frozenset(VAL_PLACES)
