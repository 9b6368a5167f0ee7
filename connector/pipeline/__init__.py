"""From a notice to a message: the stages, each safe to run twice."""
