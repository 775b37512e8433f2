"""CITATION.cff. Oracle: pyproject.toml, the manifests; `make test-packet` holds its schema."""

import tomllib

import yaml

from repro import paths
from repro.schema import validate
from repro.schema.paper import load


def test_it_cites_this_version_and_the_paper_of_the_manifests() -> None:
    cited = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"]
    assert cited["title"].startswith(project["name"])
    (paper,) = cited["references"]
    about = load()
    assert about
    names = [f"{each['given-names']} {each['family-names']}" for each in paper["authors"]]
    assert (paper["title"], tuple(names)) == (about.title, about.authors)
    assert {each.paper.id for each in validate.load_manifests([])} == {
        paper["doi"].removeprefix("10.48550/arXiv.")
    }
    assert paper["title"] in cited["title"]
