"""Intervals of functions of several means."""

from collections.abc import Callable

import torch
from torch import Tensor

from lightrec.intervals import Interval, around, standard_error


def function_interval(function: Callable[[Tensor], Tensor], users: Tensor) -> Interval:
    """Student's interval of a smooth function of means, such as a ratio, by the delta method.

    :param function: from the means ``(M,)`` float64 of all columns to a number.
    :param users: ``(U, M)``, a row a user.
    :returns: the function of the means and its interval, which is infinite for fewer than two
        users.
    """
    numbers = users.double()
    with torch.enable_grad():
        point = numbers.mean(0).requires_grad_()
        value = function(point)
        (slope,) = torch.autograd.grad(value, point)
    error = standard_error((numbers - point.detach()) @ slope)
    return around(float(value.detach()), *error)
