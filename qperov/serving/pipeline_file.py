"""Fitted pipelines as files that run no code when they are read."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.gaussian_process.kernels import Kernel
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from qperov.classical.cnn import CNNRegressor
from qperov.classical.gan import WSPGAN
from qperov.classical.pattern_network import PatternNetwork
from qperov.errors import RecordError
from qperov.serving.stored_structures import with_crystals, with_texts
from qperov.serving.trusted_types import RENAMED, TRUSTED

#: The pipeline, and the network that it ends in, if it does.
PIPELINE, NETWORK = "pipeline.skops", "network.safetensors"
#: Networks have files of their own, which hold plain arrays.
NETWORKS: dict[str, type[CNNRegressor] | type[WSPGAN] | type[PatternNetwork]] = {
    "CNNRegressor": CNNRegressor,
    "PatternNetwork": PatternNetwork,
    "WSPGAN": WSPGAN,
}
#: What walks through arrays of nodes without looking where they end.
BOOSTED_TREES = (HistGradientBoostingRegressor, HistGradientBoostingClassifier)
#: What libsvm works for.
SUPPORT_VECTOR_MACHINES = (SVR, NuSVR, SVC, NuSVC, OneClassSVM)


def write_pipeline(pipeline: Pipeline, folder: Path) -> list[str]:
    """Write a fitted pipeline whose first step takes crystals; returns the names of the files.

    Raises
    ------
    RecordError
        The pipeline holds something that could not be read back: a type outside
        :data:`~qperov.serving.trusted_types.TRUSTED`, such as a function of your own or a quantum machine.
    MissingDependencyError
        The pipeline ends in a network, and safetensors is not installed.
    """
    from skops.io import dumps, get_untrusted_types
    from skops.io.exceptions import UnsupportedTypeException

    files = [PIPELINE]
    steps = [(name, with_texts(step)) for name, step in pipeline.steps[:-1]]
    name, final = pipeline.steps[-1]
    if type(final) in NETWORKS.values():
        final.save(folder / NETWORK)
        files.append(NETWORK)
        final = "passthrough"
    try:
        content = dumps(Pipeline([*steps, (name, final)]))
    except (UnsupportedTypeException, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RecordError(f"this pipeline cannot be stored without running code to read it ({error})") from error
    if foreign := sorted(set(get_untrusted_types(data=content)) - set(TRUSTED)):
        raise RecordError(
            f"this pipeline holds what no stored model may hold: {', '.join(foreign)}. Use estimators of qperov and "
            "scikit-learn (trees excepted), named feature maps, and no backend"
        )
    (folder / PIPELINE).write_bytes(content)
    return files


def read_pipeline(folder: Path, network: str | None = None) -> Pipeline:
    """The pipeline of :func:`write_pipeline`.

    Parameters
    ----------
    folder : Path
    network : str, optional
        Class of the network that it ends in.

    Raises
    ------
    RecordError
        The file is damaged, is no such file (a pickle, say), or names a type outside
        :data:`~qperov.serving.trusted_types.TRUSTED`.
    MissingDependencyError
        The pipeline ends in a network, and PyTorch or safetensors is not installed.
    """
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    path = folder / PIPELINE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)  # whoever reads a model compares versions
        try:
            _check_uncompressed(path)
            stored = loads(_with_names_of_today(path), trusted=list(TRUSTED))
        except UntrustedTypesFoundException as error:
            raise RecordError(
                f"{path}: refused, nothing of it was built: {error}. No pipeline that qperov stores holds these"
            ) from error
        except Exception as error:  # a damaged file breaks the parsers of skops and numpy in ways nobody listed
            raise RecordError(f"{path}: no stored pipeline could be read ({type(error).__name__}: {error})") from error
    found = getattr(stored, "steps", None)
    if not isinstance(stored, Pipeline) or not isinstance(found, list) or len(found) < 2:
        raise RecordError(f"{path}: holds no pipeline")
    try:
        steps = [(name, with_crystals(step)) for name, step in found]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"{path}: a crystal in it cannot be read ({error})") from error
    if network is not None:
        if not isinstance(network, str) or network not in NETWORKS:
            raise RecordError(f"{folder}: no network is called {network!r}; known: {', '.join(NETWORKS)}")
        steps[-1] = (steps[-1][0], NETWORKS[network].load(folder / NETWORK))
    _complete(steps)
    for machine in _parts_of(steps, SUPPORT_VECTOR_MACHINES):
        _check_support_vectors(machine, path)
    for boosted in _parts_of(steps, BOOSTED_TREES):
        _check_trees(boosted, path)
    return Pipeline(steps)


def _check_uncompressed(path: Path) -> None:
    """Refuse a file that could unpack to more than it takes on disk; skops compresses nothing by itself."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its parts are compressed")


