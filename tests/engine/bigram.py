"""An architecture added from outside, rows and modules: the next token depends on the last one, and on nothing else."""

from torch import Tensor

from engine.attention.backend import Attention
from engine.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from engine.models.contract import CausalLM
from engine.parallel import TensorParallel
from mappings.params import embedding
from mappings.rows import Architecture, Row
from mappings.sizes import Config

TABLE, HEAD = embedding("table"), embedding("head")
ROWS = Architecture("Bigram", {"vocab": "vocab_size", "hidden": "size"}, (Row("table", TABLE), Row("head", HEAD)))


class Bigram(CausalLM):
    def __init__(self, config: Config, tp: TensorParallel, prefix: str = "") -> None:
        super().__init__(config, tp, prefix)
        self.table, self.head = VocabParallelEmbedding(TABLE, tp, "table"), ParallelLMHead(HEAD, tp, "head")

    def embed_input_ids(self, ids: Tensor) -> Tensor:
        return self.table.forward(ids)

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        return self.table.forward(ids)

    def compute_logits(self, hidden: Tensor) -> Tensor:
        return self.head.forward(hidden)
