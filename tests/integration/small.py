"""Small data sets that several tests of the whole loop use."""

#: Two training drives of six frames, for what needs a LiDAR scanner.
STREET = (
    "dataset=street",
    "dataset.source.drives=3",
    "dataset.source.frames=6",
    "dataset.source.columns=160",
    "+dataset.source.n_jobs=1",
    "dataset.scale.voxel=0.4",
)
