"""Anomaly mode names the op, the direction and the line."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg.errors import AnomalyError


def leaf(*values):
    return ts.tensor(np.array(values), requires_grad=True)


def test_forward_names_the_op_and_the_line():
    x = leaf(-1.0, 2.0)
    with ts.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        ts.log(x)  # planted
    message = str(caught.value)
    assert "forward of Log gave NaN; its inputs are finite" in message
    assert "test_anomaly.py" in message
    assert "# planted" in message
    assert "\n" not in message


def test_forward_names_infinity():
    with ts.detect_anomaly(), pytest.raises(AnomalyError, match="forward of Exp gave infinity; its inputs are finite"):
        ts.exp(leaf(1e4))


def test_an_input_that_was_bad_before_is_said_so():
    x = leaf(np.nan)
    with ts.detect_anomaly(), pytest.raises(AnomalyError, match="forward of Mul gave NaN; its input 0 had it already"):
        x * 2.0


def test_ops_called_inside_the_library_name_the_users_line():
    with ts.detect_anomaly(), pytest.raises(AnomalyError, match=r"test_anomaly\.py:\d+: F.silu\(leaf\(np.inf\)\)"):
        F.silu(leaf(np.inf))


def test_backward_names_the_op_and_the_line_that_recorded_it():
    x = leaf(0.0, 1.0)
    with ts.detect_anomaly():
        y = ts.sqrt(x)  # recorded here
        z = (y * 3.0).sum()
        with pytest.raises(AnomalyError) as caught:
            z.backward()
    message = str(caught.value)
    assert "backward of Sqrt gave infinity for input 0; the gradient it was given is finite" in message
    assert "# recorded here" in message
    assert x.grad is None


def test_a_graph_recorded_outside_is_checked_as_well():
    z = ts.sqrt(leaf(0.0, 1.0)).sum()
    with (
        ts.detect_anomaly(),
        pytest.raises(AnomalyError, match=r"backward of Sqrt gave infinity .*\(recorded outside detect_anomaly\)"),
    ):
        z.backward()


def test_a_gradient_that_came_in_bad_is_said_so():
    x = leaf(1.0)
    with (
        ts.detect_anomaly(),
        pytest.raises(AnomalyError, match=r"backward of Exp gave NaN .* it was given had it already"),
    ):
        ts.exp(x).backward(ts.tensor(np.array([np.nan])))


def test_backward_of_a_gradient():
    x = leaf(0.0)
    with ts.detect_anomaly():
        (g,) = ts.grad(x**1.5, x, create_graph=True)
        with pytest.raises(AnomalyError, match=r"backward of PowScalar gave infinity .*test_anomaly\.py"):
            ts.grad(g, x)
    ts.log(leaf(-1.0))  # outside, nothing is checked


def test_finite_work_passes_and_integers_are_not_looked_at():
    x = leaf(1.0, 2.0)
    with ts.detect_anomaly():
        (ts.exp(x) * x).sum().backward()
        assert ts.argmax(x).item() == 1
    assert np.isfinite(x.grad.data).all()


def test_outside_the_context_nothing_is_checked():
    with ts.detect_anomaly():
        pass
    assert np.isnan(ts.log(leaf(-1.0)).data).all()


def test_it_is_a_matter_of_the_thread():
    results = []
    with ts.detect_anomaly():
        thread = threading.Thread(target=lambda: results.append(ts.log(leaf(-1.0))))
        thread.start()
        thread.join()
    assert len(results) == 1


def test_after_an_anomaly_the_mode_is_off():
    with pytest.raises(AnomalyError), ts.detect_anomaly():
        ts.log(leaf(-1.0))
    ts.log(leaf(-1.0))
