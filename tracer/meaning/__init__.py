"""Whether values mean what their place says: what loads without a complaint and would talk nonsense.

Each test ends as ok, with a finding, or not checked. The thresholds are standard deviations where nothing else is
said, and lie so that what is uncertain ends as not checked: a test is ok where the right reading is seen and the wrong
one is not, and finds something where it is the other way round.

| test | codes | statistic; without a fault | a finding from |
|---|---|---|---|
| `rope-order` | value.rope-order | agreement of heads in which row of a pair is longer; coins | 4.0, and 15% shared |
| `gate-up` | value.gate-up-swapped | lean of the rows of up to one side; coins | 6.0, gate below 4.0 |
| `transposed` | value.transposed | alignment of a square's far side with gate and up; coins | 8.0, near below 4.0 |
| `norm-offset` | value.norm-offset | negative numbers in norms; few, or many where 1 is added | 25%, or below 0.05% |
| `rope-theta` | config.conflict | base of `inv_freq` or GGUF's key; config.json's | 2% apart |
| `tied-head` | tie.conflict, value.tie-mismatch | cosine of head and embedding where they are tied; 1 | below 0.999 |
| `untrained` | value.untrained | spread of lengths of rows and columns; large | below 5.0, others above 10 |
| `duplicate` | value.duplicate | cosine of two layers; chance | 0.5 (info), 0.9999 (warning) |
| `overflow` | value.overflow | numbers that the serving dtype cannot hold; none | 1 |

`--expect NAME=off` silences one. A reordering of `rope-order` must make the rows fit: after it heads agree by chance,
and by 4.0 and more if the rows are then put wrong on purpose. Against a reference (`against/`) the first four are
decided by cosines: below 0.75 as stored, and 0.9 or more after the transform in every layer that is looked at; one
that fits in some layers only is asked of the statistics.

Measured over 60 models that `tests/data/train.py` trained (20 seeds each of a Llama with grouped queries, a Qwen3 and
a Gemma 2; `tests/bench/meaning.py` prints it): no finding on any of the models as they are; every planted fault found
in all 60, and in those of the first four tests the changes give the trained tensors back. On the models as they are
and with the fault the statistics were, from the least to the most:

| test | as trained | with the fault |
|---|---|---|
| `rope-order`, q | -1.9 to 2.9 | 5.2 to 6.8 |
| `rope-order`, k | -2.4 to 2.4 | 4.3 to 6.5 |
| `gate-up`, four layers | -2.5 to 1.8 | 14.3 to 22.6 |
| `transposed`, four layers | -2.2 to 3.4 | 45 to 67 |
| `norm-offset`, Llama and Qwen3 | 0% | 40% to 58% |
| `norm-offset`, Gemma 2 | 53% to 61% | 0% |
| `untrained`, one layer | 18 to 38 | 1.4 |
| `tied-head` | 1 | -0.04 to 0.80 |
| `duplicate` | -0.05 to 0.08 | 0.999 to 1 |

Those that are coins are so by symmetries that training keeps (`signs.py`), whatever the model: their standard
deviation over the 60 models is 0.9 to 1.3. Turning pairs of trained models by quarters at random, which changes
nothing they compute, gave 0 findings of `rope-order` in 30,000 draws, 5 that were not checked and 127 with one layer
in doubt. Which families pair halves and which add 1 is a table (`conventions.py`); a family it does not have is not
judged.

Published models are many thousand times larger and trained far longer, and none of them was measured here. More
layers and heads make coins no less fair, so that false alarms should be as rare; how far from chance a fault is there
is not known, and where it is not far the answer is not checked. `norm-offset` is no coin: it rests on norms that stay
positive. No threshold was chosen by five models of a fourth family (Qwen2, with biases) and two of other sizes: they
gave no false alarm, every fault of Qwen2 was found, and of the 29 of the others two ended as not checked; one of
these was passed over until an order was doubted where another fits as well.
"""

from __future__ import annotations

from tracer.meaning.examining import TESTS, examine_meaning
from tracer.meaning.meant import Meant

__all__ = ["TESTS", "Meant", "examine_meaning"]
