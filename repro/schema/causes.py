"""Why a finding is what it is, as data: a code with its values, and the sentence of each code.

`verify` names codes and never words; every page, table and line of text says a cause through `say`.
A new code is a line here; a test holds that every code is used and every value said.
"""

from collections.abc import Iterable, Mapping

from pydantic import Field

from repro.schema.base import Frozen

Value = str | int | float


class Cause(Frozen):
    """One reason of a finding, or one step of its working."""

    code: str
    """Key of `SENTENCES`."""
    values: Mapping[str, Value] = Field(default_factory=dict)
    """What the sentence names."""

    def __hash__(self) -> int:
        """A mapping has none; two causes that are equal say the same sentence."""
        return hash((self.code, *sorted(self.values)))


class Estimate(Frozen):
    """One number behind a finding."""

    label: str
    """What it is of; figures draw `MEASURED` and what begins as `BARS`."""
    value: float
    low: float | None = None
    """End of its interval: of 95 % where it was measured (over all looks together, if there are
    several), of what the rounding of printed digits leaves open where it follows from them; None
    where there is none."""
    high: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        """It and its interval, e.g. `left mean 0.096 (0.091 to 0.101) points`."""
        ends = "" if self.low is None else f" ({self.low:.4g} to {self.high:.4g})"
        return f"{self.label} {self.value:.4g}{ends} {self.unit}".rstrip()


MEASURED = "measured"
"""Label of the number beside a printed one; with ` at ` and a view where there are several."""

BARS = {
    "improvement of ": "improvement with shots, percent",
    "divergence of ": "divergence, percentage points",
}
"""How the label of one model's bar begins, before the model's name; to the axis of such bars."""


