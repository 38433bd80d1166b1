"""Benchmarks of the environments in a portable unit: copies of one frame, measured in the same run."""

from vlm_gym.bench.report import bench_tables, from_json, to_json
from vlm_gym.bench.rows import BenchRow, measure, measure_all

__all__ = ["BenchRow", "bench_tables", "from_json", "measure", "measure_all", "to_json"]
