"""Our supervoxels against those of the Point Cloud Library, where it can be built (Debian: apt install libpcl-dev cmake g++)."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from al3d.data.sources.folder import Folder
from al3d.geometry.vccs import vccs
from al3d.rng import generator
from al3d.world.rooms import make_room

HERE = Path(__file__).parent / "pcl"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SCANS = sorted((SHARED / "kitti_odometry_00" / "velodyne").glob("*.bin"))
OSD = SHARED / "osd"
REDAL_ROOMS, REDAL_SCANS, LIDAL = (0.5, 0.5, 0.0), (0.0, 1.0, 0.0), (0.1, 0.4, 1.0)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The comparison program, built in half a minute."""
    if not (shutil.which("cmake") and shutil.which("c++")):
        pytest.skip("cmake and a C++ compiler are needed to build the comparison program")
    build = tmp_path_factory.mktemp("pcl")
    configured = subprocess.run(["cmake", str(HERE)], cwd=build, capture_output=True, text=True)
    if configured.returncode and ("PCL_" in configured.stderr or "Eigen3" in configured.stderr):
        pytest.skip("PCL 1.13 is not installed (Debian: apt install libpcl-dev)")
    assert configured.returncode == 0, configured.stderr
    built = subprocess.run(["cmake", "--build", "."], cwd=build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return build / "supervoxels"


@pytest.fixture
def compared(program, tmp_path):
    """A function from a cloud (colours u8 0..255) and settings to PCL's labels and ours."""

    def both(xyz, rgb, voxel, seed, weights):
        np.concatenate([xyz, rgb], axis=1).astype(np.float32).tofile(tmp_path / "in")
        words = [program, tmp_path / "in", tmp_path / "out", voxel, seed, *weights]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        theirs = np.fromfile(tmp_path / "out", np.int32)
        assert len(theirs) == len(xyz) and len(np.unique(theirs)) > 20
        return theirs, vccs(xyz, (rgb / np.float32(255)).astype(np.float32), voxel, seed, *weights)

    return both


def furnished(index, points=60_000):
    _, cloud = make_room(1, index, points)
    xyz = (cloud.xyz - np.floor(cloud.xyz.min(axis=0))).astype(np.float32)
    return xyz, np.rint(cloud.color * 255).astype(np.uint8)


def scan(path):
    xyz = np.ascontiguousarray(np.fromfile(path, np.float32).reshape(-1, 4)[:, :3])
    return xyz, np.zeros(xyz.shape, np.uint8)


@pytest.mark.parametrize("weights", [REDAL_ROOMS, LIDAL], ids=["redal", "lidal"])
@pytest.mark.parametrize("index", range(8))
def test_rooms_have_the_labels_of_pcl(compared, index, weights):
    """Label for label: also the numbering is PCL's."""
    theirs, ours = compared(*furnished(index), 0.1, 1.0, weights)
    assert (theirs == ours).mean() >= 0.99


@pytest.mark.parametrize("name", ["learn_00", "learn_01", "test_31"])
@pytest.mark.parametrize("weights", [REDAL_ROOMS, LIDAL], ids=["redal", "lidal"])
def test_table_scenes_have_the_labels_of_pcl(compared, name, weights):
    if not OSD.is_dir():
        pytest.skip("the real table scenes are not here")
    scene, _ = Folder(OSD).read(name)
    theirs, ours = compared(scene.xyz, np.rint(scene.feat * 255).astype(np.uint8), 0.01, 0.1, weights)
    assert (theirs == ours).mean() >= 0.99


@pytest.mark.parametrize("weights", [REDAL_SCANS, LIDAL], ids=["redal", "lidal"])
@pytest.mark.parametrize("index", range(3))
def test_scans_have_the_regions_of_pcl(compared, index, weights):
    if index >= len(SCANS):
        pytest.skip("the real LiDAR scans are not here")
    theirs, ours = compared(*scan(SCANS[index]), 0.5, 10.0, weights)
    assert adjusted_rand_score(theirs, ours) >= 0.99
    assert (theirs == ours).mean() >= 0.99


def test_the_comparison_can_fail(compared):
    """Ten centimetres are not eleven, and PCL's labels follow the order of the points where ours do not."""
    xyz, rgb = furnished(0)
    theirs, _ = compared(xyz, rgb, 0.1, 1.0, REDAL_ROOMS)
    assert (vccs(xyz, (rgb / np.float32(255)).astype(np.float32), 0.11, 1.0, *REDAL_ROOMS) == theirs).mean() < 0.9
    order = generator("pcl order").permutation(len(xyz))
    shuffled, ours = compared(xyz[order], rgb[order], 0.1, 1.0, REDAL_ROOMS)
    assert adjusted_rand_score(shuffled, ours) >= 0.97
