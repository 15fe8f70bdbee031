"""What every room shares: errors, types, tree algebra, chunking, precision, devices."""
