"""A graph written down: its numbers as safetensors, all of it as ONNX."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from ser.export.graph import Graph

OPSET = 20
INPUTS, OUTPUT = ("features", "lengths"), "probabilities"
AXES = {"features": ("utterances", "frames"), "lengths": ("utterances",)}


def traced(graph: Graph, width: int, longest: int | None) -> ExportedProgram:
    """The operations of a graph, for any number of utterances of any length.

    Args:
        graph: in evaluation mode.
        width: values of an utterance, or of a frame.
        longest: so many frames that nothing in the graph is there only once; None: utterances are
            vectors.
    """
    # Three of them: of a dimension of 1 torch would take for granted that it stays so.
    count = 3
    shapes: tuple[dict[int, object], ...] = ({0: Dim.DYNAMIC},)
    examples: tuple[Tensor, ...] = (torch.zeros(count, width),)
    if longest is not None:
        examples = (torch.zeros(count, longest, width), torch.full((count,), longest))
        shapes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    with torch.no_grad(), _quiet():
        return torch.export.export(graph, examples, dynamic_shapes=shapes, strict=False)


def numbers(program: ExportedProgram) -> dict[str, Tensor]:
    """Parameters and buffers that the operations read, by their names in the graph.

    What only training needs, such as decoders and discriminators, is not among them.
    """
    there = {**program.state_dict, **program.constants}
    inputs = (node for node in program.graph.nodes if node.op == "placeholder")
    specs = zip(inputs, program.graph_signature.input_specs, strict=True)
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    return {
        str(spec.target): there[str(spec.target)].detach().contiguous().clone()
        for node, spec in specs
        if node.users and spec.kind in kinds
    }


def as_safetensors(program: ExportedProgram) -> bytes:
    """The numbers in a file that hubs and other programs read."""
    from safetensors.torch import save

    # More of such facts would stand there in another order each time.
    return save(numbers(program), {"format": "pt"})


def fill(graph: nn.Module, file: Path) -> None:
    """Gives a graph the numbers that `as_safetensors` wrote into a file.

    Args:
        graph: of a run of the same config.
        file: `model.safetensors`.
    """
    from safetensors.torch import load_file

    held = dict(graph.named_parameters()) | dict(graph.named_buffers())
    with torch.no_grad():
        for name, values in load_file(file).items():
            held[name].copy_(values)


def as_onnx(program: ExportedProgram, facts: Mapping[str, str]) -> bytes:
    """A model of ONNX with inputs `INPUTS`, or the first, and output `OUTPUT`.

    Args:
        program: see `traced`.
        facts: kept in it.
    """
    import onnx

    with _quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS[: len(program.example_inputs[0])],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
    assert made is not None
    model = made.model_proto
    _strip(model)
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in enumerate(AXES.get(value.name, ("utterances",))):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(model, dict(facts))
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _strip(model) -> None:
    """Takes out what tells of this machine: each operation names the line of code it came from."""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for number in model.graph.initializer:
        del number.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the terminal what the exporter tells of its own steps and of other packages."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
