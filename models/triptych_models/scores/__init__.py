"""What a bundle scores on labelled data, in each of its precisions, and how it says so."""
