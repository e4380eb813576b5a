"""The printed numbers are those of the specification's section 6, every one of them, and stand only beside the data they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from al3d.report.published import FOLDER, LEAST_POINTS, PAPERS, Value, curves_for, is_real, read, rows_for, values

METHODS = Path(__file__).resolve().parents[3] / "shared" / "methods.md"
CLASSES = [
    *("car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road", "parking", "sidewalk", "other-ground"),
    *("building", "fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign"),
]
ORDER = ("RAND", "MAR", "CONF", "ENT", "CSET", "SEGENT", "MCDR", "ReDAL")
Line = Mapping[str, str]


def lines(name: str, /, **columns: str) -> list[Line]:
    return [line for line in read(name) if all(line[key] == value for key, value in columns.items())]


def printed(found: Sequence[Line], column: str = "miou_percent") -> str:
    return " ".join(line[column] for line in found)


# The section, written again from the files: what is written here must stand there word by word.


def seedal() -> Iterator[str]:
    methods = {"rand": "RAND", "conf": "CONF", "margin": "MAR", "ent": "ENT", "CoreSet": "CSET", "MC-Drop": "MCDR", "SegEnt": "SEGENT", "ReDAL": "ReDAL"}
    for written, method in methods.items():
        for seed in ("random", "KMcentroid", "KMfurthest", "ReDAL seed", "SeedAL"):
            halves = [lines("seedal", dataset=dataset, method=method, seed=seed) for dataset in ("s3dis", "semantic_kitti")]
            cells = [f"{printed(half)} ({printed(half, 'std')})" if seed == "random" else printed(half) for half in halves]
            name = {"random": "random (std)" if method == "RAND" else "random", "ReDAL seed": "ReDAL seed (suspect, D-50)"}.get(seed, seed)
            name = name if method == "SEGENT" else name.removesuffix(" (suspect, D-50)")
            yield f"| {written if seed == 'random' else ''} | {name} | {cells[0]} | {cells[1]} |".replace("|  |", "| |")


def figure_5() -> Iterator[str]:
    for name, dataset in (("S3DIS", "s3dis"), ("SK", "semantic_kitti")):
        for network, written in (("SPVCNN", "SPVCNN"), ("MinkUNet", "MinkUNet (no MCDR)")):
            found = lines("redal", table="figure 5", dataset=dataset, network=network.lower())
            percents = list(dict.fromkeys(line["labelled_percent"] for line in found))
            of_percent = [[line for method in ORDER for line in found if (line["method"], line["labelled_percent"]) == (method, one)] for one in percents]
            heads = ["init", *(f"{percent}:" for percent in percents[1:])]
            yield f"{name} {written}: " + " | ".join(f"{head} {printed(row)}" for head, row in zip(heads, of_percent, strict=True))


def classes_of(table: str, method: str) -> str:
    found = lines("other", paper="redal", table=table, method=method)
    assert [line["item"] for line in found] == CLASSES
    return printed(found, "value")


def redal_classes() -> Iterator[str]:
    whole = {method: lines("redal", table="supplementary table 7", method=method)[0]["miou_percent"] for method in ("full supervision", "RAND", "ReDAL")}
    of = {method: f"{mean}: {classes_of('supplementary table 7', method)}" for method, mean in whole.items()}
    yield f"SK MinkUNet per class at 5 % (19-class order of 3.6): Full {of['full supervision']}; RAND {of['RAND']}; ReDAL {of['ReDAL']}."
    shares = {method: classes_of("class shares", method) for method in ("full supervision", "ReDAL")}
    yield f"Labelled class share (per mille, same order): Full {shares['full supervision']}; ReDAL {shares['ReDAL']}."
    below = {line["dataset"]: line["value"] for line in lines("other", paper="redal", table="text")}
    rooms = lines("other", table="toy figure")[0]["value"]
    yield (
        f"Claim: 90 % of full supervision with <{below['s3dis']} % (S3DIS), <{below['semantic_kitti']} % (SK). "
        f"Toy figure: 20 fully labelled rooms = {rooms} M points."
    )


def hpal() -> Iterator[str]:
    def one(table: str, method: str, **more: str) -> str:
        return printed(lines("hpal", table=table, method=method, **more))

    alone, table = "active learning alone", "table 5"
    tests = {test: "comparison on the test split" if test else "comparison" for test in (False, True)}
    full = {test: one(tests[test], "full supervision", dataset="scannet") for test in tests}
    of = {method: one(alone, method) for method in ("RAND", "ENT", "CONF", "MMU", "HPAL")}
    yield (
        f"AL only, 0.1 %: Random {of['RAND']}, Entropy {of['ENT']}, LC {of['CONF']}, MMU {of['MMU']}, HPAL {of['HPAL']}. "
        f"Full supervision {one('comparison', 'full supervision', dataset='s3dis')} (ScanNet val/test {full[False]}/{full[True]})."
    )
    yield (
        f"Components: base MMU {one(table, 'MMU')}; HMMU {one(table, 'HMMU')}; FDS {one(table, 'MMU + FDS')}; TS {one(table, 'MMU + TS')}; "
        f"HMMU+FDS {one(table, 'HMMU + FDS')}; all {one(table, 'HMMU + FDS + TS')}."
    )
    levels = {name: one("table 6", f"PL{f' + {name}' if name else ''}") for name in ("", "VL1", "VL2", "VL3", "VL1,2", "VL1,2,3")}
    yield (
        f"HMMU layers (FDS on), rounds 1-5: PL {levels['']}; "
        + "; ".join(f"+{name} {found}" for name, found in levels.items() if name)
        + f"; 4 levels (weight .001) {one('table 6', 'PL + VL1,2,3,4 (.001)')}, (weight .0001) {one('table 6', 'PL + VL1,2,3,4 (.0001)')}."
    )
    radii = [(line["method"], line["miou_percent"]) for line in lines("hpal", table="table 7")]
    yield "FDS (r cm, tau) final: " + "; ".join(f"{100 * float(name[:3]):.0f}/{name.split(', 0')[1]} {value}" for name, value in radii) + "."
    budgets = lines("hpal", table="comparison", dataset="s3dis", method="HPAL")
    rooms = ", ".join(f"{line['labelled_percent']} % {line['miou_percent']}" for line in budgets)
    scenes = [
        f"{written} {'/'.join(one(tests[test], method, dataset='scannet') for test in tests)}"
        for written, method in (("0.1 %", "HPAL"), ("120 pts", "HPAL, 120 points a scene"), ("20 pts", "HPAL, 20 points a scene"))
    ]
    yield f"With TS: S3DIS {rooms}. ScanNet val/test: {'; '.join(scenes)}."
    gain = {line["method"]: (line["value"], line["note"].rsplit(" ", 1)[-1]) for line in lines("other", paper="hpal", table="text")}
    hmmu, fds, random = (gain[name] for name in ("HMMU over MMU", "FDS over HMMU", "HPAL over random"))
    yield (
        f"Text/table mismatches (D-51): text HMMU over MMU about +{hmmu[0]} (table {hmmu[1]}), FDS over HMMU +{fds[0]} (table {fds[1]}), "
        f"over random +{random[0]} (table {random[1]})."
    )


def basal() -> Iterator[str]:
    doubt = " (identical to RAND: printing error, D-52)"
    for name, dataset in (("SK", "semantic_kitti"), ("NU", "nuscenes")):
        for network in ("SPVCNN", "MinkUNet"):
            found = {
                line["method"]: lines("basal", dataset=dataset, network=network.lower(), table="curves", method=line["method"])
                for line in lines("basal", table="curves")
            }
            cells = [
                f"{'SEGMENT' if method == 'SEGENT' else method} {printed(row)}{doubt if 'D-52' in row[0]['note'] else ''}" for method, row in found.items()
            ]
            yield f"{name} {network}: " + "; ".join(cells)
    steps = {line["method"]: line["miou_percent"] for line in lines("basal", table="ablation")}
    first, *others = steps.items()
    yield f"Ablation at 5 % (SK; increments stated in text): cold start random {first[1]}; " + "; ".join(f"{name} {value}" for name, value in others) + "."
    parts: dict[str, list[str]] = {}
    for line in lines("other", table="table I"):
        parts.setdefault(line["item"], []).append(line["value"])
    shown = (
        ", ".join(f"{name} {'/'.join(parts[name])}" for name in ("person", "car", "motorcycle", "road")).replace("/.1", "/0.1").replace("road .1", "road 0.1")
    )
    yield f"Class share of SK points per partition (Table I, %): e.g. {shown} for small/medium/large/ground"
    yield "Full Table I (column % over small/medium/large/ground): " + "; ".join(f"{name} {' '.join(row)}" for name, row in parts.items()) + "."
    rare = {method: printed(lines("other", table="rare classes", method=method), "value") for method in ("RAND", "ReDAL", "full supervision", "BaSAL")}
    yield (
        "Rare classes (Mink): bicycle, motorcycle, person, bicyclist, motorcyclist: "
        + "; ".join(f"{'full' if method == 'full supervision' else method} {found}" for method, found in rare.items())
        + "."
    )


@pytest.fixture(scope="module")
def section() -> str:
    if not METHODS.is_file():
        pytest.skip("the specification with the papers' numbers is not here")
    text = METHODS.read_text(encoding="utf-8")
    return text[text.index("# 6. TARGET NUMBERS") : text.index("# 7. OFFICIAL FILE FORMATS")]


def test_every_number_of_the_section_is_in_the_files(section: str) -> None:
    """Written again from the files, each line stands in the section, and nothing with a digit is left over."""
    left = section
    for written in (*seedal(), *figure_5(), *redal_classes(), *hpal(), *basal()):
        assert left.count(written) == 1, f"the section does not say, or says twice: {written}"
        left = left.replace(written, "")
    for heading in (r"# 6\. TARGET.*", r"## 6\.\d .*", r"D-50: the SegEnt .* all 8 cells .*", r"S3DIS"):
        left = re.sub(heading, "", left)
    assert re.findall(r".*\d.*", left) == []


def test_the_register_s_other_numbers_are_in_the_files(section: str) -> None:
    register = METHODS.read_text(encoding="utf-8")
    gain = {line["method"]: (line["value"], line["note"].rsplit(" ", 1)[-1]) for line in lines("other", paper="hpal", table="text")}
    assert (
        f"MMU over random +{gain['MMU over random'][0]} in text, {gain['MMU over random'][1]} in the table; TS +{gain['TS'][0]} in text, {gain['TS'][1]}"
        in register
    )
    pairs = [(line["value"], re.sub(r"D-61: supplementary table 7 prints ", "", line["note"])) for line in lines("other", table="table 1")]
    row = next(line for line in register.splitlines() if line.startswith("| D-61"))
    first, second = ([float(number) for number in re.findall(r"\d\d\.\d", cell)] for cell in row.split("|")[3:5])
    assert sorted(zip(first, second, strict=True)) == sorted((float(one), float(other)) for one, other in pairs) and len(pairs) == 4


def test_what_the_text_gains_is_not_what_the_table_gains() -> None:
    """D-51: the differences in the notes are those of the printed values."""
    of = {(value.table, value.method): value.miou_percent for value in values() if value.paper == "hpal" and value.dataset == "s3dis"}
    five, alone = "table 5", "active learning alone"
    gains = {
        "HMMU over MMU": of[five, "HMMU"] - of[five, "MMU"],
        "FDS over HMMU": of[five, "HMMU + FDS"] - of[five, "HMMU"],
        "HPAL over random": of[alone, "HPAL"] - of[alone, "RAND"],
        "MMU over random": of[alone, "MMU"] - of[alone, "RAND"],
        "TS": of[five, "HMMU + FDS + TS"] - of[five, "HMMU + FDS"],
    }
    for line in lines("other", paper="hpal", table="text"):
        stated = float(line["note"].rsplit("+", 1)[-1])
        assert gains[line["method"]] == pytest.approx(stated, abs=0.051) and abs(float(line["value"]) - stated) > 0.5


def test_suspect_rows_are_marked_and_printed() -> None:
    suspect = [value for value in values() if value.suspect]
    assert {(value.paper, value.dataset, value.network, value.seed, value.method) for value in suspect} == {
        *(("seedal", dataset, "spvcnn", "ReDAL seed", "SEGENT") for dataset in ("s3dis", "semantic_kitti")),
        ("basal", "semantic_kitti", "minkunet", "random", "LiDAL"),
    }
    for value in suspect:
        other = {"SEGENT": "ReDAL", "LiDAL": "RAND"}[value.method]
        twin = rows_for(value.dataset, paper=value.paper, table=value.table, network=value.network, seed=value.seed, method=other)
        assert value.miou_percent in [row.miou_percent for row in twin if row.labelled_percent == value.labelled_percent]


def test_values_are_percentages_with_their_place() -> None:
    assert len(values()) == sum(len(read(paper)) for paper in PAPERS) > 700
    keys = [(value.paper, value.table, value.dataset, value.network, value.seed, value.method, value.labelled_percent) for value in values()]
    assert len(set(keys)) == len(keys)
    assert all(10 < value.miou_percent < 80 and (value.std is None or 0 < value.std < 6) for value in values())
    assert {value.dataset for value in values()} == set(LEAST_POINTS) and {value.network for value in values()} == {"spvcnn", "minkunet"}
    assert {path.stem for path in FOLDER.glob("*.csv")} == {*PAPERS, "other"}


def test_rows_are_found_by_their_columns() -> None:
    curve = rows_for("s3dis", paper="redal", table="figure 5", network="spvcnn", method="ReDAL")
    assert [(row.labelled_percent, row.miou_percent) for row in curve][::3] == [(3.0, 27.86), (9.0, 52.34), (15.0, 57.97)] and len(curve) == 7
    assert rows_for("s3dis_processed", paper="redal", table="figure 5", network="spvcnn", method="ReDAL") == curve
    assert rows_for("rooms") == [] and len(rows_for("nuscenes")) == 90
    with pytest.raises(ValueError, match="no column net: choose among paper, table, dataset"):
        rows_for("s3dis", net="spvcnn")


def identity(dataset: str, net: str, acquire: str, unit: str, seed: str = "random", learner: str = "segmenter.Segmenter") -> dict[str, Any]:
    return {
        "dataset": {"name": dataset},
        "net": {"_target_": f"al3d.nets.{net.lower()}.{net}"},
        "acquire": {"name": acquire, "unit": {"_target_": f"al3d.units.{unit}.Unit"}},
        "seed": {"name": seed},
        "learner": {"_target_": f"al3d.learn.{learner}"},
    }


REAL = {"s3dis": 195_000_000, "scannet": 50_000_000, "semantic_kitti": 2_349_559_532, "nuscenes": 976_677_792}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (("s3dis", "MinkUNet", "redal", "supervoxel"), {"ReDAL's paper: ReDAL": (7, 57.26)}),
        (("s3dis", "SPVCNN", "entropy", "scene", "kmfurthest"), {"ReDAL's paper: ENT": (7, 45.06), "SeedAL's paper: ENT": (4, 41.1)}),
        (("semantic_kitti", "SPVCNN", "lidal", "kmeans_region"), {"BaSAL's paper: LiDAL": (5, 59.5)}),
        (("nuscenes", "MinkUNet", "basal", "clusters", "basal"), {"BaSAL's paper: BaSAL": (5, 67.3)}),
        (("s3dis", "MinkUNet", "hpal", "point"), {"HPAL's paper: PL + VL1,2,3": (4, 59.29)}),
        (("s3dis", "MinkUNet", "random", "point"), {"HPAL's paper: RAND": (1, 54.7)}),
        (("s3dis", "MinkUNet", "hpal", "point", "random", "mean_teacher.MeanTeacher"), {"HPAL's paper: HMMU + FDS + TS": (1, 62.26)}),
        (("scannet", "MinkUNet", "hpal", "point", "random", "mean_teacher.MeanTeacher"), {"HPAL's paper: HPAL": (1, 69.9)}),
        (("s3dis", "SPVCNN", "entropy", "supervoxel"), {}),
        (("s3dis", "MinkUNet", "mc_dropout", "scene"), {}),
        (("s3dis", "MinkUNet", "redal", "supervoxel", "random", "mean_teacher.MeanTeacher"), {}),
        (("nuscenes", "SPVCNN", "badge", "supervoxel"), {}),
    ],
)
def test_a_chart_gets_the_curves_of_its_setting(setting: tuple[str, ...], expected: dict[str, tuple[int, float]]) -> None:
    curves = curves_for(identity(*setting), REAL[setting[0]])
    assert {name: (len(curve), curve[-1][1]) for name, curve in curves.items()} == expected
    assert all(curve == sorted(curve) for curve in curves.values())


def test_nothing_published_stands_over_generated_data() -> None:
    for dataset, points in REAL.items():
        assert is_real(dataset, points) and not is_real(dataset, 2_000_000)
    assert not is_real("rooms", 10**10) and is_real("s3dis_processed", 13_000_000)
    assert curves_for(identity("s3dis", "SPVCNN", "redal", "supervoxel"), 800_000) == {}
    assert curves_for({"dataset": {"name": "rooms"}}, 10**9) == {}


def test_a_value_says_when_it_is_doubted() -> None:
    plain = Value("p", "t", "d", "n", "s", "m", 1.0, 50.0, None, "")
    assert not plain.suspect and not Value(*[getattr(plain, name) for name in list(Value.__dataclass_fields__)[:-1]], "D-51: other").suspect
