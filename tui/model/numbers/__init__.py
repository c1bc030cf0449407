"""Values of one tensor, read when they are asked for: statistics, histogram, first elements, a matrix as a picture."""
