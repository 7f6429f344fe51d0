"""Losses with the closed form of their gradient, made in the forward pass by plain PyTorch operators on any device."""
