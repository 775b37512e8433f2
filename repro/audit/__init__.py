"""The environment against the pins.

In: installed packages, the lock, in an image also what the image was built as. Out: every package
and file that is not as pinned (`audit`), how two environments differ and which claims that can
touch (`compare`), a bill of materials (`sbom`).
"""
