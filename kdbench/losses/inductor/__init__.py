"""The analytic forms, each pass compiled by `torch.compile`; needs what Inductor needs (on a CPU a C++ compiler)."""
