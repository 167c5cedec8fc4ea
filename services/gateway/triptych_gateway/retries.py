"""How many retries the platform may afford."""


class RetryBudget:
    """Retries as a share of calls, so that a failing stage is not drowned in second attempts.

    Every call pays `ratio` in, every retry takes 1 out; at most `reserve` is saved up. The scheme
    is that of Finagle's retry budgets.
    """

    def __init__(self, ratio: float, reserve: int) -> None:
        self._ratio = ratio
        self._reserve = float(reserve)
        self._balance = float(reserve)

    def deposit(self) -> None:
        """A call is made."""
        self._balance = min(self._reserve, self._balance + self._ratio)

    def withdraw(self) -> bool:
        """Whether a retry may be made; it is paid for then."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True
