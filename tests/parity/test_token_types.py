"""What token types mean to the encoder, for each architecture."""

from tests.parity.conftest import Compile
from tests.parity.test_parity_models import each_architecture
from triptych_encoder.cost import CostModel
from triptych_encoder.model import load_model
from triptych_encoder.runtimes import FP32, Runtimes


@each_architecture
def test_token_types_count_where_there_are_several(
    compile_tiny: Compile, architecture: str
) -> None:
    bundle = compile_tiny(architecture, "embed")
    model = load_model(bundle, Runtimes.here(FP32, 1), lambda *_: CostModel(16))
    try:
        assert model.type_vocab_size == {"bert": 2, "electra": 2}.get(architecture)
    finally:
        model.lane.backend.close()
