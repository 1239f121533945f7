"""How long to wait before trying again. Arithmetic only: the caller waits.

Exponential back-off with full jitter, after Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog):
every delay is drawn evenly between zero and a ceiling that doubles, so that workers which lost the same server do not
all come back at once.
"""

from __future__ import annotations

FIRST_CEILING_S = 0.1
LAST_CEILING_S = 10.0


def delay_s(failures: int, random_number: float) -> float:
    """Seconds to wait after so many failures in a row (at least 1, else ValueError). `random_number` is in [0, 1)."""
    if failures < 1:
        raise ValueError(f"a delay after {failures} failures")
    ceiling = min(LAST_CEILING_S, FIRST_CEILING_S * 2.0 ** min(failures - 1, 32))
    return random_number * ceiling


def should_give_up(now_s: float, last_success_s: float, give_up_after_s: float) -> bool:
    """True if nothing has succeeded for `give_up_after_s` seconds. The times are readings of the monotonic clock."""
    return now_s - last_success_s >= give_up_after_s
