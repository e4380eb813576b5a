"""What the command takes; apart from the rest, so that asking for help loads nothing."""

USAGE = """usage: python predict.py run=RUN (scans=FILE|FOLDER|PATTERN or split=test) out=FOLDER [options]
  run=             the run's folder, such as outputs/rooms-minkunet-...
  scans=           a scan, a folder of scans, or a pattern such as '/path/**/*.ply' (PLY LAS LAZ PCD NPZ BIN, nuScenes' .pcd.bin)
  split=           instead of scans: a split of the run's own data set, such as test
  out=             where the labelled scans go; finished ones are skipped when the command is run again
  format=same      same | ply | las | laz | label | npz | submission (ScanNet, SemanticKITTI)
  round=null       the round whose network labels; null: the last finished one
  probabilities=false  true: the probability of every class, too (ply, las, laz, npz)
  colours=scan     scan | class: PLY files show the classes' colours instead of the scan's
  field=classification  classification | label: where LAS and LAZ files keep the class; label is an extra dimension
  overwrite=false  true: label again what is there
  root=null        where the run's data set is now, if it was moved
  tile_voxels=400000  voxels that the network sees at once; null: whole scans
  tile_halo=96     voxels around a tile that it sees, too
  device=auto      auto | cpu | cuda
  threads=null     threads of this process"""
