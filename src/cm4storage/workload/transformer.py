"""How many parameters a transformer has.

Source: ``get_num_parameters`` in ``checkpointing/base_checkpointing.py`` of dlio_benchmark, sources
of 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cm4storage.workload.model_sections import ModelSection


def parameters(model: ModelSection) -> int:
    """Return the number of parameters of a transformer; 0 where it has no layers.

    With h = hidden_size, f = ffn_hidden_size, V = vocab_size, L = num_layers and
    kv = h // num_attention_heads * num_kv_heads::

        P = 2 V h + L (h + h (h + 2 kv) + h h + h + 3 f h) + h
    """
    if model.num_layers <= 0:
        return 0
    hidden = model.transformer_hidden_size
    ends = 2 * model.transformer_vocab_size * hidden + hidden
    return ends + model.num_layers * sum(layer_elements(model))


def layer_elements(model: ModelSection) -> tuple[int, int, int, int, int, int]:
    """Return the elements of a layer's tensors.

    They are a norm, the attention, its output, a norm, and the network's ways up, with a gate, and
    down.
    """
    hidden, ffn = model.transformer_hidden_size, model.transformer_ffn_hidden_size
    kv = hidden // model.transformer_num_attention_heads * model.transformer_num_kv_heads
    attention = hidden * (hidden + 2 * kv)
    return hidden, attention, hidden * hidden, hidden, 2 * ffn * hidden, ffn * hidden
