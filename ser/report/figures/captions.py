"""What a report says of its figures and tests, in sentences."""

from ser.report.figures.panels import BAND
from ser.report.figures.reliability import FEW

DOTS = (
    "Each dot is a seed, each line a mean over seeds; on the right all folds pooled; dashed, "
    "where it is that low: guessing. Axes of one target are alike."
)
CONFUSIONS = (
    "Rows are the truth, columns what was told: share of the row in %, below it the count, summed "
    "over folds and complete seeds."
)
CURVES = (
    f"Means over the runs of complete seeds, bands from the {BAND[0]}th to the "
    f"{BAND[1]}th percentile, as far as half of the runs go."
)
CURVE = (
    "Means over complete seeds, each on the part and with the folds joined as in the main table; "
    "bars: a standard deviation over seeds up and down, where there are several; a hollow mark has "
    "fewer seeds than planned; dashed, where it is that low: guessing. What training again would "
    "change is seen here; what other speakers would, the intervals among all scores tell."
)
RELIABILITY = (
    "Bars: of the predictions whose probability lies in a bin, the share that is right, over folds "
    "and complete seeds; dashed: as many as the probability says; bars below it are surer than "
    "right. Lines: 95% (Wilson) for as many utterances as one seed has there; lighter: fewer than "
    f"{FEW}. Below: the share of utterances in each bin, in %. ECE, of 15 bins, in %."
)
LOSSES = (
    "Of one run of each system, the lowest fold of its lowest complete seed that was trained so. "
    "Losses on the test part were recorded to be drawn; no rule read them. Drawn:"
)
CODES = (
    "Of one run of each system, the lowest fold of its lowest complete seed that has codes of two "
    "values: training and validation above, the test part below, both to one scale. Where labels "
    "took part in the training, classes lie apart above; only the test part says how well they can "
    "be told."
)
NOT_CODED = (
    "Not drawn by t-SNE, as no codes of more than two values, or no speakers of the training part, "
    "were kept: {}. Runs of an earlier version kept fewer: train them again with force=true."
)
NO_BASELINE = "No baseline is named, so nothing is tested: report.baseline=NAME names one."
TESTED = (
    "Intervals are of 95%. p (Holm) is corrected over all tests of its kind; where it is below "
    "0.05 the last column says higher or lower. The first two tests are those of papers; the other "
    "two are sounder: they take folds and speakers for what varies."
)
