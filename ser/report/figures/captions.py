"""Captions of figures and tests."""

from ser.report.figures.learning_curves import BAND
from ser.report.figures.reliability import FEW

FOREST = (
    "Marks: score with folds pooled, mean over seeds; bars: its 95% interval over speakers, for "
    "each system alone. Two bars may overlap although the test, which compares systems speaker by "
    "speaker, shows a difference. Dashed line: chance level."
)
HOLLOW = "Hollow marks: fewer complete seeds than planned."
SHOWN = "Triangles: shown above or below its reference by the main test."
PUBLISHED = "Diamonds: published scores."
DOTS = (
    "Dots: seeds; solid lines: means over seeds; right: folds pooled; dashed line: chance level, "
    "if it is within the axis. Figures of one target have the same axis. A system has the same "
    "colour in all figures."
)
CEILING = "Dotted line: one rater against the others."
CONFUSIONS = (
    "Rows: truth; columns: prediction. Each cell shows the share of its row in % and, below, the "
    "count, summed over folds and complete seeds."
)
CURVES = (
    f"Lines: means over the runs of complete seeds; bands: {BAND[0]}th to {BAND[1]}th percentile. "
    "Both end where fewer than half of the runs continue."
)
LAYERS = (
    "By layer of the pretrained encoder (0: before the first block), in %: the learned weight of a "
    "weighted sum, or the {score} over the inner folds by which a layer is chosen, with the best "
    "C. Dots: runs of complete seeds; lines: their means. No test split is involved."
)
CURVE = (
    "Means over complete seeds, with split and joining of folds as in the main table; bars: ± one "
    "standard deviation over seeds, or for UA of systems with one planned seed the 95% confidence "
    "interval over speakers; hollow marks: fewer seeds than planned; lines with a name: values of "
    "the option that are no numbers; dashed line: chance level, if it is within the axis. "
    "Standard deviations show the variation between repeated trainings; for the variation between "
    "speakers see the confidence intervals among all scores."
)
RELIABILITY = (
    "Bars: share of correct predictions among those whose probability is in a bin, over folds and "
    "complete seeds; dashed line: perfect calibration; bars below it are overconfident. Vertical "
    "lines: 95% Wilson intervals for the number of distinct utterances; lighter bars: fewer than "
    f"{FEW} utterances. Histogram: share of predictions in each bin, in %. ECE: expected "
    "calibration error over 15 bins, in %."
)
DENSITY = (
    "How often each prediction is made for each true value, over folds and complete seeds; the "
    "darker, the more often. Dashed line: prediction equals truth; solid line: mean prediction. "
    "Where it is flatter than the dashed line, extreme values are predicted too near to the mean."
)
LOSSES = (
    "One run of each system: the lowest fold of its lowest complete seed with such losses. Losses "
    "on the test split were recorded for this figure only; they influenced neither stopping nor "
    "selection. Drawn:"
)
CODES = (
    "One run of each system: the lowest fold of its lowest complete seed with codes of two values. "
    "Above: training and validation split; below: test split, with the same axes. Where labels "
    "were used in training, classes are separated above; only the test split shows how separable "
    "they are."
)
NOT_CODED = (
    "Not drawn by t-SNE, because the runs have no codes of more than two values, or no speakers of "
    "the training split: {}. Runs of an earlier version saved less: train them again with "
    "force=true."
)
NO_BASELINE = (
    "No tests, because no baseline is named: report.baseline=NAME names one, "
    "report.comparisons=[[SYSTEM,REFERENCE]] single pairs."
)
NOTHING_TO_TEST = "There is no other system to test against the baseline."
TESTED = (
    "Each row compares a system with its reference. Conclusions are drawn from the main test; the "
    "secondary ones are those of papers and other tools, with what they assume. Intervals are 95% "
    "confidence intervals, each for itself. p (Holm): p with Holm's correction over all main tests "
    "of this report, or over all of one secondary kind; if it is below 0.05, the last column says "
    "higher or lower."
)
