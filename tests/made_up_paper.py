"""A paper of a few sentences and a table, to find numbers in."""


def made_up_paper(**parts: str) -> str:
    """A text with every heading that is read, and some that are not, around given parts."""
    headings = {
        "abstract": "Abstract",
        **{number: f"{number} Some title" for number in "123456"},
        "references": "References",
        **{letter: f"{letter} Some title" for letter in "ABCDEF"},
    }
    blocks = ["A paper about 7 things"]
    for name, heading in headings.items():
        blocks += [heading, parts.get(name, "Nothing is counted here.")]
    return "\n\n".join(blocks) + "\n"