SENTENCES: dict[str, str] = {
    # What a finding is worth, whatever its rule said. Each of the first five has a list of its own.
    "contradicted-if": "contradicted if {condition}",
    "fails-by-one-reading": "it fails read as {failing}, and may be read as {others} too",
    "not-reproduced-here": "not reproduced under our settings",
    "at-the-floor": "at the floor: it may be what nothing looks like",
    "held": "held by all {count:,} that were sampled; samples can refute a theorem, not prove it",
    "proved-in-part": "proved in part; open: {left_open}",
    "not-quoted": "it fails, but the claim quotes no printed sentence that would",
    "step": "a step that a printed sentence needs, and no sentence of the paper: it {result}",
    "beside": "our own check, and no verdict on the paper: it {result}",
    # What keeps a measurement from deciding, and where it points.
    "holm": "not beyond chance over {tests} numbers: p = {p:.2g} (Holm)",
    "part-of-the-table": "left open, as {left} of the table's {numbers} numbers were not measured "
    "in all settings: one of them may show a setting that is further off",
    "few-settings": "{draws} of the {needed} settings needed ({repeated} more repeat one of them)",
    "settings-of-a-cpu": "on a CPU {repeated} of {settings} settings are no draws of their own: "
    "one kernel runs whatever a setting names, and one thread adds in one order whatever the batch "
    "size, so that their answers were those of another setting to the last bit",
    "divided-by-zero": "the improvement that is divided by may be 0: draws from {low:.2f} "
    "to {high:.2f}",
    "divisor-without-ends": "the improvement that is divided by may be 0: it has no ends",
    "mean-of-ratios": "a mean of ratios is not decided: each divides by what may be near 0",
    "ratio-within": "the left side is within {margin} % of the right one of what is printed, at "
    "both ends",
    "ratio-open": "the left side less what is printed of the right one leaves it open at an end of "
    "{margin} %",
    "emulated-cap": "the cap is emulated on a card of {gib:.1f} GiB",
    "one-machine": "timed on one machine: how far another one of its class is off was not measured",
    "other-hardware": "decided on {hardware} alone, measured on {others}",
    "imported": "imported: {by} ran it, by what they say; unknown: {unknown}",
    "tier-and-stand-in": "tier {tier}, {checkpoint} stands in",
    "tier": "tier {tier}",
    "substituted": "{name} was substituted",
    "other-files": "{checkpoint} has other files than the catalog pins",
    "smaller-batch": "{checkpoint} was asked {took} at a time and the setting asks for {asked}",
    "drift": "drift: {package} {installed}, pinned {pinned}",
    "engine-differs": "the engine {engine} gives {apart} of {asked} answers to its sample "
    "otherwise than lm-eval, which gives {own} otherwise under another batch size",
    "points-to": "points to {outcome}",
    "pinned-on-first-use": "pinned on first use: {names}",
    "screened": "screened: {evaluations} float32 evaluations asked {anew:,} of {questions:,} "
    "questions anew, a random sample and all closer than {times} times {moved:.2g} nats, the "
    "largest change seen; the rest is as the first setting has it",
    # Settings one after another (`verify.stopping`).
    "decided-at-look": "decided at look {look} of {looks}, after {settings} of {whole} settings, "
    "at {rate:.2g}, this look's share of the error rate",
    "given-up-at-look": "given up at look {look} of {looks}, after {settings} of {whole} settings: "
    "those to come would decide it once in twenty, if at all",
    "last-look": "look {look} of {looks}, after all {whole} settings, at {rate:.2g}, this look's "
    "share of the error rate",
    # What a check would have noticed.
    "no-control": "no control",
    "controls-caught": "{count} of its controls caught",
    # What was not run.
    "no-job": "no job for it: {needs}",
    "no-run-here": "no run of it in these results: repro run manifests/{manifest}.json",
    # Of a sentence that can be read in several ways.
    "open-words": "cannot be checked as printed: {missing}",
    "no-reading": "no reading of it can be measured",
    "every-reading": "{outcome} under every reading tried",
    "reading-waits": "a reading of it was not run: {names}",
    "depends-on-reading": "it depends on the reading",
    # Of what was not measured, or cannot be trusted.
    "planned-check": "{check}",
    "no-record": "{why}",
    "record-refused": "{why}",
    "changed-after-the-run": "{what}",
    # Of printed values: how many hold, and what the printed digits leave open.
    "printed-precision": "the printed precision does not decide it",
    "and-more": "… ({total} in all)",
    # verify/rules/page.py
    "wins-counted": "of {total} compared, {won} won, {open} tied or too close to tell, {lost} not "
    "won; {printed} of {out_of} printed",
    "tie": "{values}: a tie",
    "too-close": "{values}: too close to tell",
    "not-won": "{values}: not won",
    "follows": "{formula} = {value}; {claimed}",
    "divides-by-zero": "{formula} is not determined: it divides by {by}, which may stand for 0",
    "reduction-by-all": "{formula} is not determined: a reduction by {by} % may leave nothing",
    "no-number-prints-as-both": "{values}: no number prints as both",
    "two-rounding-rules": "{values}: only {number} prints as both, by two rounding rules",
    "roundings-of-one": "{values}: both are roundings of [{low}, {high}]",
    "repeated": "{count} printed twice, the same at the printed precision",
    "mean-as-printed": "{cells} over {count} is {mean}",
    "no-rounding-prints": "no rounding of {cells} over {count} prints {printed}",
    "above-limit": "of {values}, above {limit}: {which}",
    "left-at-most-right": "unrounded, the left mean is at most the right one",
    "left-above-right": "unrounded, the left mean is above the right one",
    "within-spread": "unrounded, the means differ by less than the right side spreads over",
    "beyond-spread": "unrounded, the means differ by no less than the right side spreads over",
    "columns-apart": "of {columns} columns in {units} against {source}, {above} apart by more than "
    "{noise}, {below} not, {open} open",
    "no-column": "nothing is left to decide by",
    "source-not-held": "the source was not held against a copy of that paper",
    "column-overlaps": "{value} and {other}: apart by {exact}, from {low} to {high} unrounded; one "
    "number may print as both",
    "column-differs": "{value} and {other}: apart by {exact}, from {low} to {high} unrounded",
    "column-of-another-unit": "{value} and {other}: apart by {exact}, from {low} to {high} "
    "unrounded; in {unit}, which decides nothing",
    # verify/rules/question.py
    "whole-numbers": "{reached} of {total} are whole numbers of {questions} questions",
    "not-reachable": "{value}: not reachable with {questions} questions, the nearest is {nearest}",
    "cannot-fail": "{idle} of {total} would be reachable with {questions} questions, whatever was "
    "printed: the test cannot fail",
    "right-answers": "right answers of {questions}: {reachable}",
    "beyond-sampling": "of {total} differences, {beyond} beyond z {z} however the answers fell, "
    "{within} within it, {reversed} the other way, {tied} tied, {open} open: they hang on answers "
    "that are not printed",
    "no-answers-print-so": "{values}: no whole number of {questions} answers prints as {never}",
    "difference-of-answers": "{values}: {left} and {right} of {questions} right, z {low:.2f} to "
    "{high:.2f}: {group}",
    # verify/rules/trend.py
    "never": "{step}: never {direction}",
    "step-goes": "{step}: {ways}",
    "every-step": "{steps} of {steps} steps {direction}",
    "places-agree": "of {total} {places}: {same} the same, {differ} not, {open} open",
    "place": "{where}: {left} and {right}",
    "agreement": "{same} of {total} agree",
    # verify/shown.py, of a printed count
    "agrees": "agrees",
    "disagrees": "disagrees",
    # verify/rules/fact.py
    "default-is": "{place}: {function} has {parameter} = {value}",
    "passed-as": "{place}: self.{submodule} reaches {callee} as {value}",
    "linear-of": "{place}: self.{submodule} is linear, {value}",
    "returns": "{place}: {function} returns {value}",
    "line-is": "{place}: the line saying that {what} is {value}",
    "claimed": "claimed: {claimed}",
    "premise": "given {place}: {value}",
    "premise-fails": "what it rests on does not hold: {place}: {value}, claimed: {claimed}",
    "line-read": "{place}: {line} ({where})",
    "line-of-the-index": "{place}: a line with SHA-256 {line}…, by the committed index, made of "
    "the archive with SHA-256 {archive}…",
    "source-missing": "{why}",
    "fetch-the-archive": "install it, or let `repro run manifests/{manifest}.json` fetch the "
    "archive",
    "misquoted": "{why}",
    "quotient": "{quotient}, published {published}",
    "no-quotient": "{values}: not two numbers with a ratio",
    # A measured number beside a printed one (`verify.decision_rule`).
    "margin-within-rounding": "cannot be reproduced, whatever is measured: the margin {margin} is "
    "within rounding, {rounding}",
    "margin-within-noise": "cannot be reproduced, whatever is measured: the margin {margin} is "
    "within {reach:.2g}, what rounding and two machines leave open",
    "margin-within-assumed-noise": "cannot be reproduced, whatever is measured: the margin "
    "{margin} is within {reach:.2g}, what rounding and two machines leave open of a model that "
    "changes as many answers as {of} does",
    "too-few-draws": "{draws} of the {needed} draws that a spread takes",
    "not-finite": "a value is no finite number, or nothing says how far it spreads",
    "machine-unknown": "nothing tells how far another machine would be off",
    "within-margin": "mean off by {off:+.3g} over {draws} settings, standard error {error:.2g} "
    "with both machines, h {rounding:.2g}: within {margin} even at the end of its interval",
    "within-coin-flips": "mean off by {off:+.3g} over {draws} settings, standard error {error:.2g} "
    "with both machines, h {rounding:.2g}: within {margin}, but coin flips alone give up to "
    "{null:.2g}, so that it need be no divergence at all",
    "beyond-another-draw": "another draw on another machine would not have been printed so "
    "(p = {p:.2g} over {tests} numbers, Holm)",
    "interval-crosses-margin": "mean off by {off:+.3g} over {draws} settings, standard error "
    "{error:.2g} with both machines, h {rounding:.2g}: the interval crosses {margin}",
    "machine-from-changes": "another machine is taken to draw all {changes:,} answers anew that "
    "the dtype changes: neither two machines nor two kernels were measured",
    "machine-from-kernels": "another machine is taken to be as far off as another kernel, half of "
    "{changes:,} changes ({limit:,.0f} at most): two kernels were measured",
    "mean-within-margin": "within the margin",
    "mean-above-printed": "above the printed value",
    "mean-below-printed": "below the printed value",
    "power": "power {power:.2f}; a shift of {shift:.2g} is noticed 9 times in 10, alone",
    "power-without-shift": "power {power:.2f}; no shift, however large, is noticed 9 times in 10",
    "other-values-accepted": "{accepted} of {others} other printed values of its kind would be "
    "accepted",
    "no-spread": "no spread: one setting alone",
    "open-factors": "what the paper leaves open was fixed here and not varied: {names}",
    # Divergences of evaluations (`verify.rules.model`).
    "flips": "a setting loses {lost:g} answers and wins {won:g}",
    "floor-of": "at the floor: {sides}",
    "mixed-precision-as": "mixed precision read as {arm}",
    "counted-above": "of {total} another draw would show {sure} surely and {possible} possibly "
    "above {above}",
    "not-larger": "the whole interval of the difference is at most 0",
    "larger": "another draw would be larger too",
    "surely-within-spread": "the sides surely differ by less than the members of the right one do",
    "surely-beyond-spread": "another draw would differ by as much as the members of the "
    "right one, or more",
    "smaller-beyond-null": "surely smaller by more than coin flips alone would give",
    "not-beyond-null": "another draw would not be smaller by more than coin flips alone would give",
    "order-open": "the interval of the difference leaves it open",
    "points-to-relation": "points to {relation}",
    "points-away-from": "points away from {relation}",
    # Divergences, scores and learning of tuned models (`verify.rules.tuned`, `.score`).
    "counted-smaller": "of {total} comparisons {sure} surely smaller, {never} surely not",
    "counted-agreeing": "{agree} of {total} agree",
    "highest": "highest {value:.2f}",
    "right-side-near-zero": "the right side may be 0: draws from {low:.2f} to {high:.2f}",
    "parameters-counted": "{counts} parameters were counted",
    "counted-won": "of {total} comparisons another draw would show {sure} surely and {possible} "
    "possibly won",
    "won-beyond-sampling": "{won} won beyond |z| {z} of the sampling of questions (first setting)",
    "no-finite-likelihood": "{bad} of {asked} answers of tuned models have no finite "
    "log-likelihood and count as lm-eval counts them, for the first choice",
    "no-gradient": "{arm}: {dead} of {trainable} tensors got no gradient on the path {path}: "
    "{names}",
    "loss-not-finite": "{arm}: loss no finite number in {some} of {tunings} tunings, from step "
    "{step} on",
    "every-gradient": "tunings of which every trainable tensor got a gradient: {tunings}",
    "adapters-learn": "of {total} adapter matrices of {layer}, {arrived} got a gradient and "
    "{moved} moved, on the path {path}",
    # Improvement with shots (`verify.rules.improvement`).
    "counted-conditions": "of {total} conditions {sure} surely hold, {never} surely do not; of "
    "another draw {never_drawn} surely would not",
    "slight": "slight is within {errors} standard errors of the sampling of questions",
    # Speed and memory (`verify.rules.throughput`).
    "every-view": "{outcome} in every view of {views}",
    "views-disagree": "caps or counts of memory disagree: reproduced in {reproduced}, contradicted "
    "in {contradicted}, open in {inconclusive}",
    "view-within": "{view}: within ± {margin}, rounding included",
    "view-beyond": "{view}: another timing would be beyond ± {margin}, rounding included",
    "view-crosses": "{view}: the interval crosses ± {margin}",
    "view-within-rounding": "{view}: not decidable: the margin {margin} is within rounding",
    "view-too-few": "{view}: {draws} of the {needed} timings needed to compare",
    "view-left-out": "{view}: without {runs}, not fitting",
    "sizes-rise": "{view}: each size gains more than the one before, beyond the spread of timings",
    "sizes-fall": "{view}: a size gains less than the one before, beyond the spread of timings",
    "sizes-open": "{view}: a step is within the spread of timings",
    "size-missing": "{view}: a size has nothing to compare",
    "more-than-the-card": "{run} takes more than the card has without a cap",
    # Layers and exact algebra (`verify.rules.layer`).
    "counterexamples": "{broken:,} of {layers:,} layers break it",
    "holds-so-far": "holds",
    "exact-algebra": "exact integer algebra, multiplied again here",
    "curves-rise": "{rising:,} of {layers:,} layers rise: each third of a curve lies above the one "
    "before",
    "curves-not-falling": "the fitted rate of {rest:,} of {layers:,} layers is not negative",
    # Theorems (`verify.rules.proof`).
    "proved-by": "{theorems}: checked by Coq {version} and its second kernel, by the record",
    "refuted-by": "{theorem}: an exact counterexample, checked by Coq {version} and its second "
    "kernel, by the record",
    "beside-it": "beside it: {theorems}",
    "rests-on": "they rest on {axioms}",
    "against-the-words": "against the printed words: {differs}",
}
"""Code to sentence; what stands in braces is a value, with its format."""

LISTS: dict[str, str] = {
    "contradicted-if": "Contradicted under a condition",
    "fails-by-one-reading": "Fails by one reading of several",
    "not-reproduced-here": "Not reproduced under our settings",
    "at-the-floor": "At the floor",
    "held": "Held by every sample, which proves nothing",
    "proved-in-part": "Proved in part",
}
"""Codes that make a list of their own among what is inconclusive, with its heading."""


STAND_INS: dict[str, str] = {"tier-and-stand-in": "checkpoint", "substituted": "name"}
"""Codes that say that something stood in for what the paper has, and the value that names it."""

NOTICES = frozenset(
    ("power", "power-without-shift", "other-values-accepted", "controls-caught", "no-control")
)
"""Codes that say which difference a check would have noticed."""


def cause(code: str, **values: Value) -> Cause:
    """A cause.

    Raises:
        KeyError: if there is no such code, or a value that its sentence names is not given.
    """
    made = Cause(code=code, values=values)
    say(made)
    return made


def say(one: Cause) -> str:
    """The sentence of a cause."""
    return SENTENCES[one.code].format(**one.values)


def say_all(causes: Iterable[Cause]) -> str:
    """Several causes as one sentence."""
    return "; ".join(map(say, causes))
