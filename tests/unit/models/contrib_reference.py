"""Executable definitions of onnxruntime's fused operators, and of a graph made of them, in numpy.

They follow the documentation of the operators' schemas. Numbers are rounded to the graph's type
where an operator writes its output, and sums are made in float32 or better, as the GPU's kernels
make them; what these round in between is not imitated.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def attend(query: Array, key: Array, value: Array, bias: Array | float = 0.0) -> Array:
    """softmax(Q·Kᵀ/√D + bias)·V in float64, of one sequence: [S, N, D] each, bias [N, S, S]."""
    q, k, v = (part.astype(np.float64) for part in (query, key, value))
    scores = np.einsum("snd,tnd->nst", q, k) / math.sqrt(query.shape[-1]) + bias
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    context: Array = np.einsum("nst,tnd->snd", shares, v)
    return context


class Contrib(OpRun):  # type: ignore[misc]
    """An operator of onnxruntime's domain."""

    op_domain: ClassVar[str] = "com.microsoft"


class PackedMultiHeadAttention(Contrib):
    """Queries, keys and values together: [T, N, 3, D]; the biases are 3, N, D."""

    def _run(self, query, key, value, bias, token_offset, cu_seqlens, attention_bias=None, **kept):  # type: ignore[no-untyped-def]
        assert key is None
        assert value is None
        tokens, heads, three, size = query.shape
        batch, width = token_offset.shape
        assert (heads, three) == (kept["num_heads"], 3)
        assert token_offset.dtype == cu_seqlens.dtype == np.int32
        assert cu_seqlens.shape == (batch + 1,)
        check_token_offset(token_offset, cu_seqlens, tokens)
        biased = query.astype(np.float32) + bias.reshape(3, heads, size).swapaxes(0, 1)
        qkv = biased.astype(query.dtype)
        output = np.zeros((tokens, heads, size))
        for start, end in itertools.pairwise(cu_seqlens):
            if start < end:
                span, own = end - start, qkv[start:end]
                extra = 0.0 if attention_bias is None else attention_bias[0, :, :span, :span]
                output[start:end] = attend(own[:, :, 0], own[:, :, 1], own[:, :, 2], extra)
        assert width >= np.diff(cu_seqlens).max()
        return (output.reshape(tokens, heads * size).astype(query.dtype),)


def check_token_offset(token_offset: Array, cu_seqlens: Array, tokens: int) -> None:
    """Real tokens first, in order, then the padding's places; every place once."""
    batch, width = token_offset.shape
    lengths = np.diff(cu_seqlens)
    real = np.flatnonzero(np.arange(width) < lengths[:, None])
    assert cu_seqlens[0] == 0
    assert cu_seqlens[-1] == tokens == len(real)
    flat = token_offset.reshape(-1)
    np.testing.assert_array_equal(flat[:tokens], real)
    np.testing.assert_array_equal(np.sort(flat), np.arange(batch * width))


class Attention(Contrib):
    """Of states [B, S, H] by weights [H, 3·H]; the mask tells the lengths, and where rows start."""

    def _run(self, states, weights, bias, lengths, past=None, attention_bias=None, **kept):  # type: ignore[no-untyped-def]
        assert past is None
        batch, width, hidden = states.shape
        heads = kept["num_heads"]
        starts = np.arange(batch + 1) * width
        np.testing.assert_array_equal(lengths[batch:], np.concatenate([starts, starts]))
        product = states.astype(np.float32) @ weights.astype(np.float32) + bias
        qkv = product.astype(states.dtype).reshape(batch, width, 3, heads, hidden // heads)
        output = np.zeros((batch, width, heads, hidden // heads))
        for row, length in enumerate(lengths[:batch]):
            own = qkv[row, :length]
            extra = 0.0 if attention_bias is None else attention_bias[0, :, :length, :length]
            output[row, :length] = attend(own[:, 0], own[:, 1], own[:, 2], extra)
        return (output.reshape(states.shape).astype(states.dtype),)


class SkipLayerNormalization(Contrib):
    """Of the sum of both inputs and the bias."""

    def _run(self, value, skip, gamma, beta, bias=None, epsilon=None):  # type: ignore[no-untyped-def]
        total = value.astype(np.float32) + skip.astype(np.float32)
        total = total if bias is None else total + bias.astype(np.float32)
        centred = total - total.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
        normal = centred / scale * gamma.astype(np.float32) + beta.astype(np.float32)
        return (normal.astype(value.dtype),)


class _HalfNorm(Contrib):
    """The same as the GPU's kernel computes it in float16 unless it is told to be strict.

    Sums of the values and of their squares are made in float16, by halves.
    """

    @classmethod
    def _sum(cls, values: Array) -> Array:
        size = values.shape[-1]
        if size == 1:
            return values
        half = size // 2
        pairs = values[..., :half] + values[..., half : 2 * half]
        odd = values[..., 2 * half :].sum(axis=-1, keepdims=True, dtype=np.float16)
        total: Array = cls._sum(pairs) + odd
        return total

    def _run(self, value, skip, gamma, beta, bias=None, epsilon=None):  # type: ignore[no-untyped-def]
        total = value + skip
        total = total if bias is None else total + bias
        shares = total * np.float16(1 / total.shape[-1])
        mean, squares = self._sum(shares), self._sum(shares * total)
        variance = (squares - mean * mean).astype(np.float32) + np.float32(np.float16(epsilon))
        scale = (1 / np.sqrt(variance)).astype(np.float16)
        return (gamma * (total - mean) * scale + beta,)


# an operator is found by the name of its class
HALF_NORM: type[Contrib] = type("SkipLayerNormalization", (_HalfNorm,), {})


class BiasGelu(Contrib):
    """The exact gelu of the sum."""

    def _run(self, value, bias):  # type: ignore[no-untyped-def]
        total = value.astype(np.float64) + bias
        return ((total / 2 * (1 + _erf(total / math.sqrt(2)))).astype(value.dtype),)


class FastGelu(Contrib):
    """The tanh approximation of the sum, with the schema's constants."""

    def _run(self, value, bias):  # type: ignore[no-untyped-def]
        total = value.astype(np.float64) + bias
        inner = np.tanh(0.797885 * total + 0.035677 * total**3)
        return ((total / 2 * (1 + inner)).astype(value.dtype),)


OPERATORS: Sequence[type[Contrib]] = (
    PackedMultiHeadAttention,
    Attention,
    SkipLayerNormalization,
    BiasGelu,
    FastGelu,
)


def run_graph(
    model: onnx.ModelProto,
    feeds: Mapping[str, Array],
    operators: Sequence[type[Contrib]] = OPERATORS,
) -> dict[str, Array]:
    """The outputs of a graph by name."""
    evaluator = ReferenceEvaluator(model, new_ops=list(operators))
    names = [output.name for output in model.graph.output]
    return dict(zip(names, evaluator.run(names, dict(feeds)), strict=True))