def _with_names_of_today(path: Path) -> bytes:
    """A skops file in which types have the names that they have now."""
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(stream, "w") as renamed:
        for member in stored.infolist():
            content = stored.read(member)
            if member.filename == "schema.json":
                content = json.dumps(json.loads(content, object_hook=_renamed)).encode()
            renamed.writestr(member.filename, content)
    return stream.getvalue()


def _renamed(node: dict[str, Any]) -> dict[str, Any]:
    new = RENAMED.get(f"{node.get('__module__')}.{node.get('__class__')}")
    return node if new is None else node | dict(zip(("__module__", "__class__"), new.rsplit(".", 1), strict=True))


def _complete(part: Any) -> None:
    """Give estimators and kernels of ours the parameters that they have had only since they were kept, by default."""
    if isinstance(part, list | tuple):
        for item in part:
            _complete(item)
    elif isinstance(part, BaseEstimator | Kernel):
        if type(part).__module__.startswith("qperov."):
            for name, parameter in signature(type(part)).parameters.items():
                if parameter.default is not Parameter.empty:
                    vars(part).setdefault(name, parameter.default)
        _complete(list(vars(part).values()))


def _parts_of(part: Any, kinds: tuple[type, ...]) -> Iterator[BaseEstimator]:
    """Estimators of these classes in another, or in a list."""
    if isinstance(part, kinds):
        yield part
    elif isinstance(part, list | tuple):
        for item in part:
            yield from _parts_of(item, kinds)
    elif isinstance(part, BaseEstimator):
        yield from _parts_of(list(vars(part).values()), kinds)


def _check_support_vectors(machine: Any, path: Path) -> None:
    """Refuse arrays that do not fit each other: libsvm would read past their ends."""
    if not hasattr(machine, "support_"):
        return
    try:
        many, classes = len(machine.support_), len(machine._n_support)
        of_matrix = callable(machine.kernel) or machine.kernel == "precomputed"
        # a matrix has a column a training sample
        n_samples = len(vars(machine)["_BaseLibSVM__Xfit"]) if callable(machine.kernel) else machine.shape_fit_[0]
        vectors = (0, 0) if of_matrix or not many else (many, machine.n_features_in_)
        fits = (
            machine.support_.shape == (many,)
            and ((machine.support_ >= 0) & (machine.support_ < n_samples)).all()
            and machine.support_vectors_.shape == vectors
            and machine._dual_coef_.shape == (classes - 1, many)
            and machine._intercept_.shape == (classes * (classes - 1) // 2,)
            and np.isfinite(machine._dual_coef_).all()
        )
    except (AttributeError, TypeError, KeyError) as error:
        raise RecordError(f"{path}: a support vector machine in it lacks a part ({error})") from error
    if not fits:
        raise RecordError(f"{path}: the parts of a support vector machine in it do not fit each other")


def _check_trees(boosted: Any, path: Path) -> None:
    """Refuse trees whose branches lead out of them, or round in a circle, or that ask for a feature there is not."""
    try:
        # the unfitted one, of which a scaled target keeps a copy, has none
        for tree in (tree for trees in vars(boosted).get("_predictors", ()) for tree in trees):
            nodes = tree.nodes
            here = np.arange(len(nodes))
            inner = nodes["is_leaf"] == 0
            ends = np.stack([nodes["left"], nodes["right"]])[:, inner].astype(np.int64)
            if not (
                len(nodes)
                and (here[inner] < ends).all()
                and (ends < len(nodes)).all()
                and (nodes["feature_idx"][inner] >= 0).all()
                and (nodes["feature_idx"][inner] < boosted.n_features_in_).all()
                and not nodes["is_categorical"].any()
            ):
                raise RecordError(f"{path}: the nodes of a tree in it do not fit each other")
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise RecordError(f"{path}: boosted trees in it lack a part ({error})") from error
