"""privrad: diagnostic models under differential privacy, from raw radiographs to a report."""
