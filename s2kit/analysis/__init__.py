"""From the cube to results: masks, indices, statistics, composites, classes, local data."""
