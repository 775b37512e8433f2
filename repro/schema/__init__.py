"""What a paper, a manifest, a claim and a job may say.

In: JSON that people write (`manifests/`, `catalog/`). Out: frozen models of which every name that
they use is known to exist, or one message with every mistake and its place. `manifest` has the
whole file, `jobs` what is run, `claims` what is claimed, `slots` which job fills which place of a
table, `validate` what matches the schema and still makes no sense.
"""
