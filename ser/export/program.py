"""Conversion of a graph to files: its tensors as safetensors, the whole graph as ONNX."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from ser.export.graph import Graph

OPSET = 20
INPUTS = ("features", "lengths")
AXES = {"features": ("utterances", "frames"), "lengths": ("utterances",)}
# Utterances in the example with which a graph is traced. With one, torch would fix the size of
# the dimension to 1.
EXAMPLES = 3


def trace(graph: Graph, width: int, frames: int | None) -> ExportedProgram:
    """Trace a graph for any number of utterances of any length.

    Args:
        graph: Graph in evaluation mode.
        width: Values per utterance, or per frame.
        frames: Number of frames of the example. It must be so large that there are several of all
            parts of an utterance, such as windows and segments. None: utterances are vectors.
    """
    shapes: tuple[dict[int, object], ...] = ({0: Dim.DYNAMIC},)
    examples: tuple[Tensor, ...] = (torch.zeros(EXAMPLES, width),)
    if frames is not None:
        examples = (torch.zeros(EXAMPLES, frames, width), torch.full((EXAMPLES,), frames))
        shapes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    with torch.no_grad(), _silence_exporter():
        return torch.export.export(graph, examples, dynamic_shapes=shapes, strict=False)


def used_tensors(program: ExportedProgram) -> dict[str, Tensor]:
    """Return the parameters and buffers that the program reads, by their names in the graph.

    Tensors that only training needs, such as those of decoders and discriminators, are left out.
    """
    tensors = {**program.state_dict, **program.constants}
    inputs = (node for node in program.graph.nodes if node.op == "placeholder")
    specs = zip(inputs, program.graph_signature.input_specs, strict=True)
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    return {
        str(spec.target): tensors[str(spec.target)].detach().contiguous().clone()
        for node, spec in specs
        if node.users and spec.kind in kinds
    }


def to_safetensors(program: ExportedProgram) -> bytes:
    """Return the tensors of a program in the format of safetensors."""
    from safetensors.torch import save

    # One entry only: safetensors writes several in a different order each time.
    return save(used_tensors(program), {"format": "pt"})


def load_weights(graph: nn.Module, file: Path) -> None:
    """Load the tensors that `to_safetensors` has saved into a graph.

    Args:
        graph: Graph of a run of the same config.
        file: Path of `model.safetensors`.
    """
    from safetensors.torch import load_file

    tensors = dict(graph.named_parameters()) | dict(graph.named_buffers())
    with torch.no_grad():
        for name, values in load_file(file).items():
            tensors[name].copy_(values)


def to_onnx(program: ExportedProgram, outputs: Sequence[str], metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX model with both or the first of `INPUTS`.

    Args:
        program: Program as `trace` returns it.
        outputs: Names of the outputs.
        metadata: Properties that are saved in the model.
    """
    import onnx

    with _silence_exporter():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS[: len(program.example_inputs[0])],
            output_names=list(outputs),
            external_data=False,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _remove_debug_information(model)
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in enumerate(AXES.get(value.name, ("utterances",))):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _remove_debug_information(model) -> None:
    """Remove what describes this machine: each operation names the file and line it came from."""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


@contextmanager
def _silence_exporter() -> Iterator[None]:
    """Suppress the messages of the exporter about its own steps and about other packages."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
