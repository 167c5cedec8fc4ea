"""The encoder service: token ids to vectors."""

import sys

from triptych_encoder.application import EncoderApplication
from triptych_encoder.settings import EncoderSettings
from triptych_servicekit.command import main

if __name__ == "__main__":
    sys.exit(main(EncoderSettings, EncoderApplication, __doc__ or ""))
