"""Quantum kernels as scikit-learn Gaussian-process kernels: exact, with the noise of shots, or from a backend.

One object serves SVR, KernelRidge, Nystroem, KernelPCA and GaussianProcessRegressor, composes with scikit-learn's
kernels (``ConstantKernel() * FidelityKernel() + WhiteKernel()``), clones, pickles, and grid-searches as
``kernel__bandwidth``.

Kernels hold their parameters and nothing else. What the named feature maps gave is remembered by content, outside of
the kernels (`qperov.quantum.kernels.memory`); what a feature map of the user's own gave never is, since it may not be
pure.
"""
