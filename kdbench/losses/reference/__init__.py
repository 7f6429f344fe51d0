"""Losses as their papers write them: plain PyTorch, any floating type, differentiable as often as one likes."""
