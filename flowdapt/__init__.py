"""flowdapt runs machine-learning workflows from the terminal."""

__version__ = "0.2.0"
