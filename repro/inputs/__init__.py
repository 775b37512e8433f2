"""What a job reads, found on this machine and held to its digest.

In: names of the catalog, folders and files that the user gave, `results/pins.json`. Out: a
`Located` with a SHA-256 for each file, or a `Missing` that says how to bring it (`located`).
`locate` decides which; `hub` pins what the model hub has. Nothing is fetched here but by `hub`.
"""
