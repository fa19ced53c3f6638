"""Sums over long emitter lists in bounded memory, in the gradient too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def sum_over_chunks(
    function: Callable[..., tf.Tensor],
    emitters: Sequence[tf.Tensor],
    frame_of: tf.Tensor,
    shared: Sequence[tf.Tensor],
    result_shape: Sequence[Any],
    dtype: tf.DType,
    chunk_emitters: int,
) -> tf.Tensor:
    """Return the sum of ``function(*emitters of a chunk, frame_of of the chunk, *shared)`` over all chunks.

    The gradient calls the function again for each chunk instead of keeping its intermediate results.

    Args:
        function: maps a chunk to a summand of ``result_shape``.
        emitters: tensors ``[E, ...]`` of any unit, one row an emitter.
        frame_of: int32 ``[E]``, index of each emitter's frame.
        shared: tensors of any shape and unit that all chunks use.
        result_shape: shape of the result; sizes may be scalar tensors.
        dtype: dtype of the result.
        chunk_emitters: emitters in a chunk.

    Returns:
        float ``[*result_shape]``, the unit of the function's.
    """
    lists = len(emitters)

    @tf.custom_gradient
    def total(*inputs: tf.Tensor) -> Any:
        emitters, shared = inputs[:lists], inputs[lists:]
        count = tf.shape(frame_of)[0]
        chunks = (count + chunk_emitters - 1) // chunk_emitters

        def chunk(index: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
            begin = index * chunk_emitters
            end = tf.minimum(begin + chunk_emitters, count)
            return tuple(value[begin:end] for value in emitters), frame_of[begin:end]

        def add_chunk(index: tf.Tensor, so_far: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own, frames = chunk(index)
            return index + 1, so_far + function(*own, frames, *shared)

        zeros = tf.zeros(result_shape, dtype)
        invariants = (tf.TensorShape([]), tf.TensorShape([None] * len(zeros.shape)))
        _, result = tf.while_loop(
            lambda index, _: index < chunks, add_chunk, (0, zeros), invariants, parallel_iterations=1
        )
        result = tf.ensure_shape(result, zeros.shape)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            def chunk_gradient(index: tf.Tensor, *parts: Any) -> Any:
                own, frames = chunk(index)
                with tf.GradientTape() as tape:
                    tape.watch((own, shared))
                    summand = function(*own, frames, *shared)
                to_own, to_shared = tape.gradient(
                    summand, (own, shared), upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
                )
                rows = (part.write(index, value) for part, value in zip(parts, to_own, strict=False))
                sums = (part + value for part, value in zip(parts[len(own) :], to_shared, strict=True))
                return (index + 1, *rows, *sums)

            def empty(like: tf.Tensor) -> tf.TensorArray:
                shape = tf.TensorShape([None]).concatenate(like.shape[1:])
                return tf.TensorArray(like.dtype, size=chunks, infer_shape=False, element_shape=shape)

            start = (0, *map(empty, emitters), *map(tf.zeros_like, shared))
            _, *parts = tf.while_loop(lambda index, *_: index < chunks, chunk_gradient, start, parallel_iterations=1)
            return (*(part.concat() for part in parts[: len(emitters)]), *parts[len(emitters) :])

        return result, gradient

    return total(*emitters, *shared)
