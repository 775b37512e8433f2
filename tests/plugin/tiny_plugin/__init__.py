"""A plug-in, as somebody else's package would be: a kind of job, and a family of models."""
