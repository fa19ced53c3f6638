"""One thread for each product of matrices: frames side by side use the processor better than their small matrices."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


def one_thread_each() -> AbstractContextManager[object]:
    """Return a context in which NumPy's and SciPy's linear algebra use one thread a call.

    Their threads wait for one another in busy loops; two libraries with a pool each, or other work on the same cores,
    make small products many times slower. Results no longer depend on the number of cores. Without ``threadpoolctl``
    nothing is changed.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(limits=1, user_api="blas")
