"""The gateway: REST and gRPC in front of tokenizer, encoder and postprocess."""

import sys

from triptych_gateway.application import GatewayApplication
from triptych_gateway.settings import GatewaySettings
from triptych_servicekit.command import main

if __name__ == "__main__":
    sys.exit(main(GatewaySettings, GatewayApplication, __doc__ or ""))
