"""The calls of the stages: domain works in, one gRPC call, domain results out."""

from triptych_bundles.manifest import Bundle
from triptych_gateway.calls.encode import EncodeCall
from triptych_gateway.calls.postprocess import EmbedCall, SimilarityCall
from triptych_gateway.calls.tokenize import DetokenizeCall, TokenizeCall
from triptych_gateway.tasks import EmbedOptions, TextOptions


class GrpcCalls:
    """Makes the calls; equal ones are gathered."""

    def tokenize(self, model: Bundle, text: TextOptions) -> TokenizeCall:
        """Text to token ids."""
        return TokenizeCall(model.digest, text)

    def detokenize(self, model: Bundle, include_special_tokens: bool) -> DetokenizeCall:
        """Token ids to text."""
        return DetokenizeCall(model.digest, include_special_tokens)

    def encode(self, model: Bundle, options: EmbedOptions) -> EncodeCall:
        """Token ids to raw vectors."""
        return EncodeCall(model.digest, options.pooling or model.pooling)

    def embed(self, model: Bundle, options: EmbedOptions) -> EmbedCall:
        """Raw vectors to embeddings."""
        return EmbedCall(model.digest, options.normalize, options.dimensions, options.dtype)

    def similarity(self, model: Bundle) -> SimilarityCall:
        """Raw vectors to similarities."""
        return SimilarityCall(model.digest)


__all__ = ["GrpcCalls"]
