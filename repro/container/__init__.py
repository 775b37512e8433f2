"""The image: building it and running the command line in it.

In: the Dockerfile and a container engine, or inside the image the steps that the Dockerfile takes
(`steps`). Out: an image with its own lock, and the exit code of what ran in it.
"""
