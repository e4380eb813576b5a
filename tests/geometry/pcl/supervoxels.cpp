// Supervoxel labels by the Point Cloud Library, for comparison.
//
// supervoxels IN OUT VOXEL SEED COLOUR SPATIAL NORMAL
// IN:  float32 rows of x y z red green blue (metres, 0..255)
// OUT: int32, the label of every row, 0 where no supervoxel came
// Prints the seconds that the library took, and how many supervoxels it found.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <vector>

#include <pcl/point_cloud.h>
#include <pcl/point_types.h>
#include <pcl/segmentation/supervoxel_clustering.h>

using Point = pcl::PointXYZRGBA;

static pcl::PointCloud<Point>::Ptr read_cloud(const char *path)
{
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file)
    return nullptr;
  std::vector<float> rows(static_cast<std::size_t>(file.tellg()) / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char *>(rows.data()), static_cast<std::streamsize>(rows.size() * sizeof(float)));
  pcl::PointCloud<Point>::Ptr cloud(new pcl::PointCloud<Point>);
  cloud->reserve(rows.size() / 6);
  for (std::size_t i = 0; i + 5 < rows.size(); i += 6) {
    Point point;
    point.x = rows[i];
    point.y = rows[i + 1];
    point.z = rows[i + 2];
    point.r = static_cast<std::uint8_t>(rows[i + 3]);
    point.g = static_cast<std::uint8_t>(rows[i + 4]);
    point.b = static_cast<std::uint8_t>(rows[i + 5]);
    point.a = 255;
    cloud->push_back(point);
  }
  return cloud;
}

int main(int count, char **words)
{
  if (count != 8) {
    std::cerr << "usage: supervoxels IN OUT VOXEL SEED COLOUR SPATIAL NORMAL\n";
    return 2;
  }
  const auto cloud = read_cloud(words[1]);
  if (!cloud || cloud->empty()) {
    std::cerr << words[1] << ": no points\n";
    return 1;
  }
  const auto started = std::chrono::steady_clock::now();
  pcl::SupervoxelClustering<Point> clustering(std::strtof(words[3], nullptr), std::strtof(words[4], nullptr));
  clustering.setUseSingleCameraTransform(false);
  clustering.setInputCloud(cloud);
  clustering.setColorImportance(std::strtof(words[5], nullptr));
  clustering.setSpatialImportance(std::strtof(words[6], nullptr));
  clustering.setNormalImportance(std::strtof(words[7], nullptr));
  std::map<std::uint32_t, pcl::Supervoxel<Point>::Ptr> supervoxels;
  clustering.extract(supervoxels);
  const auto labelled = clustering.getLabeledCloud();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;

  std::vector<std::int32_t> labels;
  labels.reserve(labelled->size());
  for (const auto &point : *labelled)
    labels.push_back(static_cast<std::int32_t>(point.label));
  std::ofstream file(words[2], std::ios::binary);
  file.write(reinterpret_cast<const char *>(labels.data()), static_cast<std::streamsize>(labels.size() * sizeof(std::int32_t)));
  std::cout << seconds.count() << " " << supervoxels.size() << "\n";
  return file ? 0 : 1;
}
