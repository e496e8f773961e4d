"""Compare a loss and its gradients with a naive reference."""

import torch


def value_and_gradients(loss, inputs, *args):
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    value = loss(*inputs, *args)
    return value, *torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)


def assert_equals_naive(loss, naive, inputs, *args, rtol=1e-9, atol=1e-10):
    """Check value and gradients with respect to ``inputs``; return those of the loss."""
    results = value_and_gradients(loss, inputs, *args)
    expected = value_and_gradients(naive, inputs, *args)
    torch.testing.assert_close(results, expected, rtol=rtol, atol=atol)
    assert all(tensor.isfinite().all() for tensor in results)
    return results


def naive_contrastive(logits, positives):
    """SupCon loss by loops; anchors without positives or without negatives are skipped."""
    losses = []
    for row, is_positive in zip(logits, positives.tolist(), strict=True):
        if not any(is_positive) or all(is_positive):
            continue
        total = sum(torch.exp(x) for x in row)
        terms = [
            -torch.log(torch.exp(x) / total) for x, p in zip(row, is_positive, strict=True) if p
        ]
        losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses) if losses else 0 * logits.sum()
